"""Tells a module that is optional from one that is broken.

Optional is what needs a distribution that the layer's requirements do not bring, what is made for
another system, and what nobody imports: tests, examples, programs. The whole chain of a
failure has to say so: an import that fails while another failure is handled is judged, too.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from packaging.utils import canonicalize_name

from layersmith.assemble import files
from layersmith.prove.smoke import modules, rules

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from layersmith.prove.reports import Cause, ImportFailure
    from layersmith.prove.smoke.closure import Closure

_EXTRA = re.compile(
    r"install\s+(?:-\S+\s+)*[\"'`]?(?P<name>[A-Za-z][\w.-]*)\[(?P<extra>[\w, -]+)\]"
)
"""How a package names an extra: ``pip install sqlalchemy[asyncio]``."""

_USED_NONE = re.compile(
    r"AttributeError: 'NoneType' object has no attribute|NameError: name '\w+' is not defined"
    r"|TypeError: 'NoneType' object is not (?:callable|subscriptable)"
)


def reason(
    module: str,
    failure: ImportFailure,
    closure: Closure,
    known: Mapping[str, str],
) -> str | None:
    """Return why a module that failed to import is optional; None where it is a problem.

    Args:
        module: The module.
        failure: How it failed.
        closure: What the target's lock comes to.
        known: Modules (globs) that are optional -> why, such as those of recipes.
    """
    pattern = modules.excepted(module, known)
    if pattern is not None:
        return known[pattern]
    if closure.owner(module) == files.MODULES:
        return None
    named = rules.by_name(module)
    if named is not None or closure.is_top(module):
        return named
    if failure.chain and closure.is_plain_library(module, failure.chain[0].message):
        return "is a plain library, which its package loads by ctypes or cffi"
    return _of_chain(failure.chain, closure)


def _of_chain(chain: Sequence[Cause], closure: Closure) -> str | None:
    """Return why a failure is none of the layer, if no part of its chain says otherwise.

    An error is looked at together with what it followed from: ``raise ImportError("install x")``
    while the failure of ``import x`` is handled, in the same module.
    """
    found: str | None = None
    after: Cause | None = None
    for cause in reversed(_told(chain)):
        here = rules.by_failure(str(cause))
        if here is None:
            missing = _asked(cause, closure) or _said(cause, closure)
            missing = missing or _gone_without(cause, closure)
            here = f"needs {missing}, which the layer does not ask for" if missing else None
        if here is None and found and after and cause.raised and cause.where == after.where:
            here = found
        if here is None:
            return None
        found, after = found or here, cause
    return found


def _told(chain: Sequence[Cause]) -> Sequence[Cause]:
    """Leave out how the search for a distribution ended, which says nothing of its own."""
    if [one.type for one in chain[-2:]] == ["PackageNotFoundError", "StopIteration"]:
        return chain[:-1]
    return chain


def _asked(cause: Cause, closure: Closure) -> str | None:
    """Return the module that Python did not find, if it is of no distribution of the closure."""
    if cause.name is None or cause.type != "ModuleNotFoundError" or cause.within:
        return None
    return None if closure.holds(cause.name, cause.where) else cause.name


def _said(cause: Cause, closure: Closure) -> str | None:
    """Return the extra or distribution that a package says it lacks, in an error of its own.

    The message alone is not believed: what it names was looked for in vain, or belongs to an
    extra by the package's metadata.
    """
    if not cause.raised or "ImportError" not in {cause.type, *cause.kinds}:
        return None
    if any(closure.holds(name, cause.where) for name in cause.absent):
        return None
    if told := _EXTRA.search(cause.message):
        return f"{told['name']}[{told['extra']}]"
    words = {canonicalize_name(word) for word in re.findall(r"\w[\w.-]*\w", cause.message)}
    tops = {canonicalize_name(name.partition(".")[0]): name for name in cause.absent}
    named = {*words} & {*tops, *closure.offered(cause.where)}
    return min((tops.get(name, name) for name in named), default=None)


def _gone_without(cause: Cause, closure: Closure) -> str | None:
    """Return what a module did without, and then used: ``pd.DataFrame`` where pd is None.

    All that the module looked for in vain has to be of nobody's asking.
    """
    if cause.raised or not _USED_NONE.match(str(cause)) or not cause.absent:
        return None
    if any(closure.holds(name, cause.where) for name in cause.absent):
        return None
    return cause.absent[0]

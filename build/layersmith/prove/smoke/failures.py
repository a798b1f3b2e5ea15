"""Judges modules that did not import: by design, optional or broken, and from what cause.

By design is what optional.toml lists, and what the recipes of a layer let fail; its manifest says
which recipes apply to it. Optional is what needs a distribution that the layer's requirements do
not bring, what is made for another system, and what nobody imports: tests, examples, programs. The
whole chain of a failure has to say so: an import that fails while another failure is handled is
judged, too.

Of what is broken, Python reports the symptom, seldom the cause. ``cannot import name '_imaging'
from 'PIL'`` is what a wheel for another architecture, a wheel for another Python and a deleted
file all look like. What tells them apart is in the layer.
"""

from __future__ import annotations

import functools
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from packaging.utils import canonicalize_name
from pathspec import GitIgnoreSpec

from layersmith.assemble import files
from layersmith.base import modules
from layersmith.prove.layer_zip import named_for

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from layersmith.assemble.manifest import Manifest
    from layersmith.prove.layer_zip import LayerZip
    from layersmith.prove.models import Cause, ImportFailure
    from layersmith.prove.smoke.closure import Closure
    from layersmith.recipes.models import RecipeUse

DATA = Path(__file__).with_name("optional.toml")


@dataclass(frozen=True)
class Known:
    """What optional.toml holds.

    Attributes:
        modules: Globs of modules -> why they may fail; what lies below a match is meant, too.
        failures: Patterns of an exception, as ``Type: message``, -> why it is none of the layer.
        plugins: Globs of modules -> why they may need another distribution, although they are what
            their own is imported as.
        names: Distribution -> its modules, where they cannot be guessed from its name.
    """

    modules: Mapping[str, str]
    failures: Mapping[re.Pattern[str], str]
    plugins: Mapping[str, str]
    names: Mapping[str, tuple[str, ...]]


@functools.cache
def known() -> Known:
    """Return the tables of optional.toml."""
    with DATA.open("rb") as stream:
        data = tomllib.load(stream)
    return Known(
        {glob: one["reason"] for one in data["modules"] for glob in one["globs"]},
        {re.compile(one["pattern"]): one["reason"] for one in data["failures"]},
        {glob: one["reason"] for one in data["plugins"] for glob in one["globs"]},
        {name: tuple(found) for name, found in data["names"].items()},
    )


def by_name(module: str) -> str | None:
    """Return why a module may fail to import, whatever it says; None where none is known."""
    glob = modules.excepted(module, known().modules)
    return known().modules[glob] if glob else None


def _is_plugin(module: str) -> bool:
    """Whether a module is made for another distribution, whatever brings it."""
    return modules.excepted(module, known().plugins) is not None


def by_failure(said: str) -> str | None:
    """Return why an exception is none of the layer, by ``Type: message``; None if it may be."""
    return next((why for one, why in known().failures.items() if one.search(said)), None)


_CANNOT_IMPORT = re.compile(
    r"cannot import name '(?P<name>\w+)' from (?:partially initialized "
    r"module )?'(?P<package>[\w.]+)'"
)
_NO_MODULE = re.compile(r"No module named '(?P<module>[\w.]+)'")
MISSING = re.compile(f"{_NO_MODULE.pattern}|{_CANNOT_IMPORT.pattern}")
"""What Python says of a module, or of a name in one, that is not there."""


def optional_by_recipes(manifest: Manifest | None) -> dict[str, str]:
    """Return the modules (globs) that recipes let fail to import, with the reasons.

    Args:
        manifest: The layer's manifest; None for a zip that the build did not make.
    """
    return {
        pattern: f"{reason} (recipe of {use.name})"
        for use in (manifest.recipes if manifest else ())
        for pattern, reason in use.optional.items()
    }


def left_out(closure: Closure, module: str, failure: ImportFailure) -> str | None:
    """Return what a recipe left out that a module lacks, and why; None where none did.

    A package that does not import at all is broken, whatever the reason.
    """
    if closure.manifest is None or closure.is_top(module):
        return None
    names = [name for cause in failure.chain for name in lacking(cause.message)]
    return lost(closure.manifest.recipes, names)


def lost(uses: Sequence[RecipeUse], names: Sequence[str]) -> str | None:
    """Return what recipes say of the first module that one of them left out, or None.

    Args:
        uses: The recipes of a layer.
        names: Modules that could not be found.
    """
    for name in names:
        for use in uses:
            for reason in (*_pruned(use, name), *_left_out(use, name)):
                return f"{name} is left out: {reason} (recipe of {use.name})"
    return None


def lacking(message: str) -> Iterator[str]:
    """Yield the modules, and the names in modules, that Python did not find."""
    for found in MISSING.finditer(message):
        yield found["module"] or f"{found['package']}.{found['name']}"


def _pruned(use: RecipeUse, name: str) -> Iterator[str]:
    path = name.replace(".", "/")
    files = [f"{path}.py", f"{path}/__init__.py", f"{path}.abi3.so"]
    for pattern, reason in use.prune.items():
        if any(GitIgnoreSpec.from_lines([pattern]).match_files(files)):
            yield reason


def _left_out(use: RecipeUse, name: str) -> Iterator[str]:
    """Yield the reasons for distributions that may have brought a module, judged by their names."""
    parts = [part.replace("_", "").lower() for part in name.split(".")]
    for distribution, reason in {**use.excludes, **use.orphans, **use.stubs}.items():
        squeezed = distribution.replace("-", "")
        if parts[0] in squeezed or squeezed in parts:
            yield reason


_EXTRA = re.compile(
    r"install\s+(?:-\S+\s+)*[\"'`]?(?P<name>[A-Za-z][\w.-]*)\[(?P<extra>[\w, -]+)\]"
)
"""How a package names an extra: ``pip install sqlalchemy[asyncio]``."""

_USED_NONE = re.compile(
    r"AttributeError: 'NoneType' object has no attribute|NameError: name '\w+' is not defined"
    r"|TypeError: 'NoneType' object is not (?:callable|subscriptable)"
    r"|TypeError: NoneType takes no arguments"
)


def optional_reason(
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
    named = by_name(module)
    if named is not None or (closure.is_top(module) and not _is_plugin(module)):
        return named
    if failure.chain and closure.is_plain_library(module, failure.chain[0].message):
        return "is a plain library, which its package loads by ctypes or cffi"
    return _of_chain(failure.chain, closure)


def _of_chain(chain: Sequence[Cause], closure: Closure) -> str | None:
    """Return why a failure is none of the layer, if no part of its chain says otherwise.

    An error is looked at together with what it followed from: ``raise ImportError("install x")``
    while the failure of ``import x`` is handled, in the same module, or once more in another.
    """
    found: str | None = None
    after: Cause | None = None
    for cause in reversed(_told(chain)):
        here = by_failure(str(cause)) or _tombstone(cause)
        if here is None:
            missing = _asked(cause, closure) or _said(cause, closure)
            missing = missing or _gone_without(cause, closure)
            here = f"needs {missing}, which the layer does not ask for" if missing else None
        if here is None and found and after and cause.raised:
            same = cause.where == after.where or str(cause) == str(after)
            here = found if same else None
        if here is None:
            return None
        found, after = found or here, cause
    return found


def _told(chain: Sequence[Cause]) -> Sequence[Cause]:
    """Remove the cause that only reports the end of the search for a distribution."""
    if [one.type for one in chain[-2:]] == ["PackageNotFoundError", "StopIteration"]:
        return chain[:-1]
    return chain


def _tombstone(cause: Cause) -> str | None:
    """Return why a module is optional that only raises ModuleNotFoundError for its own name."""
    gone = cause.raised and cause.name is not None and cause.name == cause.where
    return "only says that it was removed" if gone else None


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


_CANNOT_OPEN = re.compile(r"(?P<file>[^\s:]+\.so[.\w]*): cannot open shared object file")
_SYMBOL_VERSION = re.compile(r"version `(?P<version>[A-Z]+_[\d.]+)' not found")
_NOT_READABLE = re.compile(r"Permission denied: '/opt/(?P<path>[^']+)'")
_BAD_HEADER = re.compile(r"(?P<file>[^\s:]+\.so[.\w]*): (?:invalid ELF header|wrong ELF class)")


def diagnose(failure: ImportFailure, layer: LayerZip, python: str, architecture: str) -> str | None:
    """Return the cause of a failed import in one sentence, or None where it is not known.

    Args:
        failure: What the runtime said.
        layer: The layer that was in place.
        python: Version of the target's Python, ``3.13``.
        architecture: The target's, ``arm64`` or ``x86_64``.
    """
    for cause in failure.chain:
        for found in _explanations(cause.message, layer, python, architecture):
            return found
    return None


def cure(failure: ImportFailure, closure: Closure) -> str | None:
    """Return what to change in layers.yaml, or None where the cause does not say it.

    Args:
        failure: What the runtime said.
        closure: What the target's lock comes to.
    """
    for cause in failure.chain:
        if cause.type != "ModuleNotFoundError" or cause.name is None:
            continue
        if rule := closure.pruned_by(cause.name):
            return f"the prune rule {rule!r} leaves it out: keep it, or prune what imports it, too"
        if out := closure.left_out_with(cause.name, cause.where):
            return (
                f"{out} brings it, which the layer leaves out or replaces by a stub: keep {out}, or"
                " prune what imports it"
            )
        if cause.within is None:
            top = cause.name.partition(".")[0]
            return f"add the distribution that brings {top} to the layer's requirements"
    return None


def _explanations(text: str, layer: LayerZip, python: str, architecture: str) -> Iterator[str]:
    if match := _CANNOT_IMPORT.search(text):
        module = f"{match['package']}.{match['name']}"
        yield from _extension(module, layer, python, architecture)
    if match := _NO_MODULE.search(text):
        yield from _missing_module(match["module"], layer, python, architecture)
    if match := _CANNOT_OPEN.search(text):
        yield from _unopened(match["file"], layer, architecture)
    if match := _NOT_READABLE.search(text):
        yield (
            f"{match['path']} is readable only by its owner (mode in the zip); Lambda runs the"
            " function as another user"
        )
    if match := _BAD_HEADER.search(text):
        yield f"{_name(match['file'])} is damaged, or not an ELF file of {architecture}"
    if match := _SYMBOL_VERSION.search(text):
        yield (
            f"a library of the layer needs {match['version']}, which is newer than the runtime's:"
            " the wheel was built for a newer system"
        )


def _extension(module: str, layer: LayerZip, python: str, architecture: str) -> Iterator[str]:
    """Explain an extension module that Python could not find in its package."""
    folder = "python/" + "/".join(module.split(".")[:-1]) + "/"
    stem = module.rpartition(".")[2]
    files = [p for p in layer.paths if p.startswith(f"{folder}{stem}.") and p.endswith(".so")]
    if not files:
        if f"{folder}__init__.py" in layer.paths:
            yield f"missing extension: {folder}{stem}*.so is not in the layer"
        return
    for file in files:
        named = named_for(file)
        if named and named[1] != architecture:
            yield (
                f"wrong architecture: {file} is built for {named[1]}, and the target is"
                f" {architecture}"
            )
        elif named and named[0] != python:
            yield (
                f"wrong Python: {file} is built for Python {named[0]}, and the target has {python}"
            )
        else:
            yield from _wrong_machine(file, layer, architecture)


def _missing_module(module: str, layer: LayerZip, python: str, architecture: str) -> Iterator[str]:
    folder, _, stem = f"python/{module.replace('.', '/')}".rpartition("/")
    if any(path.startswith(f"{folder}/{stem}.") for path in layer.paths):
        yield from _extension(module, layer, python, architecture)
    top = module.partition(".")[0]
    if any(path.startswith((f"python/{top}/", f"python/{top}.")) for path in layer.paths):
        yield f"{module} is not in the layer, although {top} is: a file of it was left out"
    else:
        yield f"nothing in the layer or the runtime brings {top}"


def _unopened(file: str, layer: LayerZip, architecture: str) -> Iterator[str]:
    """Explain a file that could not be opened, which the loader says of wrong machines, too."""
    name = _name(file)
    places = layer.by_name.get(name, [])
    for place in places:
        yield from _wrong_machine(place, layer, architecture)
    if not places:
        owners = sorted({p.split("/")[1] for p in layer.paths if ".libs/" in p})
        beside = f" (folders of bundled libraries in it: {', '.join(owners)})" if owners else ""
        yield (
            f"missing shared library: {name} is neither in the layer nor in the runtime;"
            f" wheels keep such files in a folder like pillow.libs{beside}"
        )


def _wrong_machine(path: str, layer: LayerZip, architecture: str) -> Iterator[str]:
    machine = layer.machine(path)
    if machine is None:
        yield f"{path} is not an ELF file"
    elif machine != architecture:
        yield (
            f"wrong architecture: {path} is a file for {machine}, despite its name, and the"
            f" target is {architecture}"
        )


def _name(file: str) -> str:
    return file.rpartition("/")[2]

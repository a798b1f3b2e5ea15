"""What is known of modules that fail to import: by design (optional.toml), or by their recipes.

The manifest of a layer says which recipes apply to it, and why.
"""

from __future__ import annotations

import functools
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pathspec import GitIgnoreSpec

from layersmith.prove.smoke import modules

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from layersmith.assemble.manifest import Manifest
    from layersmith.prove.reports import ImportFailure
    from layersmith.prove.smoke.closure import Closure
    from layersmith.recipes.models import RecipeUse

DATA = Path(__file__).with_name("optional.toml")


@dataclass(frozen=True)
class Known:
    """What optional.toml holds.

    Attributes:
        modules: Globs of modules -> why they may fail; what lies below a match is meant, too.
        failures: Patterns of an exception, as ``Type: message``, -> why it is none of the layer.
        names: Distribution -> its modules, where they cannot be guessed from its name.
    """

    modules: Mapping[str, str]
    failures: Mapping[re.Pattern[str], str]
    names: Mapping[str, tuple[str, ...]]


@functools.cache
def known() -> Known:
    """Return the tables of optional.toml."""
    with DATA.open("rb") as stream:
        data = tomllib.load(stream)
    return Known(
        {glob: one["reason"] for one in data["modules"] for glob in one["globs"]},
        {re.compile(one["pattern"]): one["reason"] for one in data["failures"]},
        {name: tuple(found) for name, found in data["names"].items()},
    )


def by_name(module: str) -> str | None:
    """Return why a module may fail to import, whatever it says; None where none is known."""
    glob = modules.excepted(module, known().modules)
    return known().modules[glob] if glob else None


def by_failure(said: str) -> str | None:
    """Return why an exception is none of the layer, by ``Type: message``; None if it may be."""
    return next((why for one, why in known().failures.items() if one.search(said)), None)


MISSING = re.compile(
    r"No module named '(?P<module>[\w.]+)'"
    r"|cannot import name '(?P<name>\w+)' from (?:partially initialized module )?"
    r"'(?P<package>[\w.]+)'"
)
"""What Python says of a module, or of a name in one, that is not there."""


def optional(manifest: Manifest | None) -> dict[str, str]:
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
    lacking = [name for cause in failure.chain for name in _missing(cause.message)]
    return lost(closure.manifest.recipes, lacking)


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


def _missing(message: str) -> Iterator[str]:
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

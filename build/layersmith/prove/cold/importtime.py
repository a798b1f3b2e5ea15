"""Turns what ``-X importtime`` writes into a tree: who imports what, and what it costs.

CPython writes one line a module to standard error when its import ends, so a module comes after
those that it imported, and its indentation says how deep it was:
``import time: self [us] | cumulative | imported package``.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from layersmith.base.models import StrictModel
from layersmith.base.modules import modules_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from layersmith.assemble.manifest import Manifest

VARIABLE = "PYTHONPROFILEIMPORTTIME"
"""Environment variable that does what ``-X importtime`` does."""

_LINE = re.compile(r"import time:\s+(\d{1,18}) \|\s+(\d{1,18}) \|( +)([\w.]+)\s*$")


class Import(StrictModel):
    """The import of one module, with those that it caused."""

    module: str
    self_us: int
    """Microseconds in the module itself."""
    cumulative_us: int
    """Microseconds with everything that it imported for the first time."""
    distribution: str | None = None
    """That of the layer which brings it; None for the standard library and the runtime."""
    children: list[Import] = Field(default_factory=list)


class ImportTree(StrictModel):
    """dist/<stem>.importtime.json: the imports of one start."""

    format: Literal[1] = 1
    identifier: str
    runner: str
    total_us: int
    """Microseconds of all imports together."""
    by_distribution: dict[str, int]
    """Microseconds in the modules of each distribution themselves, the costliest first."""
    roots: list[Import]
    """What the interpreter, the runtime client and the function imported, in that order."""


def parse(text: str, owners: Mapping[str, str] | None = None) -> list[Import]:
    """Return the imports as trees, in the order in which they happened.

    Args:
        text: Standard error of the process, other lines included.
        owners: Module -> distribution.
    """
    owners = owners or {}
    # Modules that have ended and wait for their importer, by depth.
    waiting: dict[int, list[Import]] = {}
    for line in text.splitlines():
        found = _LINE.search(line)
        if not found:
            continue
        depth = (len(found[3]) - 1) // 2
        name = found[4]
        node = Import(
            module=name,
            self_us=int(found[1]),
            cumulative_us=int(found[2]),
            distribution=owner_of(name, owners),
            children=waiting.pop(depth + 1, []),
        )
        waiting.setdefault(depth, []).append(node)
    return waiting.get(0, [])


def owner_of(module: str, owners: Mapping[str, str]) -> str | None:
    """Return the distribution of a module, or of the nearest package above it that has one."""
    name = module
    while name:
        if name in owners:
            return owners[name]
        name = name.rpartition(".")[0]
    return None


def owners_of(manifest: Manifest) -> dict[str, str]:
    """Return module -> distribution for everything in a layer."""
    by_path = {record.path: record.distribution for record in manifest.files}
    return {module.name: by_path[module.path] for module in modules_of(by_path)}


def by_distribution(roots: Iterable[Import]) -> dict[str, int]:
    """Return the microseconds in the modules of each distribution, the costliest first."""
    sums: dict[str, int] = {}
    stack = list(roots)
    while stack:
        node = stack.pop()
        if node.distribution:
            sums[node.distribution] = sums.get(node.distribution, 0) + node.self_us
        stack.extend(node.children)
    return dict(sorted(sums.items(), key=lambda item: (-item[1], item[0])))


def costliest(roots: Iterable[Import], count: int) -> list[Import]:
    """Return the modules that cost most by themselves."""
    found: list[Import] = []
    stack = list(roots)
    while stack:
        node = stack.pop()
        found.append(node)
        stack.extend(node.children)
    return sorted(found, key=lambda node: (-node.self_us, node.module))[:count]

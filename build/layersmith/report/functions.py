"""Functions of layers.yaml with their layers, against what Lambda takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from layersmith.assemble import budgets
from layersmith.base import runtimes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from layersmith.assemble.manifest import Manifest
    from layersmith.config.models import Config

CODE = "own code"


@dataclass(frozen=True)
class FunctionParts:
    """One function on one runtime.

    Attributes:
        function: Its name.
        runtime: Such as python3.13.
        architecture: Such as arm64.
        parts: Unzipped bytes of each layer, in their order, and of its own code.
    """

    function: str
    runtime: str
    architecture: str
    parts: Mapping[str, int]

    @property
    def total(self) -> int:
        """Unzipped bytes of all parts."""
        return sum(self.parts.values())

    @property
    def share(self) -> float:
        """Share of what Lambda takes, 1 at the limit."""
        return self.total / runtimes.UNZIPPED_LIMIT


def compositions(config: Config, manifests: Sequence[Manifest], root: Path) -> list[FunctionParts]:
    """Return every function whose layers are all built, by runtime.

    Args:
        config: The configuration.
        manifests: The manifests of what was built.
        root: Folder of layers.yaml.
    """
    sizes = {(m.layer, m.runtime, m.architecture): m.artifact.unzipped for m in manifests}
    platforms = sorted({(m.runtime, m.architecture) for m in manifests})
    found = []
    for name, function in config.functions.items():
        for runtime, architecture in platforms:
            keys = [(layer, runtime, architecture) for layer in function.layers]
            if all(key in sizes for key in keys):
                parts = {key[0]: sizes[key] for key in keys}
                own = sizes.get((name, runtime, architecture)) if function.package else None
                parts[CODE] = budgets.code_size(function, root) if own is None else own
                found.append(FunctionParts(name, runtime, architecture, parts))
    return found

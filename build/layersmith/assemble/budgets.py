"""Judges sizes: a layer against its budgets, a function against Lambda's limits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from layersmith.base import runtimes
from layersmith.errors import BudgetError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from layersmith.assemble.describe import Graph
    from layersmith.assemble.manifest import Manifest
    from layersmith.config.models import Config, Function
    from layersmith.plan import Target

BIGGEST = 10
"""Distributions that a message about a budget lists."""


def megabytes(size: float) -> str:
    """Return bytes as text, in units of 10**6 bytes: ``29.2 MB``."""
    return f"{size / 1e6:,.1f} MB"


def check_unzipped(target: Target, sizes: Mapping[str, int], graph: Graph) -> None:
    """Judge the unpacked size, before anything is archived.

    Args:
        target: What is built.
        sizes: Bytes of every distribution, unpacked.
        graph: Which distribution needs which.

    Raises:
        BudgetError: The layer is over its budget or over Lambda's limit.
    """
    total = sum(sizes.values())
    budget = target.settings.budgets.unzipped
    table = biggest(sizes, graph)
    if total > runtimes.UNZIPPED_LIMIT:
        raise BudgetError(
            f"{megabytes(total)} unzipped is more than Lambda takes, all layers and code together:"
            f" {megabytes(runtimes.UNZIPPED_LIMIT)}\n{table}",
            target=target.identifier,
            hint="`python build/layers.py analyze --layer "
            f"{target.layer}` says what can go; what cannot runs as a container",
        )
    if budget is not None and total > budget:
        raise BudgetError(
            f"{megabytes(total)} unzipped, budget {megabytes(budget)}\n{table}",
            target=target.identifier,
            hint="exclude or prune what is not needed, or raise budgets.unzipped in layers.yaml",
        )


def check_zipped(
    target: Target,
    zipped: int,
    sizes: Mapping[str, int],
    graph: Graph,
    last_release: Manifest | None = None,
) -> None:
    """Judge the size of the zip.

    Args:
        target: What is built.
        zipped: Bytes of the zip.
        sizes: Bytes of every distribution as compressed.
        graph: Which distribution needs which.
        last_release: Manifest that ``budgets.growth`` is judged against.

    Raises:
        BudgetError: It is over its budget, or grew by more than it may.
    """
    budgets = target.settings.budgets
    if budgets.zipped is not None and zipped > budgets.zipped:
        raise BudgetError(
            f"{megabytes(zipped)} zipped, budget {megabytes(budgets.zipped)}\n"
            f"{biggest(sizes, graph)}{changes(sizes, last_release)}",
            target=target.identifier,
            hint="exclude or prune what is not needed, or raise budgets.zipped in layers.yaml",
        )
    if budgets.growth is None or last_release is None:
        return
    before = last_release.artifact.zipped
    if zipped > before * (1 + budgets.growth / 100):
        raise BudgetError(
            f"grew from {megabytes(before)} ({last_release.version}) to {megabytes(zipped)} "
            f"zipped, by more than {budgets.growth:g} %\n"
            f"{biggest(sizes, graph)}{changes(sizes, last_release)}",
            target=target.identifier,
            hint="see what grew above; raise budgets.growth if it is wanted",
        )


def biggest(sizes: Mapping[str, int], graph: Graph) -> str:
    """Return the biggest distributions and who pulls each, as lines of text."""
    lines = ["  biggest distributions, and who pulls them:"]
    for name, size in sorted(sizes.items(), key=lambda item: -item[1])[:BIGGEST]:
        chain = " <- ".join(reversed(graph.chain(name)))
        lines.append(f"    {megabytes(size):>10}  {chain}")
    return "\n".join(lines)


def changes(sizes: Mapping[str, int], before: Manifest | None) -> str:
    """Return what changed since another manifest, as lines of text; empty without one."""
    if before is None:
        return ""
    old = {dist.name: dist.zipped for dist in before.distributions}
    deltas = {name: sizes.get(name, 0) - old.get(name, 0) for name in {*old, *sizes}}
    lines = [
        f"    {delta / 1e6:>+8.1f} MB  {name}{_fate(name, old, sizes)}"
        for name, delta in sorted(deltas.items(), key=lambda item: -abs(item[1]))[:BIGGEST]
        if abs(delta) >= 1000
    ]
    title = f"\n  changed since {before.version}:"
    return "\n".join([title, *(lines or ["    nothing by more than 1 kB"])])


def _fate(name: str, old: Mapping[str, int], new: Mapping[str, int]) -> str:
    if name not in old:
        return " (added)"
    return "" if name in new else " (removed)"


@dataclass(frozen=True)
class Composition:
    """A function with its layers on one runtime.

    Attributes:
        function: Name of the function.
        runtime: Name of the runtime.
        architecture: As AWS spells it.
        unzipped: Bytes of its code and of all its layers.
    """

    function: str
    runtime: str
    architecture: str
    unzipped: int

    def __str__(self) -> str:
        return (
            f"{self.function} on {self.runtime} {self.architecture}: {megabytes(self.unzipped)}"
            f" of {megabytes(runtimes.UNZIPPED_LIMIT)}"
        )


def check_functions(config: Config, manifests: Sequence[Manifest], root: Path) -> list[Composition]:
    """Judge every function's layers and code together.

    Args:
        config: The configuration.
        manifests: The manifests of what was built.
        root: Folder of layers.yaml.

    Returns:
        Every function on every runtime for which all its layers were built, the largest first.

    Raises:
        BudgetError: A function is over Lambda's limit of 262,144,000 bytes.
    """
    sizes = {(m.layer, m.runtime, m.architecture): m.artifact.unzipped for m in manifests}
    built = sorted({(m.runtime, m.architecture) for m in manifests})
    found = []
    for name, function in config.functions.items():
        code = code_size(function, root)
        for runtime, architecture in built:
            keys = [(layer, runtime, architecture) for layer in function.layers]
            if all(key in sizes for key in keys):
                total = code + sum(sizes[key] for key in keys)
                found.append(Composition(name, runtime, architecture, total))
    found.sort(key=lambda one: -one.unzipped)
    if found and found[0].unzipped > runtimes.UNZIPPED_LIMIT:
        names = ", ".join(config.functions[found[0].function].layers)
        raise BudgetError(
            f"function {found[0]} with its layers {names}",
            hint="use fewer or smaller layers in this function",
        )
    return found


def code_size(function: Function, root: Path) -> int:
    """Return the bytes of a function's own folder, caches left out."""
    if function.code is None:
        return 0
    found = [path for path in (root / function.code).rglob("*") if "__pycache__" not in path.parts]
    return sum(path.stat().st_size for path in found if path.is_file())

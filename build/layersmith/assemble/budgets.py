"""Judges sizes: a layer against its budgets, a function against Lambda's limits."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from layersmith.base import runtimes, uv
from layersmith.config.models import BytecodeMode
from layersmith.console import megabytes
from layersmith.errors import BudgetError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from layersmith.assemble.graph import Dependencies
    from layersmith.assemble.manifest import FileRecord, Manifest
    from layersmith.config.models import Config, Function
    from layersmith.plan import Target

BIGGEST = 10
"""Distributions that a message about a budget lists."""

SMALLEST_BYTECODE = (0.45, 0.45, 0.05)
"""Bytes of bytecode per byte of Python source, at least, by the level of ``optimize``: 0.51 was the
least among packages with more than 300 kB of sources (idna, whose sources are tables), and 0.08
without docstrings (pyerfa, whose sources hardly hold anything else). Measured 2026-11-26, CPython
3.13."""

BYTECODE_SHARE = 1.05
"""Bytes of bytecode per byte of Python source, about: 1.05 over 66 MB of sources of the field run.
Measured 2026-11-26, CPython 3.13, without columns as a layer holds it."""

COSTS = {
    BytecodeMode.NONE: "every cold start compiles",
    BytecodeMode.ONLY: "tracebacks show no source lines",
}
"""What each smaller kind of ``bytecode`` costs."""


@dataclass(frozen=True)
class LayerBytes:
    """Bytes of a layer, unpacked or as compressed.

    Attributes:
        others: Of what is neither Python source nor bytecode.
        sources: Of .py files.
        bytecode: Of .pyc files; before they are compiled, the least that they will be.
        mode: Whether the layer holds bytecode.
        compiled: Whether bytecode was counted and not estimated.
        archive: Bytes of the zip, where they are these and not those of its files.
    """

    others: int
    sources: int
    bytecode: int
    mode: BytecodeMode
    compiled: bool = True
    archive: int | None = None

    @property
    def total(self) -> int:
        """All of them; before bytecode is compiled, the least that they become."""
        if self.archive is not None:
            return self.archive
        return self.others + self.sources + self.bytecode

    def under(self, mode: BytecodeMode) -> int:
        """Return what they would be with another ``bytecode``, about."""
        if mode is BytecodeMode.NONE:
            return self.total - self.bytecode
        if self.compiled:
            return self.total - self.sources
        return self.others + round(self.sources * BYTECODE_SHARE)

    def advice(self, limit: float) -> str | None:
        """Name the values of ``bytecode`` with which a limit would hold; None where none does."""
        if self.mode is not BytecodeMode.UNCHECKED_HASH or not self.bytecode:
            return None
        fits = [mode for mode in COSTS if self.under(mode) <= limit]
        about = "about" if self.compiled else "at least"
        named = [f"`bytecode: {m}` ({about} {megabytes(self.under(m))}; {COSTS[m]})" for m in fits]
        return f"set {' or '.join(named)}" if named else None


def possible_mode(target: Target) -> BytecodeMode:
    """Return what becomes of bytecode: none without an interpreter that could compile it."""
    mode = target.settings.bytecode
    if mode is not BytecodeMode.NONE and uv.interpreter(target.runtime.minor) is None:
        return BytecodeMode.NONE
    # A recipe puts bytecode in the place of sources for its own distribution: the least is judged.
    return BytecodeMode.ONLY if _levels(target)[1:] else mode


def _levels(target: Target) -> list[int]:
    """Return the levels of ``optimize`` in a layer: its own, then those of recipes."""
    recipes = [use.bytecode.optimize for use in target.recipes.uses if use.bytecode]
    return [target.settings.optimize, *recipes]


def check(
    target: Target,
    files: Iterable[FileRecord],
    graph: Dependencies,
    *,
    archive: int | None = None,
    last_release: Manifest | None = None,
    mode: BytecodeMode | None = None,
) -> None:
    """Judge a layer against Lambda's limit and all of its budgets, in one report.

    Without a zip, sizes are the least that they can become: what cannot fit is refused before
    anything is compiled.

    Args:
        target: What is built.
        files: Its files; without bytecode where there is no zip.
        graph: Which distribution needs which.
        archive: Bytes of the zip; None where it is not written yet.
        last_release: Manifest that ``budgets.growth`` is judged against.
        mode: What becomes of bytecode, where that is not what layers.yaml asks for.

    Raises:
        BudgetError: It is over a limit; the message and ``parts`` hold every one that it is over.
    """
    listed = list(files)
    mode = mode or target.settings.bytecode
    smallest = SMALLEST_BYTECODE[max(_levels(target))] if archive is None else None
    unzipped = _weight([(file.path, file.size) for file in listed], mode, smallest)
    zipped = _weight([(file.path, file.zipped) for file in listed], mode, smallest)
    zipped = replace(zipped, archive=archive)
    least = "at least " if archive is None else ""
    large = list(_over_unzipped(target, unzipped, least))
    packed = list(_over_zipped(target, zipped, least, last_release))
    problems = [*large, *packed]
    if not problems:
        return
    table = biggest(_by_name(listed, lambda file: file.size if large else file.zipped), graph)
    if packed and archive is not None:
        table += changes(_by_name(listed, lambda file: file.zipped), last_release)
    summary = problems[0].message
    if len(problems) > 1:
        lines = [f"over {len(problems)} limits:", *(f"  {one.message}" for one in problems)]
        summary = "\n".join(lines)
    hints = dict.fromkeys(filter(None, (one.hint for one in problems)))
    raise BudgetError(
        f"{summary}\n{table}", target=target.identifier, hint="; ".join(hints), parts=problems
    )


def _weight(
    sizes: Sequence[tuple[str, int]], mode: BytecodeMode, smallest: float | None
) -> LayerBytes:
    """Sum up sizes; ``smallest`` is the share of bytecode that is not compiled yet, if any."""
    sources = sum(size for path, size in sizes if path.endswith(".py"))
    bytecode = sum(size for path, size in sizes if path.endswith(".pyc"))
    others = sum(size for _, size in sizes) - sources - bytecode
    if smallest is not None and mode is not BytecodeMode.NONE:
        bytecode = round(sources * smallest)
        sources = 0 if mode is BytecodeMode.ONLY else sources
    return LayerBytes(others, sources, bytecode, mode, compiled=smallest is None)


def _by_name(files: Iterable[FileRecord], size: Callable[[FileRecord], int]) -> dict[str, int]:
    sizes: dict[str, int] = {}
    for file in files:
        sizes[file.distribution] = sizes.get(file.distribution, 0) + size(file)
    return sizes


def _over_unzipped(target: Target, weight: LayerBytes, least: str) -> Iterator[BudgetError]:
    what, limit = f"{least}{megabytes(weight.total)} unzipped", runtimes.UNZIPPED_LIMIT
    if weight.bytecode:
        what += f" ({least}{megabytes(weight.bytecode)} of it bytecode)"
    if weight.total > limit:
        yield _over(
            target,
            f"{what} is more than Lambda takes, all layers and code together: {megabytes(limit)}",
            weight.advice(limit)
            or f"`python build/layers.py weigh --layer {target.layer}` shows what can go; what"
            " cannot runs as a container",
        )
    budget = target.settings.budgets.unzipped
    if budget is not None and weight.total > budget:
        yield _over(
            target,
            f"{what}, budget {megabytes(budget)}",
            _or_raise("budgets.unzipped", weight.advice(budget)),
            key="budgets.unzipped",
        )


def _over_zipped(
    target: Target, weight: LayerBytes, least: str, last_release: Manifest | None
) -> Iterator[BudgetError]:
    budgets = target.settings.budgets
    size = f"{least}{megabytes(weight.total)}"
    if budgets.zipped is not None and weight.total > budgets.zipped:
        yield _over(
            target,
            f"{size} zipped, budget {megabytes(budgets.zipped)}",
            _or_raise("budgets.zipped", weight.advice(budgets.zipped)),
            key="budgets.zipped",
        )
    if budgets.growth is None or last_release is None:
        return
    before = last_release.artifact.zipped
    if weight.total > before * (1 + budgets.growth / 100):
        yield _over(
            target,
            f"grew from {megabytes(before)} ({last_release.version}) to {size} zipped, by more"
            f" than {budgets.growth:g} %",
            "raise budgets.growth if the growth is wanted",
            key="budgets.growth",
        )


def _over(target: Target, message: str, hint: str, *, key: str | None = None) -> BudgetError:
    return BudgetError(message, target=target.identifier, hint=hint, key=key)


def _or_raise(key: str, advice: str | None) -> str:
    also = f"; {advice}" if advice else ""
    return f"exclude or prune what is not needed, or raise {key}{also}"


def biggest(sizes: Mapping[str, int], graph: Dependencies) -> str:
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
        unknown: Managed layers among them whose size is not known, and not in ``unzipped``.
    """

    function: str
    runtime: str
    architecture: str
    unzipped: int
    unknown: tuple[str, ...] = ()

    def __str__(self) -> str:
        unknown = ", ".join(self.unknown)
        without = f", without {unknown}, whose size is not known" if unknown else ""
        return (
            f"{self.function} on {self.runtime} {self.architecture}: {megabytes(self.unzipped)}"
            f" of {megabytes(runtimes.UNZIPPED_LIMIT)}{without}"
        )


def check_functions(config: Config, manifests: Sequence[Manifest], root: Path) -> list[Composition]:
    """Judge every function's layers and code together.

    Args:
        config: The configuration.
        manifests: The manifests of what was built.
        root: Folder of layers.yaml.

    Returns:
        Every function on every runtime for which all its layers were built, the largest first: with
        its package where that was built, otherwise with its own code.

    Raises:
        BudgetError: A function is over Lambda's limit of 262,144,000 bytes; ``parts`` holds
            one error per function.
    """
    sizes = {(m.layer, m.runtime, m.architecture): m.artifact.unzipped for m in manifests}
    built = sorted({(m.runtime, m.architecture) for m in manifests})
    found = []
    for name, function in config.functions.items():
        code = code_size(function, root)
        managed = managed_sizes(config, function)
        known = sum(filter(None, managed.values()))
        unknown = tuple(layer for layer, size in managed.items() if size is None)
        for runtime, architecture in built:
            keys = [(layer, runtime, architecture) for layer in function.layers]
            if all(key in sizes for key in keys):
                # A function without a package may have the name of a layer.
                own = sizes.get((name, runtime, architecture)) if function.package else None
                total = (code if own is None else own) + known + sum(sizes[key] for key in keys)
                found.append(Composition(name, runtime, architecture, total, unknown))
    found.sort(key=lambda one: -one.unzipped)
    over = [
        BudgetError(
            f"function {one} with its layers {', '.join(config.functions[one.function].layers)}",
            hint="use fewer or smaller layers in this function",
        )
        for one in found
        if one.unzipped > runtimes.UNZIPPED_LIMIT
    ]
    if over:
        raise BudgetError("\n".join(one.message for one in over), hint=over[0].hint, parts=over)
    return found


def managed_sizes(config: Config, function: Function) -> dict[str, int | None]:
    """Return the managed layers of a function and their bytes under /opt, None where unknown."""
    found: dict[str, int | None] = {}
    for layer in function.layers:
        for given in config.layers[layer].managed_layers:
            name = given if isinstance(given, str) else given.name
            known = runtimes.managed_layer(name)
            told = None if isinstance(given, str) else given.unzipped
            found[name] = told or found.get(name) or (known.unzipped if known else None)
    return found


def code_size(function: Function, root: Path) -> int:
    """Return the bytes of a function's own folder, caches left out."""
    if function.code is None:
        return 0
    found = [path for path in (root / function.code).rglob("*") if "__pycache__" not in path.parts]
    return sum(path.stat().st_size for path in found if path.is_file())

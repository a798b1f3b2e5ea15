"""What the manifest says of distributions, files and what was left out."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from layersmith.assemble import wheel
from layersmith.assemble.bill.licenses import License
from layersmith.assemble.files import OWNER
from layersmith.assemble.manifest import Distribution, FileRecord, KeptRecord, PrunedRule
from layersmith.assemble.tree import PREFIX
from layersmith.base import elf, modules

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from layersmith.assemble.collect import Part
    from layersmith.assemble.manifest import Manifest
    from layersmith.assemble.tree import Entry, Tree
    from layersmith.plan import Target


@dataclass(frozen=True)
class Graph:
    """Which distribution needs which.

    Attributes:
        roots: Normalized names of the distributions that the layer asks for.
        edges: Name to the names it needs on the target.
    """

    roots: list[str]
    edges: dict[str, list[str]]

    def chain(self, name: str) -> list[str]:
        """Return the shortest way from a root to a distribution, both included.

        Returns:
            Names from the root to ``name``; only ``name`` where nothing leads to it.
        """
        waiting = deque([root] for root in sorted(set(self.roots)))
        seen: set[str] = set()
        while waiting:
            chain = waiting.popleft()
            if chain[-1] == name:
                return chain
            if chain[-1] not in seen:
                seen.add(chain[-1])
                waiting.extend([*chain, following] for following in self.edges.get(chain[-1], []))
        return [name]


def graph_of(manifest: Manifest) -> Graph:
    """Return the graph that a manifest records."""
    asked = [canonicalize_name(Requirement(text).name) for text in manifest.inputs.requirements]
    local = [dist.name for dist in manifest.distributions if dist.origin == "local"]
    edges = {dist.name: dist.requires for dist in manifest.distributions}
    return Graph([*asked, *local], edges)


def graph(parts: Sequence[Part], asked: Sequence[str], target: Target) -> Graph:
    """Return the graph of a layer, extras followed and markers judged for the target.

    Args:
        parts: The distributions of the layer.
        asked: The requirements as asked for (PEP 508).
        target: The target that markers are judged for.
    """
    known = {part.name: part for part in parts}
    waiting: deque[tuple[str, frozenset[str]]] = deque(
        (canonicalize_name(requirement.name), frozenset(requirement.extras))
        for requirement in map(Requirement, asked)
    )
    waiting.extend((part.name, frozenset()) for part in parts if part.origin == "local")
    roots = [name for name, _ in waiting]
    extras: dict[str, frozenset[str]] = {}
    edges: dict[str, set[str]] = {}
    while waiting:
        name, wanted = waiting.popleft()
        if name in edges and wanted <= extras[name]:
            continue
        extras[name] = extras.get(name, frozenset()) | wanted
        edges.setdefault(name, set())
        part = known.get(name)
        if part is None or part.wheel is None:
            continue
        for requirement in part.wheel.requirements(target, extras[name]):
            dependency = canonicalize_name(requirement.name)
            edges[name].add(dependency)
            waiting.append((dependency, frozenset(requirement.extras)))
    return Graph(roots, {name: sorted(found) for name, found in edges.items()})


def distributions(
    tree: Tree,
    parts: Sequence[Part],
    edges: Mapping[str, list[str]],
    sizes: Mapping[str, int],
) -> list[Distribution]:
    """Return the record of every distribution, by name."""
    files: dict[str, list[Entry]] = {}
    for entry in tree:
        files.setdefault(entry.distribution, []).append(entry)
    return [
        _distribution(part, files.get(part.name, []), edges.get(part.name, []), sizes)
        for part in parts
    ]


def _distribution(
    part: Part, entries: list[Entry], requires: list[str], sizes: Mapping[str, int]
) -> Distribution:
    terms = part.wheel.license if part.wheel else License()
    return Distribution(
        name=part.name,
        version=part.version,
        origin=part.origin,
        filename=part.filename,
        sha256=part.sha256,
        unzipped=sum(entry.size for entry in entries),
        zipped=sum(sizes[entry.path] for entry in entries),
        native=sum(entry.size for entry in entries if is_native(entry)),
        bytecode=sum(entry.size for entry in entries if entry.path.endswith(".pyc")),
        files=len(entries),
        modules=wheel.top_level_modules(
            entry.inner for entry in entries if entry.path.startswith(PREFIX)
        ),
        requires=requires,
        license=terms.shown,
        license_expression=terms.expression,
    )


def is_native(entry: Entry) -> bool:
    """Whether a file looks like a shared library by its name, or is a program of `files`."""
    if entry.distribution == OWNER:
        return elf.is_elf(entry.source.read())
    return modules.is_native(entry.path)


def files(tree: Tree, sizes: Mapping[str, int]) -> list[FileRecord]:
    """Return the record of every file, in the order of the zip."""
    return [
        FileRecord(
            path=entry.path,
            size=entry.size,
            zipped=sizes[entry.path],
            distribution=entry.distribution,
        )
        for entry in tree.sorted()
    ]


def pruned(tree: Tree) -> list[PrunedRule]:
    """Return what every rule removed, by rule."""
    totals: dict[str, list[int]] = {}
    for removed in tree.removed:
        total = totals.setdefault(removed.rule, [0, 0])
        total[0] += 1
        total[1] += removed.size
    return [
        PrunedRule(rule=rule, files=count, unzipped=size)
        for rule, (count, size) in sorted(totals.items())
    ]


def kept(tree: Tree) -> list[KeptRecord]:
    """Return what no rule removed although it matches, by path."""
    return [
        KeptRecord(path=path, rule=kept.rule, reason=kept.reason)
        for path, kept in sorted(tree.kept.items())
    ]

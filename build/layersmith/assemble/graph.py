"""Who pulls whom: shortest chains, and dominators, which say what would go if one went.

A distribution is dominated by another if every way from what was asked for leads through that
other; so the bytes that a distribution retains are its own and those of all that it dominates.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from layersmith.assemble.collect import Part
    from layersmith.assemble.manifest import Manifest
    from layersmith.plan import Target

ROOT = ""
"""The node above everything that was asked for."""


@dataclass(frozen=True)
class Dependencies:
    """Which distribution needs which.

    Attributes:
        roots: What was asked for, normalized names.
        edges: Name to the names it needs. Names that are not keys need nothing.
    """

    roots: Sequence[str]
    edges: Mapping[str, Sequence[str]]

    @cached_property
    def order(self) -> list[str]:
        """All that can be reached in reverse postorder, ``ROOT`` first."""
        seen, postorder = {ROOT}, []
        stack = [(ROOT, iter(self._next(ROOT)))]
        while stack:
            node, following = stack[-1]
            for child in following:
                if child not in seen:
                    seen.add(child)
                    stack.append((child, iter(self._next(child))))
                    break
            else:
                postorder.append(node)
                stack.pop()
        return postorder[::-1]

    @cached_property
    def dominators(self) -> dict[str, str]:
        """The immediate dominator of everything that can be reached, ``ROOT`` included.

        By the iteration of Cooper, Harvey and Kennedy (A Simple, Fast Dominance Algorithm, 2001).
        """
        place = {node: number for number, node in enumerate(self.order)}
        pulled_by: dict[str, list[str]] = {}
        for node in self.order:
            for child in self._next(node):
                pulled_by.setdefault(child, []).append(node)
        above = {ROOT: ROOT}
        changed = True
        while changed:
            changed = False
            for node in self.order[1:]:
                ready = [one for one in pulled_by[node] if one in above]
                found = ready[0]
                for other in ready[1:]:
                    found = _meet(found, other, above, place)
                if above.get(node) != found:
                    above[node] = found
                    changed = True
        return above

    def retained(self, sizes: Mapping[str, int]) -> dict[str, int]:
        """Return for each name the bytes of itself and of all that it dominates."""
        totals = {node: sizes.get(node, 0) for node in self.order}
        for node in reversed(self.order[1:]):
            totals[self.dominators[node]] += totals[node]
        del totals[ROOT]
        return totals

    def dominated(self, name: str) -> list[str]:
        """Return what would go with a distribution, itself included, sorted."""
        gone = {name}
        for node in self.order[1:]:
            if self.dominators[node] in gone:
                gone.add(node)
        return sorted(gone & {*self.order})

    def chains(self) -> dict[str, list[str]]:
        """Return the shortest way from what was asked for to each name, both included."""
        found = {root: [root] for root in sorted(set(self.roots))}
        waiting = deque(found)
        while waiting:
            node = waiting.popleft()
            for child in sorted(self._next(node)):
                if child not in found:
                    found[child] = [*found[node], child]
                    waiting.append(child)
        return found

    def chain(self, name: str) -> list[str]:
        """Return the shortest way to one name; only ``name`` where nothing leads to it."""
        return self.chains().get(name, [name])

    def reached(self, without: Iterable[tuple[str, str]] = ()) -> set[str]:
        """Return what can be reached when some edges are taken away."""
        cut = set(without)
        seen, waiting = {*self.roots}, deque(self.roots)
        while waiting:
            node = waiting.popleft()
            for child in self._next(node):
                if child not in seen and (node, child) not in cut:
                    seen.add(child)
                    waiting.append(child)
        return seen

    def _next(self, node: str) -> Sequence[str]:
        return self.roots if node == ROOT else self.edges.get(node, ())


def _meet(one: str, other: str, above: Mapping[str, str], place: Mapping[str, int]) -> str:
    """Return the closest node that both are dominated by, as far as that is known."""
    while one != other:
        while place[one] > place[other]:
            one = above[one]
        while place[other] > place[one]:
            other = above[other]
    return one


def graph_of(manifest: Manifest) -> Dependencies:
    """Return the graph that a manifest records."""
    asked = [canonicalize_name(Requirement(text).name) for text in manifest.inputs.requirements]
    local = [dist.name for dist in manifest.distributions if dist.origin == "local"]
    edges = {dist.name: dist.requires for dist in manifest.distributions}
    return Dependencies([*asked, *local], edges)


def graph_of_parts(parts: Sequence[Part], asked: Sequence[str], target: Target) -> Dependencies:
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
    return Dependencies(roots, {name: sorted(found) for name, found in edges.items()})

"""Places the states of a state machine: ranks from the start downwards, few crossings.

The usual way of layered drawing: edges that lead back are set aside, a state's rank is its longest
way from the start, and the states of a rank are ordered by where their neighbours are.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

CHARACTER = 7.0
"""Width of a character of the label, in the drawing's units (12 px of a monospaced font)."""

HEIGHT = 32.0
PADDING = 12.0
GAP_ACROSS = 28.0
GAP_DOWN = 44.0
SWEEPS = 8


@dataclass(frozen=True)
class Edge:
    """A way from one state to another.

    Attributes:
        start: Name of the state it leaves.
        end: Name of the state it leads to.
        kind: ``next``, ``choice``, ``default`` or ``catch``.
    """

    start: str
    end: str
    kind: str


@dataclass
class Box:
    """A state and its place; the machine inside it, if it is a map.

    Attributes:
        name: Of the state.
        type: Such as Task or Choice.
        width: In the drawing's units.
        height: In the drawing's units.
        x: Of the left edge.
        y: Of the top edge.
        inner: What a map does with each item.
    """

    name: str
    type: str
    width: float
    height: float
    x: float = 0.0
    y: float = 0.0
    inner: Drawing | None = None


@dataclass
class Drawing:
    """Placed states and the edges between them.

    Attributes:
        boxes: By name.
        edges: In the order of the definition.
        start: Name of the first state.
        width: Of everything.
        height: Of everything.
    """

    boxes: dict[str, Box]
    edges: list[Edge]
    start: str
    width: float = 0.0
    height: float = 0.0
    ranks: list[list[str]] = field(default_factory=list)


def draw(machine: Mapping[str, Any]) -> Drawing:
    """Place the states of a machine, and of the machines inside its maps.

    Args:
        machine: A definition in the Amazon States Language, or an ItemProcessor.
    """
    states = machine["States"]
    drawing = Drawing(
        {name: _box(name, state) for name, state in states.items()}, [], machine["StartAt"]
    )
    drawing.edges = [edge for name, state in states.items() for edge in edges(name, state)]
    drawing.ranks = _ranks(drawing)
    _order(drawing)
    _place(drawing)
    return drawing


def edges(name: str, state: Mapping[str, Any]) -> list[Edge]:
    """Return where a state may lead, each way once."""
    found = []
    if "Next" in state:
        found.append(Edge(name, state["Next"], "next"))
    found += [Edge(name, choice["Next"], "choice") for choice in state.get("Choices", [])]
    if "Default" in state:
        found.append(Edge(name, state["Default"], "default"))
    found += [Edge(name, catch["Next"], "catch") for catch in state.get("Catch", [])]
    return list({(edge.end, edge.kind): edge for edge in found}.values())


def _box(name: str, state: Mapping[str, Any]) -> Box:
    width = len(name) * CHARACTER + 2 * PADDING
    if "ItemProcessor" not in state:
        return Box(name, state["Type"], width, HEIGHT)
    inner = draw(state["ItemProcessor"])
    return Box(
        name,
        state["Type"],
        max(width, inner.width + 2 * PADDING),
        inner.height + HEIGHT + PADDING,
        inner=inner,
    )


def _ranks(drawing: Drawing) -> list[list[str]]:
    """Return the names by rank; what lies on a circle is ranked without the edge that closes it."""
    after: dict[str, list[str]] = {name: [] for name in drawing.boxes}
    for edge in drawing.edges:
        after[edge.start].append(edge.end)
    forward = _without_circles(drawing.start, after)
    rank: dict[str, int] = {}
    for name in _topological(forward):
        before = [
            rank[one] for one, following in forward.items() if name in following and one in rank
        ]
        rank[name] = max(before, default=-1) + 1
    ranks: list[list[str]] = [[] for _ in range(max(rank.values()) + 1)]
    for name in drawing.boxes:
        ranks[rank[name]].append(name)
    return ranks


def _without_circles(start: str, after: Mapping[str, list[str]]) -> dict[str, list[str]]:
    forward: dict[str, list[str]] = {name: [] for name in after}
    state: dict[str, str] = {}

    def visit(name: str) -> None:
        state[name] = "open"
        for other in after[name]:
            if state.get(other) == "open":
                continue
            forward[name].append(other)
            if other not in state:
                visit(other)
        state[name] = "done"

    visit(start)
    return forward


def _topological(forward: Mapping[str, list[str]]) -> list[str]:
    seen: set[str] = set()
    order: list[str] = []

    def visit(name: str) -> None:
        seen.add(name)
        for other in reversed(forward[name]):
            if other not in seen:
                visit(other)
        order.append(name)

    for name in reversed(list(forward)):
        if name not in seen:
            visit(name)
    return order[::-1]


def _order(drawing: Drawing) -> None:
    """Move each state to the mean place of its neighbours, downwards and upwards in turn."""
    neighbours: dict[str, list[str]] = {name: [] for name in drawing.boxes}
    for edge in drawing.edges:
        neighbours[edge.start].append(edge.end)
        neighbours[edge.end].append(edge.start)
    for sweep in range(SWEEPS):
        place = {
            name: index / len(rank) for rank in drawing.ranks for index, name in enumerate(rank)
        }
        for rank in drawing.ranks if sweep % 2 == 0 else reversed(drawing.ranks):
            means = {
                name: sum(place[one] for one in neighbours[name]) / len(neighbours[name])
                if neighbours[name]
                else place[name]
                for name in rank
            }
            rank.sort(key=lambda name, means=means: (means[name], name))  # type: ignore[misc]
            place |= {name: index / len(rank) for index, name in enumerate(rank)}


def _place(drawing: Drawing) -> None:
    boxes = drawing.boxes
    widths = [
        sum(boxes[name].width for name in rank) + GAP_ACROSS * (len(rank) - 1)
        for rank in drawing.ranks
    ]
    drawing.width = max(widths)
    y = 0.0
    for rank, width in zip(drawing.ranks, widths, strict=True):
        x = (drawing.width - width) / 2
        for name in rank:
            boxes[name].x, boxes[name].y = x, y
            x += boxes[name].width + GAP_ACROSS
        y += max(boxes[name].height for name in rank) + GAP_DOWN
    drawing.height = y - GAP_DOWN

"""Pictures of state machines as SVG, drawn from their definitions.

The same definition gives the same bytes, so that a test can tell when a picture is out of date.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import escape

from layersmith.stacks import layout

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from layersmith.stacks.layout import Box, Drawing, Edge

MARGIN = 24.0
SUFFIX = ".asl.json"

FILLS = {
    "Task": "#dbeafe",
    "Choice": "#fef9c3",
    "Map": "#f3f4f6",
    "Wait": "#ede9fe",
    "Pass": "#ffffff",
    "Succeed": "#dcfce7",
    "Fail": "#fee2e2",
}
STROKES = {"next": "#374151", "choice": "#374151", "default": "#9ca3af", "catch": "#dc2626"}

HEAD = """\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" \
width="{width:.0f}" height="{height:.0f}" font-family="ui-monospace, monospace" font-size="12">
<title>{title}</title>
<defs><marker id="end" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="7" markerHeight="7" \
orient="auto"><path d="M0 0 L8 4 L0 8 z" fill="#374151"/></marker></defs>
<rect width="100%" height="100%" fill="#ffffff"/>"""


def picture(title: str, machine: Mapping[str, Any]) -> str:
    """Return the SVG of a state machine.

    Args:
        title: What a screen reader says.
        machine: Its definition.
    """
    drawing = layout.draw(machine)
    head = HEAD.format(
        width=drawing.width + 2 * MARGIN, height=drawing.height + 2 * MARGIN, title=escape(title)
    )
    return "\n".join([head, *_drawing(drawing, MARGIN, MARGIN), "</svg>", ""])


def pictures(machines: Path) -> dict[str, str]:
    """Return file name -> SVG for every definition of a folder."""
    return {
        f"{path.name.removesuffix(SUFFIX)}.svg": picture(
            f"State machine {path.name.removesuffix(SUFFIX)}", json.loads(path.read_text("utf-8"))
        )
        for path in sorted(machines.glob(f"*{SUFFIX}"))
    }


def _drawing(drawing: Drawing, left: float, top: float) -> Iterator[str]:
    for edge in drawing.edges:
        yield _edge(drawing, edge, left, top)
    for box in drawing.boxes.values():
        yield from _box(box, left, top, first=box.name == drawing.start)


def _box(box: Box, left: float, top: float, *, first: bool) -> Iterator[str]:
    x, y = left + box.x, top + box.y
    width = "2" if first else "1"
    yield (
        f'<g><title>{box.type}</title><rect x="{x:.1f}" y="{y:.1f}" width="{box.width:.1f}" '
        f'height="{box.height:.1f}" rx="6" fill="{FILLS[box.type]}" stroke="#374151" '
        f'stroke-width="{width}"/><text x="{x + box.width / 2:.1f}" y="{y + 20:.1f}" '
        f'text-anchor="middle">{escape(box.name)}</text></g>'
    )
    if box.inner is not None:
        indent = (box.width - box.inner.width) / 2
        yield from _drawing(box.inner, x + indent, y + layout.HEIGHT)


def _edge(drawing: Drawing, edge: Edge, left: float, top: float) -> str:
    start, end = drawing.boxes[edge.start], drawing.boxes[edge.end]
    style = f'stroke="{STROKES[edge.kind]}"'
    if edge.kind in {"catch", "default"}:
        style += ' stroke-dasharray="5 3"'
    return f'<path d="{_path(start, end, left, top)}" fill="none" {style} marker-end="url(#end)"/>'


def _path(start: Box, end: Box, left: float, top: float) -> str:
    if end.y > start.y:
        x1, y1 = left + start.x + start.width / 2, top + start.y + start.height
        x2, y2 = left + end.x + end.width / 2, top + end.y
        y = (y1 + y2) / 2
        return f"M{x1:.1f} {y1:.1f} C{x1:.1f} {y:.1f} {x2:.1f} {y:.1f} {x2:.1f} {y2:.1f}"
    # A way back goes around the right side.
    x1, y1 = left + start.x + start.width, top + start.y + start.height / 2
    x2, y2 = left + end.x + end.width, top + end.y + end.height / 2
    out = max(x1, x2) + 40
    return f"M{x1:.1f} {y1:.1f} C{out:.1f} {y1:.1f} {out:.1f} {y2:.1f} {x2:.1f} {y2:.1f}"

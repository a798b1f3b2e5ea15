"""The table of all ARNs for people: one HTML file that needs nothing else, and CSV."""

from __future__ import annotations

import csv
import html as escaping
import io
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING

from layersmith.base.versions import order

if TYPE_CHECKING:
    from collections.abc import Sequence

    from layersmith.ship.index.document import IndexEntry

PAGE = Path(__file__).with_name("catalog.html")
COLUMNS = ("layer", "version", "runtime", "architecture", "region", "state", "arn")


def state(entry: IndexEntry) -> str:
    """Return ``latest``, ``yanked: <reason>``, or nothing."""
    if entry.yanked is not None:
        return f"yanked: {entry.yanked}"
    return "latest" if entry.latest else ""


def rows(entries: Sequence[IndexEntry]) -> list[tuple[str, ...]]:
    """Return the cells of the table, newest versions of a layer first."""
    by_version = sorted(entries, key=lambda entry: order(entry.version), reverse=True)
    ordered = sorted(
        by_version, key=lambda e: (e.layer, not e.latest, e.runtime, e.architecture, e.region)
    )
    return [
        (e.layer, e.version, e.runtime, e.architecture, e.region, state(e), e.arn) for e in ordered
    ]


def csv_table(entries: Sequence[IndexEntry]) -> str:
    """Return the table as CSV (RFC 4180, with a header line)."""
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow(COLUMNS)
    writer.writerows(rows(entries))
    return buffer.getvalue()


def html(entries: Sequence[IndexEntry]) -> str:
    """Return the table as one HTML page, with search and copy buttons."""
    body = "\n".join(_row(cells) for cells in rows(entries))
    return Template(PAGE.read_text(encoding="utf-8")).substitute(rows=body, count=len(entries))


def _row(cells: tuple[str, ...]) -> str:
    *facts, arn = (escaping.escape(cell) for cell in cells)
    layer, version, runtime, architecture, region, said = facts
    kind = "yanked" if said.startswith("yanked") else said
    badge = f'<span class="badge {kind}">{said}</span>' if said else ""
    label = f"Copy the ARN of {layer} {version} for {runtime} on {architecture} in {region}"
    return (
        f'<tr><th scope="row">{layer}</th><td>{version} {badge}</td><td>{runtime}</td>'
        f"<td>{architecture}</td><td>{region}</td>"
        f'<td><button type="button" class="copy" aria-label="{label}">Copy</button></td>'
        f'<td class="arn"><code>{arn}</code></td></tr>'
    )

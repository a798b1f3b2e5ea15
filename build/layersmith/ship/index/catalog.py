"""The table of all ARNs for people: one HTML file that needs nothing else, and CSV."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import TYPE_CHECKING

import jinja2

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
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    page = environment.from_string(PAGE.read_text(encoding="utf-8"))
    return page.render(rows=[dict(zip(COLUMNS, cells, strict=True)) for cells in rows(entries)])

"""The table of all ARNs for people: one HTML file that needs nothing else, and CSV."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import TYPE_CHECKING

import jinja2

from layersmith.base.versions import order
from layersmith.ship.index import snippets

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from layersmith.ship.index.document import IndexEntry

PAGE = Path(__file__).with_name("catalog.html")
LATEST = "latest"
"""State of the version that a region's pointer of that name leads to."""

COLUMNS = ("layer", "version", "runtime", "architecture", "region", "state", "arn")


def state(entry: IndexEntry) -> str:
    """Return ``latest``, ``yanked: <reason>``, or nothing."""
    if entry.yanked is not None:
        return f"yanked: {entry.yanked}"
    return LATEST if entry.latest else ""


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
    cells = [dict(zip(COLUMNS, row, strict=True)) for row in rows(entries)]
    return page.render(
        rows=[{**row, "words": json.dumps(_words(row))} for row in cells],
        templates=snippets.templates(),
        # The page's own element must not end within its text.
        data=json.dumps(snippets.templates()).replace("<", "\\u003c"),
    )


def _words(row: Mapping[str, str]) -> dict[str, str]:
    """Return what the page puts into the templates for a row."""
    version = LATEST if row["state"] == LATEST else row["version"]
    place = (row["layer"], row["runtime"], row["architecture"])
    return snippets.words(place, version, row["region"], row["arn"])

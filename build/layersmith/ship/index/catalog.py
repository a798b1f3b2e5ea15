"""The table of all ARNs for people: one HTML file that needs nothing else, and CSV.

Beside it, what to paste so that a function uses a layer version: templates as data, in
snippets.toml. The command line and the page of all ARNs fill in the same templates with the same
words.
"""

from __future__ import annotations

import csv
import functools
import io
import json
import re
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import jinja2

from layersmith.base.versions import order
from layersmith.ship.aws import labels

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from layersmith.ship.index.document import IndexEntry
    from layersmith.ship.pointers.interface import Place

PAGE = Path(__file__).with_name("catalog.html")
LATEST = "latest"
"""State of the version that a region's pointer of that name leads to."""

COLUMNS = ("layer", "version", "runtime", "architecture", "region", "state", "arn")

TEMPLATES = Path(__file__).with_name("snippets.toml")

Source = Literal["parameter", "arn"]
"""What a snippet names."""

_WORD = re.compile(r"@\{(\w+)\}")


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
        templates=templates(),
        # The page's own element must not end within its text.
        data=json.dumps(templates()).replace("<", "\\u003c"),
    )


def _words(row: Mapping[str, str]) -> dict[str, str]:
    """Return what the page puts into the templates for a row."""
    version = LATEST if row["state"] == LATEST else row["version"]
    place = (row["layer"], row["runtime"], row["architecture"])
    return words(place, version, row["region"], row["arn"])


@functools.cache
def templates() -> dict[str, dict[str, str]]:
    """Return format to its title and its templates by source, in the order of the file."""
    found = tomllib.loads(TEMPLATES.read_text("utf-8"))
    return {
        name: {key: text.lstrip("\n") for key, text in one.items()} for name, one in found.items()
    }


def words(place: Place, version: str, region: str = "", arn: str = "") -> dict[str, str]:
    """Return what the templates hold places for.

    Args:
        place: Layer, runtime and architecture.
        version: Semantic version, or ``latest``.
        region: Where the ARN is.
        arn: Of the layer version.
    """
    layer, runtime, architecture = place
    parts = [*layer.split("-"), "layer"]
    return {
        "layer": layer,
        "version": version,
        "runtime": runtime,
        "architecture": architecture,
        "region": region,
        "arn": arn,
        "parameter": labels.parameter(*place, version),
        "logical": "".join(part.capitalize() for part in parts),
        "name": "_".join(parts),
        "variable": "_".join(parts).upper(),
    }


def fill(kind: str, source: Source, values: Mapping[str, str]) -> str:
    """Return the text of a format.

    Args:
        kind: Name of the format.
        source: Whether it names the SSM parameter or the ARN.
        values: Of `words`.
    """
    return _WORD.sub(lambda found: values[found[1]], templates()[kind][source])

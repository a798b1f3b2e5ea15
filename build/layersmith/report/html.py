"""Writes the HTML report: one file that holds its data, and all that draws it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jinja2

from layersmith import __version__
from layersmith.console import size
from layersmith.report import figures, verdict, views
from layersmith.report.records import OWN_CODE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from layersmith.report.records import FunctionParts, ReportedArtifact
    from layersmith.report.verdict import Decision

PAGE = Path(__file__).with_name("page")
"""Folder of the template, the style and the script."""


def render(
    artifacts: Sequence[ReportedArtifact],
    compositions: Sequence[FunctionParts] = (),
    *,
    costs: Sequence[dict[str, Any]] = (),
    commit: str | None = None,
) -> str:
    """Return the report.

    Args:
        artifacts: What is reported, at least one target.
        compositions: The functions of layers.yaml with their layers.
        costs: The history of costs, a record a day.
        commit: The commit that layers.yaml is of.
    """
    from markupsafe import Markup  # noqa: PLC0415 -- start-up time

    pages, common = environment()
    most = figures.MOST_FILES // len(artifacts)
    files = {one.manifest.identifier: figures.files(one.manifest, most) for one in artifacts}
    return pages.get_template("page.html.j2").render(
        **common,
        commit=commit,
        verdict=answer(artifacts, compositions),
        kinds=[(f"k-{kind}", kind) for kind in figures.KINDS],
        targets=[views.target(one, compositions) for one in artifacts],
        functions=_functions(compositions),
        costs=_costs(costs),
        licences=_licences(artifacts),
        size=size,
        # What is marked as safe is our own, or escaped by in_script.
        js=Markup((PAGE / "page.js").read_text("utf-8")),  # noqa: S704
        files=Markup(in_script(files)),  # noqa: S704
    )


def environment() -> tuple[jinja2.Environment, dict[str, Any]]:
    """Return what renders the pages, and what all of them are given."""
    from markupsafe import Markup  # noqa: PLC0415 -- start-up time

    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(PAGE),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
    )
    style = (PAGE / "page.css").read_text("utf-8")
    return made, {"version": __version__, "css": Markup(style)}  # noqa: S704


def answer(
    artifacts: Sequence[ReportedArtifact], compositions: Sequence[FunctionParts] = ()
) -> Decision:
    """Return whether all targets may ship, as the page says at its top."""
    return verdict.answer(
        [(one.manifest.identifier, verdict.checks(one, compositions)) for one in artifacts]
    )


def in_script(value: Any) -> str:
    """Return data as JSON that may stand in a script element, whatever its strings hold."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return text.replace("<", r"\u003c").replace("\u2028", r"\u2028").replace("\u2029", r"\u2029")


def _functions(compositions: Sequence[FunctionParts]) -> dict[str, Any] | None:
    if not compositions:
        return None
    names = list(dict.fromkeys(part for one in compositions for part in one.parts))
    names.sort(key=lambda part: part == OWN_CODE)
    colours = {name: f"c{number % figures.PALETTE}" for number, name in enumerate(names)}
    largest: dict[str, FunctionParts] = {}
    for one in sorted(compositions, key=lambda one: -one.total):
        largest.setdefault(one.function, one)
    rows = [
        (
            one.function,
            f"{one.runtime} {one.architecture}",
            ", ".join(f"{name} {size(count)}" for name, count in one.parts.items()),
            size(one.total),
            f"{one.share:.1%}",
        )
        for one in compositions
    ]
    return {
        "longest": f"{max(one.share for one in compositions):.0%}",
        "parts": [(colour, name) for name, colour in colours.items()],
        "largest": [
            {
                "name": one.function,
                "on": f"{one.runtime} {one.architecture}",
                "total": size(one.total),
                "share": f"{one.share:.1%}",
                "parts": [
                    (colours[name], f"{100 * count / (one.total or 1) * min(1, one.share):.2f}")
                    for name, count in one.parts.items()
                ],
            }
            for one in largest.values()
        ],
        "table": views.table("function|on|parts|together#|of the limit#", rows),
    }


def _costs(days: Sequence[dict[str, Any]]) -> views.Table | None:
    """Return a row a month: each day's record holds the month up to it."""
    months = {str(day["date"])[:7]: day for day in days}
    widest = max((day["total"] for day in months.values()), default=0) or 1
    rows = [
        (
            str(day["date"]),
            views.Bar("", 0, 100 * day["total"] / widest, "mine"),
            f"{day['total']:,.2f} {day.get('currency', 'USD')}",
        )
        for day in months.values()
    ]
    return views.table("up to|this month|cost#", rows) if rows else None


def _licences(artifacts: Sequence[ReportedArtifact]) -> views.Table:
    """Return a row a distribution, version and licence, with the layers that hold it."""
    holders: dict[tuple[str, str, str], set[str]] = {}
    for one in artifacts:
        for dist in one.manifest.distributions:
            key = (dist.name, dist.version, dist.license or "not stated")
            holders.setdefault(key, set()).add(one.manifest.layer)
    rows = [(*key, ", ".join(sorted(layers))) for key, layers in sorted(holders.items())]
    return views.table("distribution|version|licence|in", rows)

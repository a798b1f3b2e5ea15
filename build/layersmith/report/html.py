"""Writes the HTML report: one file that holds its data, its charts and all that draws them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jinja2
import plotly.offline

from layersmith import __version__
from layersmith.console import size
from layersmith.report import figures, views

if TYPE_CHECKING:
    from collections.abc import Sequence

    from layersmith.report.functions import FunctionParts
    from layersmith.report.records import ReportedArtifact

PAGE = Path(__file__).with_name("page")
"""Folder of the template, the style and the script."""


def render(
    artifacts: Sequence[ReportedArtifact], compositions: Sequence[FunctionParts] = ()
) -> str:
    """Return the report.

    Args:
        artifacts: What is reported, at least one target.
        compositions: The functions of layers.yaml with their layers.
    """
    from markupsafe import Markup  # noqa: PLC0415 -- start-up time

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(PAGE),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
    )
    return environment.get_template("page.html.j2").render(
        version=__version__,
        targets=[views.target(one) for one in artifacts],
        functions=_functions(compositions),
        history=_history(artifacts),
        licences=_licences(artifacts),
        # What is marked as safe is our own, the library's, or escaped by in_script.
        css=Markup((PAGE / "page.css").read_text("utf-8")),  # noqa: S704
        js=Markup((PAGE / "page.js").read_text("utf-8")),  # noqa: S704
        plotly=Markup(plotly.offline.get_plotlyjs().replace("</script", r"<\/script")),  # noqa: S704
        figures=Markup(in_script(_figures(artifacts, compositions))),  # noqa: S704
    )


def in_script(value: Any) -> str:
    """Return data as JSON that may stand in a script element, whatever its strings hold."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return text.replace("<", r"\u003c").replace("\u2028", r"\u2028").replace("\u2029", r"\u2029")


def _figures(
    artifacts: Sequence[ReportedArtifact], compositions: Sequence[FunctionParts]
) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for one in artifacts:
        name = one.manifest.identifier
        found[f"treemap-{name}"] = figures.treemap(one.manifest)
        if one.imports:
            found[f"imports-{name}"] = figures.icicle(one.imports)
        if one.cold_start:
            found[f"cold-{name}"] = figures.cold_starts(one.cold_start)
    if compositions:
        found["functions"] = figures.functions(compositions)
    if _released(artifacts):
        found["history"] = figures.history(_released(artifacts))
    return found


def _released(artifacts: Sequence[ReportedArtifact]) -> dict[str, Any]:
    """Return the releases of every target that has more than one."""
    return {one.manifest.identifier: one.history for one in artifacts if len(one.history) > 1}


def _functions(compositions: Sequence[FunctionParts]) -> dict[str, Any] | None:
    if not compositions:
        return None
    longest = max(compositions, key=lambda one: one.total)
    rows = [
        (
            one.function,
            f"{one.runtime} {one.architecture}",
            ", ".join(f"{name} {size(count)}" for name, count in one.parts.items()),
            size(one.total),
            f"{100 * one.share:.1f} %",
        )
        for one in compositions
    ]
    return {
        "longest": f"{100 * longest.share:.0f} %",
        "label": f"Bars: layers and code of every function against 262,144,000 bytes."
        f" The largest is {longest.function} with {size(longest.total)}.",
        **views.table("function|on|parts|together#|of the limit#", rows)._asdict(),
    }


def _history(artifacts: Sequence[ReportedArtifact]) -> dict[str, Any] | None:
    rows = [
        (name, release.version, size(release.zipped), size(release.unzipped))
        for name, found in _released(artifacts).items()
        for release in found
    ]
    return views.table("target|release|zip#|unpacked#", rows)._asdict() if rows else None


def _licences(artifacts: Sequence[ReportedArtifact]) -> views.Table:
    """Return a row a distribution, version and licence, with the layers that hold it."""
    holders: dict[tuple[str, str, str], set[str]] = {}
    for one in artifacts:
        for dist in one.manifest.distributions:
            key = (dist.name, dist.version, dist.license or "not stated")
            holders.setdefault(key, set()).add(one.manifest.layer)
    rows = [(*key, ", ".join(sorted(layers))) for key, layers in sorted(holders.items())]
    return views.table("distribution|version|licence|in", rows)

"""The charts of the report, as Plotly figures (JSON); the page gives them the colours of its theme.

A node's kind stands in ``customdata``, so that the page can colour it, and so can a reader of the
page's source.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from layersmith.base import modules, runtimes
from layersmith.console import size
from layersmith.report.functions import CODE

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from layersmith.assemble.manifest import FileRecord, Manifest
    from layersmith.prove.cold.importtime import Import, ImportTree
    from layersmith.prove.cold.models import ColdStartReport, Variant
    from layersmith.report.functions import FunctionParts
    from layersmith.report.records import ReportedRelease

KINDS = ("native", "python", "bytecode", "data")
"""What a file of a layer is, in the order of the legend."""

LEAST_SHARE = 0.002
"""Share of all imports below which modules are drawn together."""

PALETTE = 7
"""Distributions that have a colour of their own in the icicle; the page holds as many."""

VARIANTS = {
    "layer": "this layer",
    "no-bytecode": "without its bytecode",
    "plain": "plain installation",
    "floor": "floor: no layer",
}


def kind(path: str) -> str:
    """Return what a file is: one of ``KINDS``."""
    name = PurePosixPath(path).name
    if modules.is_native(name):
        return "native"
    if name.endswith(".pyc"):
        return "bytecode"
    return "python" if name.endswith(".py") else "data"


def treemap(manifest: Manifest) -> dict[str, Any]:
    """Return the files of a layer as areas: layer, distributions, files. Areas are bytes."""
    import plotly.graph_objects as go  # noqa: PLC0415 -- start-up time

    root = manifest.identifier
    rows = [(root, manifest.layer, "", manifest.artifact.unzipped, "layer")]
    rows += [
        (f"{root}/{one.name}", one.name, root, one.unzipped, "distribution")
        for one in sorted(manifest.distributions, key=lambda dist: -dist.unzipped)
    ]
    rows += [_tile(root, file) for file in manifest.files if file.size]
    ids, labels, parents, values, kinds = zip(*rows, strict=True)
    trace = go.Treemap(
        ids=ids,
        labels=labels,
        parents=parents,
        values=values,
        customdata=[[size(v), k] for v, k in zip(values, kinds, strict=True)],
        branchvalues="total",
        maxdepth=3,
        texttemplate="%{label}<br>%{customdata[0]}",
        hovertemplate="%{id}<br>%{customdata[0]}, %{percentRoot} of the layer<extra></extra>",
        pathbar={"visible": True},
        tiling={"packing": "squarify", "pad": 1},
        sort=True,
    )
    return _figure(trace, height=560)


def _tile(root: str, file: FileRecord) -> tuple[str, str, str, int, str]:
    parent = f"{root}/{file.distribution}"
    name = modules.without_tag(PurePosixPath(file.path).name)
    return f"{parent}/{file.path}", name, parent, file.size, kind(file.path)


def icicle(tree: ImportTree) -> dict[str, Any]:
    """Return import times as bands: a module below the one that imported it first."""
    import plotly.graph_objects as go  # noqa: PLC0415 -- start-up time

    total = sum(root.cumulative_us for root in tree.roots)
    bands = _Bands(total * LEAST_SHARE, legend(tree))
    bands.rows.append(("imports", "all imports", "", total, "root"))
    for number, root in enumerate(tree.roots):
        bands.add(root, f"{number}", "imports")
    bands.rest(tree.roots, "imports", total)
    ids, labels, parents, values, kinds = zip(*bands.rows, strict=True)
    trace = go.Icicle(
        ids=ids,
        labels=labels,
        parents=parents,
        values=values,
        customdata=[[f"{v / 1000:,.1f} ms", k] for v, k in zip(values, kinds, strict=True)],
        branchvalues="total",
        maxdepth=9,
        texttemplate="%{label} %{customdata[0]}",
        hovertemplate="%{label}<br>%{customdata[0]}, %{percentRoot} of all<extra></extra>",
        tiling={"orientation": "v"},
        pathbar={"visible": True},
        sort=False,
    )
    return _figure(trace, height=460)


def legend(tree: ImportTree) -> list[str]:
    """Return the distributions that have a colour in the icicle, in the order of the colours."""
    return list(tree.by_distribution)[:PALETTE]


@dataclass
class _Bands:
    """The bands of an icicle: id, label, id of the parent, microseconds, colour.

    Attributes:
        least: Microseconds below which a module has no band of its own.
        top: Distributions that have a colour of their own.
    """

    least: float
    top: list[str]
    rows: list[tuple[str, str, str, int, str]] = field(default_factory=list)

    def add(self, node: Import, name: str, parent: str) -> None:
        """Add a module and what it imported; imports are no deeper than Python's own stack."""
        if node.cumulative_us < self.least:
            return
        self.rows.append((name, node.module, parent, node.cumulative_us, self._colour(node)))
        for number, child in enumerate(node.children):
            self.add(child, f"{name}.{number}", name)
        self.rest(node.children, name, node.cumulative_us - node.self_us)

    def rest(self, nodes: Iterable[Import], parent: str, total: int) -> None:
        """Add what is too short to be seen as one band, so that the sum holds."""
        small = [node for node in nodes if node.cumulative_us < self.least]
        together = min(sum(node.cumulative_us for node in small), total)
        if together >= self.least:
            label = f"{len(small)} shorter ones"
            self.rows.append((f"{parent}.rest", label, parent, together, "other"))

    def _colour(self, node: Import) -> str:
        if node.distribution in self.top:
            return f"c{self.top.index(node.distribution)}"
        return "other" if node.distribution else "standard library"


def cold_starts(report: ColdStartReport) -> dict[str, Any]:
    """Return the times to the first answer of every variant as boxes, in milliseconds."""
    import plotly.graph_objects as go  # noqa: PLC0415 -- start-up time

    figure = go.Figure()
    for variant in reversed(report.variants):
        figure.add_trace(_box(variant, report.factor))
    figure.update_layout(
        showlegend=False,
        height=110 + 76 * len(report.variants),
        margin={"l": 8, "r": 16, "t": 8, "b": 44},
        xaxis={"title": {"text": "milliseconds to the first answer"}, "rangemode": "tozero"},
        yaxis={"automargin": True},
    )
    if report.budget_ms is not None:
        figure.add_vline(x=report.budget_ms, line_dash="dash", annotation_text="budget")
    return _plain(figure)


def _box(variant: Variant, factor: float) -> Any:
    import plotly.graph_objects as go  # noqa: PLC0415 -- start-up time

    return go.Box(
        x=[round(sample.total_ms / factor, 2) for sample in variant.samples],
        name=VARIANTS[variant.name],
        boxpoints="all",
        jitter=0.4,
        pointpos=0,
        meta=variant.name,
        hovertemplate="%{x:,.0f} ms<extra>%{fullData.name}</extra>",
    )


def functions(compositions: Sequence[FunctionParts]) -> dict[str, Any]:
    """Return the layers and code of every function as stacked bars against Lambda's limit."""
    import plotly.graph_objects as go  # noqa: PLC0415 -- start-up time

    names = [f"{one.function} · {one.runtime}" for one in compositions][::-1]
    parts = list(dict.fromkeys(part for one in compositions for part in one.parts))
    parts.sort(key=lambda part: part == CODE)
    figure = go.Figure(
        [
            go.Bar(
                y=names,
                x=[one.parts.get(part, 0) for one in compositions][::-1],
                name=part,
                orientation="h",
                customdata=[size(one.parts.get(part, 0)) for one in compositions][::-1],
                hovertemplate="%{y}<br>%{fullData.name}: %{customdata}<extra></extra>",
                meta=f"c{number % PALETTE}",
            )
            for number, part in enumerate(parts)
        ]
    )
    figure.add_vline(
        x=runtimes.UNZIPPED_LIMIT,
        line_dash="dash",
        annotation_text="262,144,000 bytes ",
        annotation_position="top left",
    )
    figure.update_layout(
        barmode="stack",
        height=150 + 26 * len(names),
        margin={"l": 8, "r": 16, "t": 30, "b": 44},
        xaxis={
            "title": {"text": "bytes unzipped"},
            "range": [0, runtimes.UNZIPPED_LIMIT * 1.08],
            "tickformat": "~s",
        },
        yaxis={"automargin": True},
        legend={"orientation": "h", "y": 1.0, "yanchor": "bottom", "traceorder": "normal"},
    )
    return _plain(figure)


def history(releases: Mapping[str, Sequence[ReportedRelease]]) -> dict[str, Any]:
    """Return the zip of every target over its releases, as lines."""
    import plotly.graph_objects as go  # noqa: PLC0415 -- start-up time

    figure = go.Figure(
        [
            go.Scatter(
                x=[one.version for one in found],
                y=[one.zipped for one in found],
                name=name,
                mode="lines+markers",
                customdata=[size(one.zipped) for one in found],
                hovertemplate="%{x}: %{customdata}<extra>%{fullData.name}</extra>",
                meta=f"c{number % PALETTE}",
            )
            for number, (name, found) in enumerate(releases.items())
        ]
    )
    figure.update_layout(
        height=340,
        margin={"l": 8, "r": 16, "t": 30, "b": 44},
        xaxis={"title": {"text": "release"}, "type": "category"},
        yaxis={"title": {"text": "bytes of the zip"}, "rangemode": "tozero", "automargin": True},
        legend={"orientation": "h", "y": 1.0, "yanchor": "bottom"},
    )
    return _plain(figure)


def _figure(trace: Any, height: int) -> dict[str, Any]:
    import plotly.graph_objects as go  # noqa: PLC0415 -- start-up time

    figure = go.Figure(trace)
    figure.update_layout(
        height=height,
        margin={"l": 0, "r": 0, "t": 28, "b": 0},
        uniformtext={"minsize": 9, "mode": "hide"},
    )
    return _plain(figure)


def _plain(figure: Any) -> dict[str, Any]:
    # Plotly's own template is several kilobytes a figure, and has one theme alone.
    figure.update_layout(
        template="none", paper_bgcolor="rgba(0,0,0,0)", plot_bgcolor="rgba(0,0,0,0)"
    )
    data: dict[str, Any] = figure.to_plotly_json()
    data["layout"].pop("template", None)
    return data

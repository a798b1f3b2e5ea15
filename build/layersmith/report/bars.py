"""Bars for terminals of any encoding, and thresholds drawn as bars and as curves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from layersmith import console

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.console import Console, RenderableType

EIGHTHS = " ▏▎▍▌▋▊▉"
"""Parts of a full block, in eighths (Unicode, Block Elements)."""

BAR = 24
"""Columns of a bar."""

WIDTH, HEIGHT, LEFT, BOTTOM = 640, 280, 44, 30
"""Of the drawing, and of its axes, in units of its view box."""

SERIES = (("precision", "right among the decided", "c0"), ("coverage", "decided", "c1"))
"""Key of a point, what it is, and its colour."""


def bar(share: float, width: int, *, ascii_only: bool = False) -> str:
    """Return a bar of ``width`` columns.

    Args:
        share: What is full of it, 0 to 1; more is shown as full.
        width: Columns.
        ascii_only: Draw it with characters that every terminal has.
    """
    share = min(1.0, max(0.0, share))
    if ascii_only:
        full = round(share * width)
        return "#" * full + "." * (width - full)
    eighths = round(share * width * 8)
    if share and not eighths:
        eighths = 1
    full, rest = divmod(eighths, 8)
    text = "█" * full + (EIGHTHS[rest] if rest else "")
    return text.ljust(width)


def is_ascii(console: Console) -> bool:
    """Whether the console cannot show block characters."""
    return not (console.encoding or "").lower().startswith("utf")


def thresholds(result: Mapping[str, Any]) -> RenderableType:
    """Return a row per threshold with bars for precision and coverage.

    Args:
        result: What `vectors calibrate --json` prints.
    """
    ascii_only = is_ascii(console.stdout())
    rows = [
        [
            f"{point['threshold']:.2f}" + (" *" if _is_proposed(point, result) else ""),
            *(
                f"{bar(point[key], BAR, ascii_only=ascii_only)} {point[key]:.1%}"
                for key, _, _ in SERIES
            ),
            f"{point['precisionAtLeast']:.1%}",
        ]
        for point in result["curve"]
    ]
    headings = [result["parameter"], "precision", "coverage", "precision at least"]
    return console.table(headings, rows)


def threshold_page(result: Mapping[str, Any]) -> str:
    """Return a page with the curves and the table, in one file that needs no network."""
    from layersmith.report import html  # noqa: PLC0415 -- start-up time

    points = result["curve"]
    lines = [
        (colour, text, _path([(p["threshold"], p[key]) for p in points if _drawn(p, key)]))
        for key, text, colour in SERIES
    ]
    environment, common = html.environment()
    return environment.get_template("calibration.html.j2").render(
        **common,
        one=result,
        curve=points,
        lines=lines,
        proposed=result["proposal"] and _x(result["proposal"]["threshold"]),
        wanted=_y(result["precision"]),
        across=[(_x(n / 10), f"{n / 10:g}") for n in range(3, 11)],
        up=[(_y(n / 5), f"{n * 20} %") for n in range(6)],
        view=(WIDTH, HEIGHT, LEFT, HEIGHT - BOTTOM),
    )


def _drawn(point: Mapping[str, Any], key: str) -> bool:
    # Where nothing is decided, nothing is right or wrong.
    return key != "precision" or bool(point["decided"])


def _is_proposed(point: Mapping[str, Any], result: Mapping[str, Any]) -> bool:
    return bool(result["proposal"]) and point["threshold"] == result["proposal"]["threshold"]


def _path(points: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{_x(x):.1f},{_y(y):.1f}" for x, y in points)


def _x(threshold: float) -> float:
    low, high = 0.3, 1.0
    return LEFT + (threshold - low) / (high - low) * (WIDTH - LEFT - 10)


def _y(share: float) -> float:
    return 10 + (1 - share) * (HEIGHT - BOTTOM - 10)

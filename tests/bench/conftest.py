"""Ends a run of the benchmarks: history, the table of docs/benchmarks.md, and what got slower."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests import figures
from tests.bench import comparisons

if TYPE_CHECKING:
    import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option of `nox -s bench`."""
    parser.addoption(
        "--record",
        action="store_true",
        help="add the ratios to tests/bench/history.jsonl and draw docs/benchmarks.md",
    )


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Say which ratios are beyond what is wanted or was usual, and keep them."""
    if not (rows := comparisons.measured):
        return
    earlier = comparisons.history()
    terminalreporter.section("ratios")
    for row in rows:
        verdict = "" if row.ratio <= row.wanted else ", beyond what is wanted"
        terminalreporter.write_line(
            f"{row.name}: {row.ratio:.3g} of {row.other} (wanted: {row.wanted:.3g}){verdict}"
        )
    for said in comparisons.worse(rows, earlier):
        terminalreporter.write_line(f"REGRESSION {said}", red=True)
    if config.getoption("--record"):
        comparisons.record(rows)
        figures.draw_speed()

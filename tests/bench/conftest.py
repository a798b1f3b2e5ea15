"""Ends a run of the benchmarks: history, the table of docs/benchmarks.md, and what got slower."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests import figures
from tests.bench import comparisons

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True, scope="session")
def bytecode(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Cache the bytecode of all that runs, as its users have it and as peers have theirs.

    Where a machine asks for none, every process would compile layersmith and what it imports.
    """
    before = dict(os.environ)
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    os.environ["PYTHONPYCACHEPREFIX"] = str(tmp_path_factory.mktemp("pycache"))
    yield
    os.environ.clear()
    os.environ.update(before)


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

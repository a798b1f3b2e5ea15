"""What `advisories` of the shipped layers takes beside the start of the interpreter.

The service is on loopback, and its answers are kept from an earlier run.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tests.bench.comparisons import compare
from tests.bench.workplace import FLOOR, WISHED_START, start
from tests.support import advisories

if TYPE_CHECKING:
    from pytest_benchmark.fixture import BenchmarkFixture

ROOT = Path(__file__).parents[2]
ROUNDS = 5
SECONDS = 0.4
"""Wanted at most on the machine on which the interpreter starts in WISHED_START: 0.1 and 0.3."""


def test_advisories_after_a_warm_build(benchmark: BenchmarkFixture, tmp_path: Path) -> None:
    dist = str(tmp_path / "dist")

    def run(*words: str) -> None:
        done = subprocess.run(
            [sys.executable, "build/layers.py", *words],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr

    with advisories.serving() as service:
        service.add(advisories.advisory("pillow", vector=advisories.LOW, fixed="9999"))
        asking = ("advisories", "--source", service.url, "--dist", dist)
        run("build", "--dist", dist)
        run(*asking)
        compare(
            benchmark,
            "advisories after a build, answers kept",
            lambda: run(*asking),
            (FLOOR, start, SECONDS / WISHED_START),
            rounds=ROUNDS,
        )
        asked = len(service.queries)
    assert asked == len({str(query) for query in service.queries}), "an answer was asked for twice"

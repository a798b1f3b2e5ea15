"""What `advisories` adds to a warm build of the shipped layers, in the same run.

Both are processes of their own; so is `advisories --help`, which is the start of Python and the
imports. The service is on loopback, and its answers are kept from an earlier run.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support import advisories

if TYPE_CHECKING:
    from pytest_benchmark.fixture import BenchmarkFixture

ROOT = Path(__file__).parents[2]
ROUNDS = 3


def test_advisories_after_a_warm_build(benchmark: BenchmarkFixture, tmp_path: Path) -> None:
    dist = str(tmp_path / "dist")

    def run(*words: str) -> float:
        started = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "build/layers.py", *words],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return time.perf_counter() - started

    with advisories.serving() as service:
        service.add(advisories.advisory("pillow", vector=advisories.LOW, fixed="9999"))
        asking = ("advisories", "--source", service.url, "--dist", dist)
        run("build", "--dist", dist)
        run(*asking)
        build = statistics.median(run("build", "--dist", dist) for _ in range(ROUNDS))
        start = statistics.median(run("advisories", "--help") for _ in range(ROUNDS))
        benchmark.pedantic(run, args=asking, rounds=ROUNDS)  # type: ignore[no-untyped-call]
        asked = len(service.queries)
    assert asked == len({str(query) for query in service.queries}), "an answer was asked for twice"
    if benchmark.stats is None:
        return
    median = benchmark.stats.stats.median
    benchmark.extra_info["warm_build_seconds"] = round(build, 2)
    benchmark.extra_info["seconds_beyond_start"] = round(median - start, 2)
    benchmark.extra_info["ratio"] = round(median / build, 2)
    benchmark.extra_info["wanted_seconds"] = 0.3

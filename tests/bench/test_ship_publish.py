"""Publishing to all regions: the whole of 34 x 14, and a loop over regions as the peer.

A time depends on the machine and on what else it does, so each has a ratio beside it: to as many
plain calls of boto3 to the same server, one after the other. The seconds of processor say what a
quiet machine needs.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from tests.integration.ship.conftest import AwsServer, Runner, served
from tests.integration.ship.releases import LayerSpec, write

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pytest_benchmark.fixture import BenchmarkFixture

REGIONS = 34
LAYERS = 7
ROUND_TRIP = 0.03
"""Seconds that every answer is held back for: AWS is not on this machine."""


@pytest.fixture
def server() -> Iterator[AwsServer]:
    with served() as made:
        made.reset()
        yield made


@pytest.fixture
def runner(server: AwsServer) -> Iterator[Runner]:
    made = Runner(server.url)
    yield made
    made.close()


PLAIN_CALLS = 200
"""Calls whose mean is the measure of one plain call."""


def plain_call(server: AwsServer) -> float:
    """Return the seconds of one call of boto3 to a server that is not busy."""
    client = server.client("lambda", "eu-west-1")
    client.list_layer_versions(LayerName="none")
    start = time.perf_counter()
    for _ in range(PLAIN_CALLS):
        client.list_layer_versions(LayerName="none")
    return (time.perf_counter() - start) / PLAIN_CALLS


def apply(root: Path, *options: str) -> list[str]:
    places = ["--config", str(root / "layers.yaml"), "--dist", str(root / "dist")]
    return ["publish", "apply", "--yes", "--region", "all", *places, *options]


def test_34_regions_and_14_targets(
    benchmark: BenchmarkFixture, server: AwsServer, runner: Runner, tmp_path: Path
) -> None:
    both = ("python3.12", "python3.13")
    layers = [LayerSpec(f"layer-{n}", runtimes=both, size=100_000) for n in range(LAYERS)]
    assert len(write(tmp_path, layers)) == 2 * LAYERS

    one = plain_call(server)
    server.post("/_test/reset")

    done = benchmark.pedantic(runner.run, apply(tmp_path), rounds=1)  # type: ignore[no-untyped-call]

    assert done.code == 0, done.err[-2000:]
    calls = len(server.calls())
    stats = benchmark.stats
    assert stats is not None
    assert len(server.calls("PublishLayerVersion")) == REGIONS * 2 * LAYERS
    benchmark.extra_info |= {
        "calls": calls,
        "peak_mib": done.peak_kib // 1024,
        "cpu_s": round(done.cpu, 1),
        "ratio": round(stats.stats.mean / (calls * one), 2),
    }
    start = time.perf_counter()
    verified = runner.run("verify", *apply(tmp_path)[3:])
    took = time.perf_counter() - start
    assert verified.code == 0, verified.err[-2000:]
    asked = len(server.calls()) - calls
    benchmark.extra_info |= {
        "verify_calls": asked,
        "verify_s": round(took, 1),
        "verify_cpu_s": round(verified.cpu, 1),
        "verify_ratio": round(took / (asked * one), 2),
    }
    again = runner.run(*apply(tmp_path))
    assert again.code == 0
    assert "0 steps done" in again.err


@pytest.mark.parametrize("concurrency", ["16", "1"], ids=["in parallel", "a loop over regions"])
def test_one_layer_to_all_regions(
    concurrency: str,
    benchmark: BenchmarkFixture,
    server: AwsServer,
    runner: Runner,
    tmp_path: Path,
) -> None:
    write(tmp_path, [LayerSpec(size=100_000)])
    server.faults({"kind": "delay", "seconds": ROUND_TRIP})

    argv = apply(tmp_path, "--concurrency", concurrency, "--no-canary")
    done = benchmark.pedantic(runner.run, argv, rounds=1)  # type: ignore[no-untyped-call]

    assert done.code == 0, done.err[-2000:]
    benchmark.extra_info["peak_mib"] = done.peak_kib // 1024

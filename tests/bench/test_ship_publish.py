"""Publishing to all regions: the whole of 34 x 14, and a loop over regions as the peer."""

from __future__ import annotations

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


def apply(root: Path, *options: str) -> list[str]:
    places = ["--config", str(root / "layers.yaml"), "--dist", str(root / "dist")]
    return ["publish", "apply", "--yes", "--region", "all", *places, *options]


def test_34_regions_and_14_targets(
    benchmark: BenchmarkFixture, server: AwsServer, runner: Runner, tmp_path: Path
) -> None:
    both = ("python3.12", "python3.13")
    layers = [LayerSpec(f"layer-{n}", runtimes=both, size=100_000) for n in range(LAYERS)]
    assert len(write(tmp_path, layers)) == 2 * LAYERS

    done = benchmark.pedantic(runner.run, apply(tmp_path), rounds=1)  # type: ignore[no-untyped-call]

    assert done.code == 0, done.err[-2000:]
    assert len(server.calls("PublishLayerVersion")) == REGIONS * 2 * LAYERS
    benchmark.extra_info["calls"] = len(server.calls())
    benchmark.extra_info["peak_mib"] = done.peak_kib // 1024
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

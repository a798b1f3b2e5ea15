"""chromadb-vector beside a plain installation of the same requirements, in the same run.

Both start as Lambda starts a function, in fresh processes of the host runner: the layer's twin,
and what an installer leaves, without bytecode, as uv and pip --no-compile leave it for another
platform. What is compared is import, client and first query against a real Chroma server.
"""

from __future__ import annotations

import contextlib
import json
import statistics
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from layersmith.assemble import manifest as manifests
from layersmith.config import loader
from layersmith.plan import plan
from layersmith.prove import runners, services
from layersmith.prove.cold import measure
from layersmith.prove.cold.variants import Built, prepare

from tests.bench.comparisons import note

if TYPE_CHECKING:
    from collections.abc import Iterator

    from layersmith.prove.cold.models import VariantName
    from layersmith.prove.runners import Runner
    from pytest_benchmark.fixture import BenchmarkFixture

ROOT = Path(__file__).parents[2]
RUNTIME = "python3.13"
STARTS = 16
"""Rounds, each of which starts both, so that a busy minute hits both."""

WANTED_RATIO, REACH_RATIO = 0.25, 0.15
WANTED_ZIPPED, WANTED_UNZIPPED = 9_000_000, 26_000_000


@dataclass
class Bench:
    """The layer and its plain counterpart, ready to start."""

    built: Built
    runner: Runner
    variants: list[measure.Startable]

    def start(self) -> None:
        with self.runner.start(self.variants[0].spec) as instance:
            assert instance.invoke({"prepare": False}).ok


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    folder = tmp_path_factory.mktemp("chromadb-layer")
    words = ["--layer", "chromadb-vector", "--runtime", RUNTIME, "--dist", str(folder), "--quiet"]
    command = [sys.executable, "build/layers.py", "build", *words]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    config = loader.load(ROOT / "layers.yaml").config
    [target] = plan(config, layers=["chromadb-vector"], only_runtimes=[RUNTIME])
    manifest = manifests.read(folder / f"{target.stem}.json")
    built = Built(target, manifest, folder / f"{target.stem}.zip", ROOT)
    single = {"OPENBLAS_NUM_THREADS": "1"}
    with contextlib.ExitStack() as stack:
        host = stack.enter_context(runners.make("host", target.runtime, target.architecture))
        served = services.serve(("chroma",), host.service_host, host.service_name)
        variables = stack.enter_context(served)
        names: tuple[VariantName, ...] = ("layer", "plain")
        variants = [
            # A twin has the host's OpenBLAS where the layer has the lite BLAS, which starts no
            # threads: without them the twin is closer to what it stands for.
            prepare(
                built, name, host, folder / "opt", variables | (single if name == "layer" else {})
            )
            for name in names
        ]
        yield Bench(built, host, variants)


def test_import_client_and_first_query(benchmark: BenchmarkFixture, bench: Bench) -> None:
    measured = measure.in_turns(bench.variants, bench.runner, STARTS)
    samples = {one.name: one.samples for one in measured}
    times = {
        name: statistics.median(one.import_ms + one.call_ms for one in found)
        for name, found in samples.items()
    }
    benchmark.pedantic(bench.start, rounds=STARTS)  # type: ignore[no-untyped-call]
    artifact = bench.built.manifest.artifact
    benchmark.extra_info["import, client, first query, ms"] = {
        name: round(value) for name, value in times.items()
    }
    benchmark.extra_info["ratio"] = {
        "measured": round(times["layer"] / times["plain"], 3),
        "wanted": WANTED_RATIO,
        "in reach": REACH_RATIO,
    }
    mine, plain = (times[name] / 1000 for name in ("layer", "plain"))
    note(
        "chromadb-vector: import, client and first query",
        "a plain installation",
        *(mine, plain),
        wanted=WANTED_RATIO,
        rounds=STARTS,
    )
    benchmark.extra_info["peak memory, MB"] = {
        name: round(max(one.peak_memory or 0 for one in found) / 1e6, 1)
        for name, found in samples.items()
    }
    benchmark.extra_info["bytes"] = {"zipped": artifact.zipped, "unzipped": artifact.unzipped}
    print(json.dumps(benchmark.extra_info, indent=1))
    # Sizes and memory do not depend on how busy the machine is.
    assert artifact.zipped <= WANTED_ZIPPED
    assert artifact.unzipped <= WANTED_UNZIPPED
    assert bench.built.manifest.bytecode.compiled > 0
    peaks = benchmark.extra_info["peak memory, MB"]
    assert peaks["layer"] < peaks["plain"]

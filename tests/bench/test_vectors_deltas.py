"""Deltas and compaction, 384 dimensions; the peer is Chroma fed the same records directly."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from chroma_store.deltas.compaction import compact
from chroma_store.deltas.log import AHEAD_THREADS, DeltaLog
from chroma_store.server.client import ChromaHttp
from chroma_store.server.process import ChromaProcess
from chroma_store.storage import open_storage
from vector_common.records import CollectionSpec, parse_records

from tests.bench import comparisons
from tests.support.chroma_sessions import AWS_KEYS, PACKAGES

DIMENSION = 384
COUNT = 10_000
SPEC = CollectionSpec("receipts", DIMENSION)
ROUNDS = 3


@pytest.fixture(scope="module")
def raw() -> list[dict[str, Any]]:
    rng = random.Random(1)
    return [
        {
            "id": f"r{n}",
            "embedding": [rng.gauss(0, 1) for _ in range(DIMENSION)],
            "metadata": {"merchant": f"m{n % 500}", "page": n % 7},
            "document": f"receipt {n}",
        }
        for n in range(COUNT)
    ]


def append(folder: Path, raw: list[dict[str, Any]]) -> DeltaLog:
    shutil.rmtree(folder, ignore_errors=True)
    log = DeltaLog(open_storage(folder.as_uri()), "db")
    log.append(raw, SPEC)
    return log


def test_append(benchmark: Any, raw: list[dict[str, Any]], tmp_path: Path) -> None:
    benchmark.group = "deltas"
    benchmark.pedantic(lambda: append(tmp_path / "store", raw), rounds=ROUNDS)
    benchmark.extra_info["records_per_second"] = COUNT / benchmark.stats.stats.mean


def test_read_back(benchmark: Any, raw: list[dict[str, Any]], tmp_path: Path) -> None:
    benchmark.group = "deltas"
    log = append(tmp_path / "store", raw)
    ids = [info.id for info in log.pending()]
    benchmark.pedantic(lambda: [log.read(delta_id) for delta_id in ids], rounds=ROUNDS)
    benchmark.extra_info["records_per_second"] = COUNT / benchmark.stats.stats.mean


@pytest.mark.parametrize("deltas", [1_500, 100_000])
def test_read_ahead(benchmark: Any, deltas: int) -> None:
    """Deltas of one record each from S3, 20 ms away, beside the same objects only fetched."""
    benchmark.group = f"{deltas:,} pending deltas"
    command = [sys.executable, str(Path(__file__).with_name("deltas.py"))]
    environment = {**os.environ, **AWS_KEYS, "PYTHONPATH": os.pathsep.join(map(str, PACKAGES))}
    with subprocess.Popen(
        [*command, "serve", str(deltas)], env=environment, stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdout
        environment["AWS_ENDPOINT_URL"] = f"http://127.0.0.1:{server.stdout.readline().strip()}"

        def run(verb: str) -> None:
            found = subprocess.run(
                [*command, verb], env=environment, check=True, stdout=subprocess.PIPE
            )
            assert int(found.stdout) == deltas

        comparisons.compare(
            benchmark,
            f"list and read {deltas:,} pending deltas, S3 at 20 ms",
            lambda: run("read"),
            (f"list and fetch them with {AHEAD_THREADS} threads", lambda: run("alone"), 2),
            rounds=1 if deltas > 10_000 else ROUNDS,
        )
        server.terminate()


def test_compaction(benchmark: Any, raw: list[dict[str, Any]], tmp_path: Path) -> None:
    """Restore, replay, verify, snapshot, flip, drop: everything from 10,000 pending records."""
    benchmark.group = "compaction of 10,000 records"

    def setup() -> None:
        append(tmp_path / "store", raw)

    storage = open_storage((tmp_path / "store").as_uri())
    benchmark.pedantic(
        lambda: compact(storage, "db", tmp_path / "work"), setup=setup, rounds=ROUNDS
    )
    benchmark.extra_info["records_per_second"] = COUNT / benchmark.stats.stats.mean


def test_chroma_alone(benchmark: Any, raw: list[dict[str, Any]], tmp_path: Path) -> None:
    """The same records sent to a server that is running, with nothing kept or verified."""
    benchmark.group = "compaction of 10,000 records"
    records = parse_records(raw, SPEC)

    def feed() -> None:
        shutil.rmtree(tmp_path / "data", ignore_errors=True)
        (tmp_path / "data").mkdir()
        with ChromaProcess(tmp_path / "data") as server:
            http = ChromaHttp(server.base_url)
            collection, _ = http.ensure(SPEC)
            for start in range(0, COUNT, 1000):
                batch = records[start : start + 1000]
                http.upsert(collection, batch, [record.metadata for record in batch])

    benchmark.pedantic(feed, rounds=ROUNDS)
    benchmark.extra_info["records_per_second"] = COUNT / benchmark.stats.stats.mean

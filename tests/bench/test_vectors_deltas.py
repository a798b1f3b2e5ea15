"""Deltas and compaction, 384 dimensions; the peer is Chroma fed the same records directly."""

from __future__ import annotations

import random
import shutil
import time
from typing import TYPE_CHECKING, Any

import pytest
from chroma_store.deltas.compaction import compact
from chroma_store.deltas.log import DeltaLog
from chroma_store.server.client import ChromaHttp
from chroma_store.server.process import ChromaProcess
from chroma_store.storage import open_storage
from vector_common.records import CollectionSpec, parse_records

if TYPE_CHECKING:
    from pathlib import Path

    from chroma_store.storage import Storage


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


@pytest.mark.parametrize("deltas", [1500])
def test_read_ahead(benchmark: Any, tmp_path: Path, deltas: int) -> None:
    """Deltas of one record each, from a store that answers after 20 ms as S3 does."""
    benchmark.group = "deltas"
    log = DeltaLog(open_storage(tmp_path.as_uri()), "db")
    for number in range(deltas):
        log.append([{"id": f"r{number}", "embedding": [1.0] * DIMENSION}], SPEC)
    log.storage = Slow(log.storage)
    pending = log.pending()
    benchmark.pedantic(lambda: list(log.read_ahead(pending)), rounds=ROUNDS)
    benchmark.extra_info["deltas_per_second"] = deltas / benchmark.stats.stats.mean


class Slow:
    """A store 20 ms away."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    def get(self, key: str) -> Any:
        time.sleep(0.02)
        return self._storage.get(key)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._storage, name)


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

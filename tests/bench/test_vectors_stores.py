"""The three stores of one database in one run: first answers and warm queries, and what each finds.

A first answer is that of a new process that imports, loads and asks once, as a function does after
its start. For a session that is a client of a server that runs, with the imports of the whole of
chromadb if this environment has it, which the layer's client does not need; beside it a server is
started over the files and asked by this process. S3 and S3 Vectors are moto's, on the same cores:
they answer at once and search by Python, so of S3 Vectors only what this side adds is measured, and
its own time is AWS's.
"""

from __future__ import annotations

import array
import os
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from chroma_store.deltas.compaction import compact
from chroma_store.deltas.log import DeltaLog
from chroma_store.server.process import ChromaProcess
from chroma_store.snapshots.store import SnapshotStore
from chroma_store.storage import open_storage
from vector_common import chroma, stores
from vector_common.records import CollectionSpec
from vector_common.stores import open_store, s3vectors

from tests.support.chroma_sessions import AWS_KEYS, PACKAGES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vector_common.stores import VectorStore

ROOT = Path(__file__).parents[2]
DIMENSION = 384
SIZES = {"session": 5_000, "file": 5_000, "s3vectors": 500}
"""Of the databases. moto's index is searched in Python, so that of S3 Vectors is small."""

SPEC = CollectionSpec("items", DIMENSION)
STARTS = 5
ONE_ANSWER = """
import array, json, random, sys, time
from vector_common.stores import open_store
rng = random.Random(7)
query = array.array("f", [rng.gauss(0, 1) for _ in range(384)])
session = {"address": sys.argv[2]} if sys.argv[2] else None
found = open_store(session, sys.argv[1]).query("items", query, 10)
assert len(found.rows) == 10
"""


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with subprocess.Popen(
        [sys.executable, "-m", "tests.integration.vectors.s3_server"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout
        assert process.stdin
        yield f"http://127.0.0.1:{process.stdout.readline().strip()}"
        process.stdin.close()


@pytest.fixture(scope="module")
def session(server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The databases in their stores, and a server of the largest one."""
    folder = tmp_path_factory.mktemp("stores")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {**AWS_KEYS, "AWS_ENDPOINT_URL": server}.items():
            patch.setenv(name, value)
        s3vectors.s3vectors_client.cache_clear()
        s3vectors.s3vectors_client().create_vector_bucket(vectorBucketName="bench")
        storage = open_storage((folder / "store").as_uri())
        for store, wanted in (("file", {"file": ""}), ("s3vectors", {"s3vectors": "bench"})):
            _append(DeltaLog(storage, store), SIZES[store])
            compact(storage, store, folder / "work", stores=wanted)  # type: ignore[arg-type]
        SnapshotStore(storage, "file").restore(folder / "data")
        patch.setenv("STORAGE_URL", storage.url)
        patch.setenv("VECTOR_STORES", "file=file,s3vectors=s3vectors")
        stores._opened.cache_clear()
        with ChromaProcess(folder / "data") as running:
            yield {"address": running.base_url, "data": str(folder / "data")}
        chroma.forget()
        stores._opened.cache_clear()


def _append(log: DeltaLog, count: int) -> None:
    rng = np.random.default_rng(1)
    for start in range(0, count, 500):
        vectors = rng.standard_normal((500, DIMENSION), dtype=np.float32)
        metadata = [{"merchant": f"m{number % 500}"} for number in range(500)]
        log.append(
            [
                {"id": f"r{start + number}", "embedding": vector, "metadata": metadata[number]}
                for number, vector in enumerate(vectors.tolist())
            ],
            SPEC,
        )


def _store(name: str, session: dict[str, str]) -> VectorStore:
    return open_store({"address": session["address"]} if name == "session" else None, name)


@pytest.mark.parametrize("store", ["session", "file", "s3vectors"])
def test_first_answer(benchmark: Any, session: dict[str, str], store: str) -> None:
    benchmark.group = "first answer of a new process"
    address = session["address"] if store == "session" else ""
    path = os.pathsep.join(map(str, PACKAGES))
    command = [sys.executable, "-c", ONE_ANSWER, store, address]

    def start() -> None:
        subprocess.run(command, check=True, env={**os.environ, "PYTHONPATH": path})

    benchmark.pedantic(start, rounds=STARTS)
    benchmark.extra_info["vectors"] = SIZES[store]


def test_first_answer_of_a_server_that_starts(
    benchmark: Any, session: dict[str, str], tmp_path: Path
) -> None:
    """What a session adds where its files are there already: no task, no restore."""
    benchmark.group = "first answer of a new process"
    query = [random.Random(7).gauss(0, 1) for _ in range(DIMENSION)]
    subprocess.run(["cp", "-r", session["data"], str(tmp_path / "data")], check=True)

    def start() -> None:
        with ChromaProcess(tmp_path / "data") as running:
            chroma.forget()
            opened = open_store({"address": running.base_url})
            assert len(opened.query("items", array.array("f", query), 10).rows) == 10

    benchmark.pedantic(start, rounds=3)


@pytest.mark.parametrize("store", ["session", "file", "s3vectors"])
def test_warm_query(benchmark: Any, session: dict[str, str], store: str) -> None:
    benchmark.group = "warm query"
    opened, rng = _store(store, session), random.Random(3)
    chroma.forget()
    queries = [array.array("f", [rng.gauss(0, 1) for _ in range(DIMENSION)]) for _ in range(64)]
    opened.query("items", queries[0], 10)
    turn = iter(range(10**9))
    benchmark.pedantic(
        lambda: opened.query("items", queries[next(turn) % 64], 10), rounds=40, warmup_rounds=3
    )
    benchmark.extra_info["vectors"] = SIZES[store]


def test_ratios(benchmark: Any, session: dict[str, str]) -> None:
    """A file against a session, query by query in turn, so that the machine is the same."""
    benchmark.group = "warm query"
    pair = {name: _store(name, session) for name in ("session", "file")}
    rng, times = random.Random(4), dict.fromkeys(pair, 0.0)
    found: dict[str, list[str]] = {}
    agree = 0

    def both() -> None:
        nonlocal agree
        query = array.array("f", [rng.gauss(0, 1) for _ in range(DIMENSION)])
        for name, opened in pair.items():
            begun = time.perf_counter()
            rows = opened.query("items", query, 10).rows
            times[name] += time.perf_counter() - begun
            found[name] = [row.id for row in rows]
        agree += len(set(found["file"]) & set(found["session"]))

    benchmark.pedantic(both, rounds=40, warmup_rounds=3)
    benchmark.extra_info["file_against_session"] = times["file"] / times["session"]
    benchmark.extra_info["session_finds_of_the_file"] = agree / (43 * 10)

"""The three stores of one database in one run: first answers and warm queries, and what each finds.

A first answer is that of a new process that imports, loads and asks once, as a function does after
its start. That of a file is taken twice: in place, and out of S3 behind a link of 1 Gbit/s and
20 ms, about what a function has. For a session it is a client of a server that runs, with the
imports of the whole of chromadb if this environment has it, which the layer's client does not need;
beside it a server is started over the files and asked by this process. S3 and S3 Vectors are
moto's, on the same cores; S3 Vectors searches by Python there, so its database is small and its
times are this side's and moto's, not AWS's.
"""

from __future__ import annotations

import array
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from chroma_store.deltas.compaction import compact
from chroma_store.server.client import ChromaHttp
from chroma_store.server.process import ChromaProcess, collections
from chroma_store.snapshots.store import SnapshotStore
from chroma_store.snapshots.versions import running_version
from chroma_store.storage import open_storage
from vector_common import chroma, stores
from vector_common.records import CollectionSpec, VectorRecord
from vector_common.stores import open_store, s3vectors

from tests.bench import comparisons
from tests.support.chroma_sessions import AWS_KEYS, PACKAGES, make_bucket

if TYPE_CHECKING:
    from collections.abc import Iterator

    from chroma_store.snapshots.manifest import CollectionInfo
    from vector_common.stores import VectorStore

ROOT = Path(__file__).parents[2]
DIMENSION = 384
SIZES = {"session": 100_000, "file": 100_000, "s3vectors": 2_000}
"""Of the databases. Twice as many vectors in S3 Vectors take moto twice as long a query."""

BATCH = 500
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
    """The databases in their stores, a server of the largest one, and a link to a copy of it."""
    folder = tmp_path_factory.mktemp("stores")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {**AWS_KEYS, "AWS_ENDPOINT_URL": server}.items():
            patch.setenv(name, value)
        s3vectors.s3vectors_client.cache_clear()
        s3vectors.s3vectors_client().create_vector_bucket(vectorBucketName="bench")
        make_bucket(server, "copies")
        storage = open_storage((folder / "store").as_uri())
        for store, wanted in (("file", {"file": ""}), ("s3vectors", {"s3vectors": "bench"})):
            data = folder / f"data-{store}"
            held = _fill(data, SIZES[store])
            SnapshotStore(storage, store).snapshot(
                data, parent=None, chroma_version=running_version(), collections=held
            )
            compact(storage, store, folder / "work", stores=wanted)  # type: ignore[arg-type]
        copies = open_storage("s3://copies")
        for info in storage.list("databases/file/"):
            if info.key.endswith("/stores.json") or "/exports/" in info.key:
                copies.put(info.key, storage.get(info.key).data)
        patch.setenv("STORAGE_URL", storage.url)
        patch.setenv("VECTOR_STORES", "file=file,s3vectors=s3vectors")
        stores._opened.cache_clear()
        with ChromaProcess(folder / "data-file") as running:
            yield {"address": running.base_url, "data": str(folder / "data-file")}
        chroma.forget()
        stores._opened.cache_clear()


def _fill(data: Path, count: int) -> list[CollectionInfo]:
    """Let Chroma index random vectors, which takes minutes for 100,000."""
    rng, metadatas = np.random.default_rng(1), [{"merchant": f"m{n}"} for n in range(BATCH)]
    data.mkdir()
    with ChromaProcess(data) as running:
        http = ChromaHttp(running.base_url, timeout=900)
        collection, _ = http.ensure(SPEC)
        for start in range(0, count, BATCH):
            vectors = rng.standard_normal((BATCH, DIMENSION), dtype=np.float32)
            records = [
                VectorRecord("upsert", f"r{start + number}", array.array("f", vector.tobytes()))
                for number, vector in enumerate(vectors)
            ]
            http.upsert(collection, records, metadatas)
        return collections(running.base_url)


def _store(name: str, session: dict[str, str]) -> VectorStore:
    return open_store({"address": session["address"]} if name == "session" else None, name)


@pytest.fixture
def link(server: str) -> Iterator[str]:
    """moto's server behind 1 Gbit/s and 20 ms."""
    port = server.rpartition(":")[2]
    command = [sys.executable, str(Path(__file__).with_name("link.py")), port, "125", "20"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as relay:
        assert relay.stdout is not None
        yield f"http://127.0.0.1:{relay.stdout.readline().strip()}"
        relay.terminate()


@pytest.mark.parametrize("store", ["session", "file", "file by 1 Gbit/s", "s3vectors"])
def test_first_answer(
    benchmark: Any, session: dict[str, str], link: str, tmp_path: Path, store: str
) -> None:
    benchmark.group = "first answer of a new process"
    name, far, _ = store.partition(" by ")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, PACKAGES))}
    if far:
        environment |= {"STORAGE_URL": "s3://copies", "AWS_ENDPOINT_URL": link}
    command = [sys.executable, "-c", ONE_ANSWER, name, session["address"] * (name == "session")]
    spent: list[float] = []

    def start() -> None:
        # What is loaded from S3 is kept in /tmp; a new folder is what a new function has.
        fresh = tempfile.mkdtemp(dir=tmp_path)
        spent.append(comparisons.clock(lambda: _run(command, environment | {"TMPDIR": fresh}))[1])

    benchmark.pedantic(start, rounds=STARTS)
    benchmark.extra_info |= {"vectors": SIZES[name], "processor_s": statistics.median(spent)}


def _run(command: list[str], environment: dict[str, str]) -> None:
    subprocess.run(command, check=True, env=environment)


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

"""How long a session takes to be ready: from nothing, and from snapshots of 384 dimensions.

The peer is the same bytes downloaded from the same storage and decompressed, with nothing else done
to them (tests/bench/transfer.py), before every round.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import threading
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import httpx
import numpy as np
import pytest
from chroma_store.server.process import ChromaProcess, collections
from chroma_store.snapshots.store import SnapshotStore
from chroma_store.snapshots.versions import running_version
from chroma_store.storage import open_storage

from tests.bench.comparisons import note
from tests.support.chroma_sessions import (
    API,
    AWS_KEYS,
    PACKAGES,
    Launcher,
    Supervisor,
    client,
    make_bucket,
    memory,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_benchmark.fixture import BenchmarkFixture

DIMENSION = 384
ROWS = {"restore": 1.15, "start to ready": 1.15, "start to first answer": 1.3}
"""What is noted over S3 by 1 Gbit/s, and the ratio to the transfer alone that is wanted."""

SIZES = [10_000, 100_000]
ROUNDS = 5


class Session:
    """A supervisor that the measurement starts and ends."""

    def __init__(self, folder: Path, storage: str, environment: dict[str, Any]) -> None:
        self.folder = folder
        self.launch = Launcher(folder, storage)
        self.environment = environment
        self.running: Supervisor | None = None
        self.ready: list[float] = []
        """Seconds from the start of each process until it was ready, as the sessions log them."""

    def start(self) -> None:
        """Return when the session says that it is ready."""
        self.running = self.launch(**self.environment)
        self.ready.append(float(self.running.wait("ready")["ready"]))

    def stop(self) -> None:
        """End it and clear its volume."""
        if self.running is not None:
            self.running.terminate()
        shutil.rmtree(self.folder / "volume", ignore_errors=True)

    def note_memory(self, info: dict[str, Any]) -> None:
        """Write down what the two processes hold now."""
        assert self.running is not None
        info["supervisor_rss_mb"] = memory(self.running.process.pid, "VmRSS") / 1e6
        info["server_rss_mb"] = memory(self.running.server_pid(), "VmRSS") / 1e6


@pytest.fixture(scope="session")
def aws() -> Iterator[dict[str, str]]:
    """moto's server in a process of its own, as AWS is one."""
    server = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"],
        stderr=subprocess.PIPE,
        text=True,
    )
    assert server.stderr is not None
    address = ""
    for line in server.stderr:
        if "Running on" in line:
            address = line.split()[-1]
            break
    # It logs every request; a full pipe would stop it.
    threading.Thread(target=server.stderr.read, daemon=True).start()
    yield {"AWS_ENDPOINT_URL": address, **AWS_KEYS}
    server.terminate()
    server.wait()


@pytest.fixture(scope="session", params=SIZES)
def stored(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A storage in a folder with a snapshot of so many vectors."""
    folder = tmp_path_factory.mktemp(f"stored-{request.param}")
    data = folder / "data"
    data.mkdir()
    chooser = np.random.default_rng(1)
    with ChromaProcess(data) as server:
        with httpx.Client(base_url=server.base_url, timeout=120, trust_env=False) as http:
            made = http.post(API, json={"name": "words"}).json()["id"]
            for start in range(0, request.param, 2000):
                vectors = chooser.standard_normal((2000, DIMENSION), dtype=np.float32)
                body = {
                    "ids": [f"id-{n}" for n in range(start, start + 2000)],
                    "embeddings": vectors.tolist(),
                }
                assert http.post(f"{API}/{made}/upsert", json=body).status_code == 200
        held = collections(server.base_url)
    SnapshotStore(open_storage((folder / "store").as_uri()), "receipts").snapshot(
        data, parent=None, chroma_version=running_version(), collections=held
    )
    return folder / "store"


def transfer(verb: str, *arguments: str, environment: dict[str, str]) -> dict[str, float]:
    """Run tests/bench/transfer.py, and return the seconds that it took."""
    answer = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("transfer.py")), verb, *arguments],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, PACKAGES)), **environment},
        stdout=subprocess.PIPE,
        check=True,
    )
    found: dict[str, float] = json.loads(answer.stdout)
    return found


@pytest.mark.parametrize("storage", ["file", "s3"])
def test_ready_from_an_empty_start(
    benchmark: BenchmarkFixture, tmp_path: Path, aws: dict[str, str], storage: str
) -> None:
    """Wanted: under a second from the start of the process."""
    (tmp_path / "store").mkdir()
    if storage == "s3":
        make_bucket(aws["AWS_ENDPOINT_URL"], "empty")
    url = (tmp_path / "store").as_uri() if storage == "file" else "s3://empty"
    session = Session(tmp_path, url, aws if storage == "s3" else {})

    def setup() -> None:
        session.stop()

    benchmark.pedantic(session.start, setup=setup, rounds=ROUNDS, warmup_rounds=1)  # type: ignore[no-untyped-call]
    session.note_memory(benchmark.extra_info)
    session.stop()


@pytest.fixture(scope="session")
def link(aws: dict[str, str]) -> Iterator[dict[str, str]]:
    """The same server behind 1 Gbit/s and 20 ms, about what a small task has to S3."""
    port = aws["AWS_ENDPOINT_URL"].rpartition(":")[2]
    command = [sys.executable, str(Path(__file__).with_name("link.py")), port, "125", "20"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as relay:
        assert relay.stdout is not None
        yield {**aws, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{relay.stdout.readline().strip()}"}
        relay.terminate()


LINK = "S3 by 1 Gbit/s"


class Place(NamedTuple):
    """A storage with a snapshot: its kind, its URL, the environment that finds it, its vectors."""

    name: str
    url: str
    environment: dict[str, str]
    vectors: int


@pytest.fixture(params=["file", "S3", LINK])
def place(
    request: pytest.FixtureRequest, stored: Path, aws: dict[str, str], link: dict[str, str]
) -> Place:
    """A storage of each kind."""
    vectors: int = request.node.callspec.params["stored"]
    if request.param == "file":
        return Place(request.param, stored.as_uri(), {}, vectors)
    return Place(
        request.param, upload(stored, aws), aws if request.param == "S3" else link, vectors
    )


def test_ready_from_a_snapshot(benchmark: BenchmarkFixture, tmp_path: Path, place: Place) -> None:
    """Wanted: within 1.5 times of the download and decompression alone, from S3.

    Both as processes from their start, and both from where their clients were made.
    """
    url, environment = place.url, place.environment
    session = Session(tmp_path, url, environment)
    alone: list[dict[str, float]] = []
    restores: list[dict[str, float]] = []

    def setup() -> None:
        session.stop()
        alone.append(transfer("alone", url, "receipts", environment=environment))
        target = str(tmp_path / "restored")
        restores.append(transfer("restore", url, "receipts", target, environment=environment))
        assert alone[-1]["bytes"] == restores[-1]["bytes"]
        shutil.rmtree(target)

    benchmark.pedantic(session.start, setup=setup, rounds=ROUNDS, warmup_rounds=1)  # type: ignore[no-untyped-call]
    info = benchmark.extra_info
    info["restore_s"] = median(restores, "seconds")
    info["alone_s"] = median(alone, "seconds")
    info["restore against alone (wanted: 1.5)"] = info["restore_s"] / info["alone_s"]
    info["ready_s"] = statistics.median(session.ready)
    info["alone_from_start_s"] = median(alone, "from_start")
    info["ready against alone (wanted: 1.5)"] = info["ready_s"] / info["alone_from_start_s"]
    assert session.running is not None
    with session.running.client() as http:
        made = http.get(f"{API}/words").json()["id"]
        query = {"query_embeddings": [[0.1] * DIMENSION], "n_results": 10}
        begun = time.perf_counter()
        assert http.post(f"{API}/{made}/query", json=query).status_code == 200
        info["first_answer_s"] = time.perf_counter() - begun
    session.note_memory(info)
    session.stop()
    if place.name == LINK:
        answered = info["ready_s"] + info["first_answer_s"]
        ours = (info["restore_s"], info["ready_s"], answered)
        theirs = (info["alone_s"], info["alone_from_start_s"], info["alone_from_start_s"])
        for (what, wanted), mine, floor in zip(ROWS.items(), ours, theirs, strict=True):
            name = f"{what} of a session with {place.vectors:,} vectors, {LINK}"
            note(
                name, "download and decompression alone", mine, floor, wanted=wanted, rounds=ROUNDS
            )


def median(times: list[dict[str, float]], name: str) -> float:
    """Without the first, which warmed everything up."""
    return statistics.median(each[name] for each in times[1:])


def upload(stored: Path, aws: dict[str, str]) -> str:
    """Copy a storage from its folder into a bucket of its own; return its URL."""
    name = f"stored-{uuid.uuid4().hex[:12]}"
    make_bucket(aws["AWS_ENDPOINT_URL"], name)
    s3 = client(aws["AWS_ENDPOINT_URL"], "s3")
    for path in (stored / "databases").rglob("*"):
        if path.is_file():
            s3.upload_file(str(path), name, path.relative_to(stored).as_posix())
    return f"s3://{name}"

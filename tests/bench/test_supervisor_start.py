"""How long a session takes to be ready: from nothing, and from snapshots of 384 dimensions.

The peer of a restore is the same bytes downloaded from the same storage and decompressed, with
nothing else done to them.
"""

from __future__ import annotations

import shutil
import statistics
import subprocess
import sys
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import httpx
import numpy as np
import pytest
import zstandard
from chroma_store.server import ChromaServer, collections
from chroma_store.snapshots import SnapshotStore
from chroma_store.storage import open_storage
from chroma_store.versions import running_version

from tests.chroma_sessions import (
    API,
    AWS_KEYS,
    Launcher,
    Supervisor,
    client,
    make_bucket,
    memory,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from pytest_benchmark.fixture import BenchmarkFixture

DIMENSION = 384
SIZES = [10_000, 100_000]
ROUNDS = 5


class Session:
    """A supervisor that the measurement starts and ends."""

    def __init__(self, folder: Path, storage: str, environment: dict[str, Any]) -> None:
        self.folder = folder
        self.launch = Launcher(folder, storage)
        self.environment = environment
        self.running: Supervisor | None = None
        self.restores: list[float] = []
        """Seconds of each restore alone, as the sessions log them."""

    def start(self) -> None:
        """Return when the session says that it is ready."""
        self.running = self.launch(**self.environment)
        self.restores.append(float(self.running.wait("restored")["seconds"]))

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
    with ChromaServer(data) as server:
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


def download_and_decompress(storage: str) -> int:
    """What no restore can do without: fetch every pack in parallel, and unpack its frames."""
    store = SnapshotStore(open_storage(storage), "receipts")
    head = store.head()
    assert head is not None
    manifest = store.manifest(head)

    frames: dict[str, list[Any]] = {}
    for chunk in manifest.chunks:
        [layer] = chunk.layers
        frames.setdefault(layer.pack, []).append(layer)

    def unpack(pack: str) -> int:
        decompressor = zstandard.ZstdDecompressor()
        data = memoryview(store.storage.get(f"databases/receipts/packs/{pack}").data)
        return sum(
            len(decompressor.decompress(data[layer.offset : layer.offset + layer.length]))
            for layer in frames[pack]
        )

    with ThreadPoolExecutor(store.limits.threads) as pool:
        total = sum(pool.map(unpack, frames))
    assert total == manifest.total_bytes
    return total


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


@pytest.mark.parametrize("storage", ["file", "s3"])
def test_ready_from_a_snapshot(
    benchmark: BenchmarkFixture, tmp_path: Path, stored: Path, aws: dict[str, str], storage: str
) -> None:
    """Wanted: the restore within 1.5 times of its download and decompression alone."""
    url, environment = stored.as_uri(), {}
    if storage == "s3":
        url, environment = upload(stored, aws), aws
    session = Session(tmp_path, url, environment)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        peer = timed(lambda: download_and_decompress(url))

    def setup() -> None:
        session.stop()

    benchmark.pedantic(session.start, setup=setup, rounds=ROUNDS, warmup_rounds=1)  # type: ignore[no-untyped-call]
    restore = statistics.median(session.restores)
    benchmark.extra_info["restore_s"] = restore
    benchmark.extra_info["download_and_decompress_s"] = peer
    benchmark.extra_info["ratio (wanted: 1.5)"] = restore / peer
    assert session.running is not None
    with session.running.client() as http:
        made = http.get(f"{API}/words").json()["id"]
        query = {"query_embeddings": [[0.1] * DIMENSION], "n_results": 10}
        begun = time.perf_counter()
        assert http.post(f"{API}/{made}/query", json=query).status_code == 200
        benchmark.extra_info["first_answer_s"] = time.perf_counter() - begun
    session.note_memory(benchmark.extra_info)
    session.stop()


def upload(stored: Path, aws: dict[str, str]) -> str:
    """Copy a storage from its folder into a bucket of its own; return its URL."""
    name = f"stored-{uuid.uuid4().hex[:12]}"
    make_bucket(aws["AWS_ENDPOINT_URL"], name)
    s3 = client(aws["AWS_ENDPOINT_URL"], "s3")
    for path in (stored / "databases").rglob("*"):
        if path.is_file():
            s3.upload_file(str(path), name, path.relative_to(stored).as_posix())
    return f"s3://{name}"


def timed(call: Callable[[], object]) -> float:
    """The median of a few runs, in seconds."""
    times = []
    for _ in range(ROUNDS):
        begun = time.perf_counter()
        call()
        times.append(time.perf_counter() - begun)
    return statistics.median(times)

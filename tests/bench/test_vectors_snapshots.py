"""Snapshots of Chroma's real files, 384 dimensions, against doing the same by ordinary means.

Peers in the same run: tar piped through zstd (level 3, as many threads) for a snapshot, a copy of
the folder for its bytes, and for a restore the same stored bytes read and decompressed with
nothing else done to them. The store is a folder, so that no server's speed is measured.
"""

from __future__ import annotations

import array
import os
import random
import shutil
import subprocess
import sys
import tarfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import zstandard
from chroma_store.server.client import ChromaHttp
from chroma_store.server.process import ChromaProcess, collections
from chroma_store.snapshots import codec
from chroma_store.snapshots.packs import pack_key
from chroma_store.snapshots.store import SnapshotStore
from chroma_store.snapshots.versions import running_version
from chroma_store.storage import open_storage
from vector_common.records import CollectionSpec, VectorRecord

if TYPE_CHECKING:
    from pathlib import Path

    from chroma_store.snapshots.pointer import Pointer

DIMENSION = 384
THREADS = 8
CHILD = r"""
import re, sys
from pathlib import Path
from chroma_store.snapshots.store import SnapshotStore
from chroma_store.storage import open_storage
action, url, folder = sys.argv[1:]
store = SnapshotStore(open_storage(url), "db")
if action == "snapshot":
    store.snapshot(Path(folder), parent=None, chroma_version="1.5.9", collections=[])
if action == "restore":
    store.restore(Path(folder))
# Not ru_maxrss: Linux lets it survive exec, so it would be that of the process that forked.
print(int(re.search(r"VmHWM:\s*([0-9]+)", Path("/proc/self/status").read_text())[1]) / 1024)
"""
ROUNDS = 3


@dataclass(frozen=True)
class Folders:
    """Chroma's files before and after 1 % of the records changed."""

    before: Path
    after: Path

    def size(self) -> int:
        return sum(path.stat().st_size for path in self.before.rglob("*") if path.is_file())


def records(rng: np.random.Generator, numbers: list[int]) -> list[VectorRecord]:
    vectors = rng.standard_normal((len(numbers), DIMENSION)).astype("f4")
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    words = [f"word{n}" for n in range(3000)]
    return [
        VectorRecord(
            "upsert",
            f"r{n}",
            array.array("f", vector.tobytes()),
            {"merchant": f"m{n % 500}", "total": n / 100, "page": n % 7},
            " ".join(random.Random(n).choices(words, k=8)),
        )
        for n, vector in zip(numbers, vectors, strict=True)
    ]


def fill(folder: Path, numbers: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    with ChromaProcess(folder) as server:
        http = ChromaHttp(server.base_url)
        collection, _ = http.ensure(CollectionSpec("receipts", DIMENSION, "cosine"))
        for start in range(0, len(numbers), 1000):
            batch = records(rng, numbers[start : start + 1000])
            http.upsert(collection, batch, [record.metadata for record in batch])


@pytest.fixture(scope="session", params=[10_000, 100_000])
def folders(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Folders:
    count: int = request.param
    root = tmp_path_factory.mktemp(f"vectors{count}")
    made = Folders(root / "before", root / "after")
    made.before.mkdir()
    fill(made.before, list(range(count)), seed=1)
    shutil.copytree(made.before, made.after)
    # Half of the changes are new records, half are replaced ones.
    changed = random.Random(2).sample(range(count), count // 200)
    fill(made.after, [*changed, *range(count, count + count // 200)], seed=2)
    return made


def take(store: SnapshotStore, folder: Path, parent: Pointer | None) -> Pointer:
    report = store.snapshot(folder, parent=parent, chroma_version=running_version(), collections=[])
    return report.pointer


def new_store(root: Path) -> SnapshotStore:
    shutil.rmtree(root, ignore_errors=True)
    return SnapshotStore(open_storage(root.as_uri()), "db")


def peak_memory(*arguments: str) -> float:
    """Peak resident megabytes of a process that does one thing with a store."""
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
    }
    done = subprocess.run(
        [sys.executable, "-c", CHILD, *arguments],
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    )
    return float(done.stdout)


def test_first_snapshot(benchmark: Any, folders: Folders, tmp_path: Path) -> None:
    benchmark.group = f"snapshot of {folders.size() / 1e6:.0f} MB"

    def setup() -> tuple[tuple[SnapshotStore, Path, None], dict[str, object]]:
        return (new_store(tmp_path / "store"), folders.before, None), {}

    pointer = benchmark.pedantic(take, setup=setup, rounds=ROUNDS)
    stored = SnapshotStore(open_storage((tmp_path / "store").as_uri()), "db").manifest(pointer)
    benchmark.extra_info["stored_mb"] = stored.stored_bytes / 1e6


def test_tar_and_zstd(benchmark: Any, folders: Folders, tmp_path: Path) -> None:
    benchmark.group = f"snapshot of {folders.size() / 1e6:.0f} MB"

    def archive() -> None:
        compressor = zstandard.ZstdCompressor(level=codec.LEVEL, threads=THREADS)
        with (
            (tmp_path / "data.tar.zst").open("wb") as raw,
            compressor.stream_writer(raw) as stream,
            tarfile.open(fileobj=stream, mode="w|") as tar,
        ):
            tar.add(folders.before, "data")
            stream.flush()
        os.sync()

    benchmark.pedantic(archive, rounds=ROUNDS)
    benchmark.extra_info["stored_mb"] = (tmp_path / "data.tar.zst").stat().st_size / 1e6


def test_full_copy(benchmark: Any, folders: Folders, tmp_path: Path) -> None:
    benchmark.group = f"snapshot of {folders.size() / 1e6:.0f} MB"

    def copy() -> None:
        shutil.rmtree(tmp_path / "copy", ignore_errors=True)
        shutil.copytree(folders.before, tmp_path / "copy")
        os.sync()

    benchmark.pedantic(copy, rounds=ROUNDS)
    benchmark.extra_info["stored_mb"] = folders.size() / 1e6


def test_snapshot_after_one_percent(benchmark: Any, folders: Folders, tmp_path: Path) -> None:
    """The bytes are the point: under 15 % of a first snapshot is asked for."""
    benchmark.group = f"snapshot of {folders.size() / 1e6:.0f} MB"
    uploaded: list[int] = []
    whole: list[int] = []

    def setup() -> tuple[tuple[SnapshotStore, Pointer], dict[str, object]]:
        store = new_store(tmp_path / "store")
        report = store.snapshot(
            folders.before, parent=None, chroma_version=running_version(), collections=[]
        )
        whole.append(report.bytes_uploaded)
        return (store, report.pointer), {}

    def second(store: SnapshotStore, parent: Pointer) -> None:
        report = store.snapshot(
            folders.after, parent=parent, chroma_version=running_version(), collections=[]
        )
        uploaded.append(report.bytes_uploaded)

    benchmark.pedantic(second, setup=setup, rounds=ROUNDS)
    share = uploaded[-1] / whole[-1]
    benchmark.extra_info["uploaded_mb"] = uploaded[-1] / 1e6
    benchmark.extra_info["share_of_first"] = share
    assert share < 0.15


@pytest.fixture
def stored(folders: Folders, tmp_path: Path) -> SnapshotStore:
    store = new_store(tmp_path / "store")
    first = take(store, folders.before, None)
    take(store, folders.after, first)
    return store


def test_restore(benchmark: Any, stored: SnapshotStore, tmp_path: Path) -> None:
    manifest = stored.manifest(stored.head() or "")
    benchmark.group = f"restore of {manifest.total_bytes / 1e6:.0f} MB"

    def setup() -> None:
        shutil.rmtree(tmp_path / "out", ignore_errors=True)

    benchmark.pedantic(lambda: stored.restore(tmp_path / "out"), setup=setup, rounds=ROUNDS)
    with ChromaProcess(tmp_path / "out") as server:
        assert [info.name for info in collections(server.base_url)] == ["receipts"]


def test_read_and_decompress_alone(benchmark: Any, stored: SnapshotStore, tmp_path: Path) -> None:
    """Whole packs, each frame decompressed once; nothing checked, nothing written."""
    manifest = stored.manifest(stored.head() or "")
    benchmark.group = f"restore of {manifest.total_bytes / 1e6:.0f} MB"

    def one(pack: str) -> None:
        data = stored.storage.get(pack_key("db", pack)).data
        for chunk in manifest.chunks:
            base = chunk.layers[0]
            if base.pack == pack:
                zstandard.ZstdDecompressor().decompress(data[base.offset :][: base.length])

    def work() -> None:
        with ThreadPoolExecutor(THREADS) as pool:
            list(pool.map(one, sorted(manifest.packs)))

    benchmark.pedantic(work, rounds=ROUNDS)


def test_memory_does_not_grow_with_the_data(
    benchmark: Any, folders: Folders, stored: SnapshotStore, tmp_path: Path
) -> None:
    """Peak of a process that snapshots and of one that restores, over one that does nothing."""
    benchmark.group = "memory"
    other = (tmp_path / "other").as_uri()
    base = peak_memory("nothing", other, "")
    taking = benchmark.pedantic(
        lambda: peak_memory("snapshot", other, str(folders.before)), rounds=1
    )
    restoring = peak_memory("restore", stored.storage.url, str(tmp_path / "out"))
    benchmark.extra_info |= {
        "data_mb": folders.size() / 1e6,
        "base_mb": base,
        "snapshot_mb": taking - base,
        "restore_mb": restoring - base,
    }
    # 8 threads with a group of 4 MiB each in several forms, and two packs.
    assert taking - base < 250
    assert restoring - base < 250

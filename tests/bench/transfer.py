"""A snapshot fetched by a process of its own, which times it.

    python transfer.py alone STORAGE_URL DATABASE
    python transfer.py restore STORAGE_URL DATABASE FOLDER

``alone`` is what a restore cannot do without: it fetches the packs and decompresses them into
memory, in as many threads as a restore has; it compares no checksum and writes no file. Both print
their seconds, and those since the process started, as JSON.
"""

from __future__ import annotations

import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import zstandard
from chroma_store.storage import TransferLimits
from chroma_supervisor.settings import process_start

if TYPE_CHECKING:
    from collections.abc import Callable

THREADS = TransferLimits().threads


def reader(url: str) -> Callable[[str], bytes]:
    """A function that reads an object whole, with a client as plain as it can be."""
    if url.startswith("file://"):
        folder = Path(url.removeprefix("file://"))
        return lambda key: (folder / key).read_bytes()
    import botocore.session
    from botocore.config import Config

    # A CRC of every object would be work that a restore, with checksums of its own, does not do.
    config = Config(response_checksum_validation="when_required", max_pool_connections=THREADS)
    s3: Any = botocore.session.get_session().create_client("s3", config=config)
    bucket = url.removeprefix("s3://")
    return lambda key: s3.get_object(Bucket=bucket, Key=key)["Body"].read()


def alone(url: str, database: str) -> Callable[[], int]:
    """Make what fetches and decompresses; it returns the bytes that came out."""
    read = reader(url)
    folder = f"databases/{database}"

    def run() -> int:
        pointer = json.loads(read(f"{folder}/pointer.json"))
        manifest = json.loads(read(f"{folder}/snapshots/{pointer['snapshot_id']}.json"))
        frames: dict[str, list[tuple[int, int]]] = {}
        for _, _, [[pack, offset, length]] in manifest["chunks"]:
            frames.setdefault(manifest["packs"][pack], []).append((offset, length))

        def unpack(pack: str) -> int:
            data = memoryview(read(f"{folder}/packs/{pack}"))
            decompressor = zstandard.ZstdDecompressor()
            return sum(len(decompressor.decompress(data[at : at + n])) for at, n in frames[pack])

        with ThreadPoolExecutor(THREADS) as pool:
            return sum(pool.map(unpack, frames))

    return run


def restore(url: str, database: str, folder: str) -> Callable[[], int]:
    """Make what restores into a folder; it returns the bytes that it wrote."""
    from chroma_store.snapshots.store import SnapshotStore
    from chroma_store.storage import open_storage

    store = SnapshotStore(open_storage(url), database)
    return lambda: store.restore(Path(folder)).bytes


def main(verb: str, *arguments: str) -> None:
    """Run it once, and print how long it took."""
    run = restore(*arguments) if verb == "restore" else alone(*arguments)
    begun = time.monotonic()
    total = run()
    ended = time.monotonic()
    times = {"seconds": ended - begun, "from_start": ended - process_start()}
    sys.stdout.write(json.dumps({"bytes": total, **times}))


if __name__ == "__main__":
    main(*sys.argv[1:])

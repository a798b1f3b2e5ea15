"""Packs: objects of some megabytes that hold many frames, so that requests stay few."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from vector_common.names import base

from chroma_store.snapshots.manifest import ChunkLayer

if TYPE_CHECKING:
    from collections.abc import Iterable

    from chroma_store.snapshots.manifest import Chunk
    from chroma_store.storage import Storage

PACK_BYTES = 8 * 1024 * 1024
"""About where one S3 connection reaches its full rate (AWS's guidance: 8 to 16 MB a range)."""

# Reading a short gap costs less than another request.
_GAP_BYTES = 256 * 1024


def pack_key(database: str, pack: str) -> str:
    """The key of a pack; ``pack`` is ``<snapshot id>/<number>``."""
    return f"{base(database)}/packs/{pack}"


class PackWriter:
    """Collects frames of one snapshot and uploads them; threads may share it."""

    def __init__(self, storage: Storage, database: str, snapshot_id: str) -> None:
        self._storage = storage
        self._database = database
        self._snapshot_id = snapshot_id
        self._lock = threading.Lock()
        self._frames: list[bytes] = []
        self._size = 0
        self._number = 0
        self.uploaded = 0
        """Bytes written to the store so far."""

    def add(self, frames: Iterable[bytes]) -> list[ChunkLayer]:
        """Take frames that will be read together, and say where each lies.

        Uploads in the caller's thread when a pack is full.
        """
        full = None
        with self._lock:
            pack = self._name()
            layers = []
            for frame in frames:
                layers.append(ChunkLayer(pack, self._size, len(frame)))
                self._frames.append(frame)
                self._size += len(frame)
            if self._size >= PACK_BYTES:
                full = self._cut()
        if full:
            self._upload(*full)
        return layers

    def flush(self) -> None:
        """Upload what is left."""
        with self._lock:
            rest = self._cut() if self._frames else None
        if rest:
            self._upload(*rest)

    def _name(self) -> str:
        return f"{self._snapshot_id}/{self._number:06d}"

    def _cut(self) -> tuple[str, bytes]:
        pack = self._name(), b"".join(self._frames)
        self._frames, self._size = [], 0
        self._number += 1
        return pack

    def _upload(self, pack: str, data: bytes) -> None:
        self._storage.put(pack_key(self._database, pack), data, if_none_match=True)
        with self._lock:
            self.uploaded += len(data)


def fetch(storage: Storage, database: str, chunks: Iterable[Chunk]) -> dict[ChunkLayer, memoryview]:
    """Read every frame that ``chunks`` need, neighbours in one request.

    The frames are views of what the storage returned: a pack is held once, and not copied.
    """
    wanted = sorted(
        {layer for chunk in chunks for layer in chunk.layers},
        key=lambda layer: (layer.pack, layer.offset),
    )
    frames: dict[ChunkLayer, memoryview] = {}
    run: list[ChunkLayer] = []
    for layer in wanted:
        if run and not _near(run[-1], layer):
            frames |= _fetch_run(storage, database, run)
            run = []
        run.append(layer)
    if run:
        frames |= _fetch_run(storage, database, run)
    return frames


def _near(before: ChunkLayer, layer: ChunkLayer) -> bool:
    gap = layer.offset - before.offset - before.length
    return before.pack == layer.pack and 0 <= gap <= _GAP_BYTES


def _fetch_run(
    storage: Storage, database: str, run: list[ChunkLayer]
) -> dict[ChunkLayer, memoryview]:
    start = run[0].offset
    end = run[-1].offset + run[-1].length
    data = memoryview(storage.get_range(pack_key(database, run[0].pack), start, end - start))
    return {layer: data[layer.offset - start :][: layer.length] for layer in run}

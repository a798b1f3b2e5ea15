"""Folders like Chroma's, without a server."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from chroma_store.snapshots.pointer import Pointer
    from chroma_store.snapshots.store import SnapshotReport, SnapshotStore

Files = dict[str, bytes]


def files(folder: Path) -> Files:
    return {
        p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()
    }


def take(store: SnapshotStore, folder: Path, parent: Pointer | None) -> SnapshotReport:
    return store.snapshot(folder, parent=parent, chroma_version="1.5.9", collections=[])


def scatter(path: Path, seed: int, every: int = 4000) -> None:
    """Change a few bytes all over a file, as Chroma's index does with every insert."""
    rng, data = random.Random(seed), bytearray(path.read_bytes())
    for place in range(rng.randrange(every), len(data) - 8, every):
        data[place : place + 8] = rng.randbytes(8)
    path.write_bytes(data)

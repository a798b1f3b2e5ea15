"""Changes made from a seed, the plain dict that they must lead to, and a way to compare."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from chroma_store.server.client import ChromaHttp
from chroma_store.server.process import ChromaProcess
from vector_common.errors import NotFound
from vector_common.records import CollectionSpec

if TYPE_CHECKING:
    import random
    from pathlib import Path

    from chroma_store.deltas.log import DeltaLog
    from chroma_store.snapshots.store import SnapshotStore

# Squared Euclidean: Chroma keeps the vectors as they are. (It normalises them for cosine.)
SPEC = CollectionSpec("receipts", 4, "l2")

Content = dict[str, tuple[tuple[float, ...], dict[str, Any], str | None]]


@dataclass
class Model:
    """What a database must contain."""

    records: Content = field(default_factory=dict)

    def apply(self, changes: list[dict[str, Any]]) -> None:
        for change in changes:
            self._apply(change)

    def _apply(self, change: dict[str, Any]) -> None:
        op, identifier = change.get("op", "upsert"), change["id"]
        if op == "delete":
            self.records.pop(identifier, None)
            return
        before = self.records.get(identifier)
        vector = change.get("embedding")
        metadata, document = change.get("metadata") or {}, change.get("document")
        if op == "upsert":
            self.records[identifier] = (tuple(vector or ()), dict(metadata), document)
        elif before is not None:
            self.records[identifier] = (
                before[0] if vector is None else tuple(vector),
                {**before[1], **metadata},
                before[2] if document is None else document,
            )


def changes(rng: random.Random, count: int, ids: int = 40) -> list[dict[str, Any]]:
    """Random changes over few ids, so that many meet; numbers that 32-bit floats hold exactly."""
    made: list[dict[str, Any]] = []
    for _ in range(count):
        op = rng.choices(["upsert", "update", "delete"], [6, 3, 2])[0]
        change: dict[str, Any] = {"op": op, "id": f"r{rng.randrange(ids)}"}
        if op == "upsert" or (op == "update" and rng.random() < 0.5):
            change["embedding"] = [rng.randrange(-64, 64) / 8 for _ in range(SPEC.dimension)]
        if op != "delete" and rng.random() < 0.6:
            change["metadata"] = {f"k{rng.randrange(3)}": rng.choice([1, 2.5, "x", True])}
        if op != "delete" and rng.random() < 0.5:
            change["document"] = f"text {rng.randrange(1000)}"
        made.append(change)
    return made


def contents(base_url: str) -> Content:
    """Every record of a server."""
    server = ChromaHttp(base_url)
    try:
        collection = server.find(SPEC.name)
    except NotFound:
        return {}
    page = server.page(collection, 0, 100_000)
    return {
        identifier: (tuple(vector), metadata or {}, document)
        for identifier, vector, metadata, document in zip(
            page["ids"], page["embeddings"], page["metadatas"], page["documents"], strict=True
        )
    }


def recovered(store: SnapshotStore, log: DeltaLog, folder: Path) -> Content:
    """What a new session would serve: the current snapshot and the pending deltas."""
    report = store.restore(folder)
    with ChromaProcess(folder) as server:
        log.replay(server.base_url, report.consumed)
        return contents(server.base_url)

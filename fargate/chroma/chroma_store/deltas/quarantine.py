"""Changes that cannot be applied, set aside so that everything else goes on.

Beside the changes, as their writer wrote them, lies a JSON object with the reasons. Both are
written before a snapshot counts their delta as consumed, and again with the same content if a run
was killed in between.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vector_common.deltas import encode_lines
from vector_common.names import delta_id_of, quarantine_key, quarantine_prefix

if TYPE_CHECKING:
    from collections.abc import Iterable

    from vector_common.records import CollectionSpec

    from chroma_store.storage import Storage

FORMAT = 1
REASONS, CHANGES = ".json", ".jsonl"
_MAX_REASONS = 100
"""So many reasons are written out; the changes are kept however many there are."""


@dataclass(frozen=True, slots=True)
class SetAside:
    """What was set aside of one delta.

    Attributes:
        delta: The delta's id.
        collection: Its collection; None if the delta cannot be read.
        changes: How many changes; None if the delta cannot be read.
        reasons: Why, for the first changes.
        content: The changes as an object of the format of deltas, or the unreadable object.
    """

    delta: str
    collection: str | None
    changes: int | None
    reasons: tuple[str, ...]
    content: bytes

    @property
    def summary(self) -> str:
        """What happened, in one line."""
        what = "an unreadable delta" if self.changes is None else f"{self.changes} changes"
        where = f" of collection {self.collection}" if self.collection else ""
        return f"delta {self.delta}: {what}{where} set aside: {self.reasons[0]}"


@dataclass(frozen=True, slots=True)
class QuarantineEntry:
    """What lies in quarantine of one delta; `SetAside` says what the fields mean."""

    delta: str
    collection: str | None
    changes: int | None
    reasons: tuple[str, ...]


def unreadable(delta_id: str, content: bytes, reason: str) -> SetAside:
    """A delta that is set aside whole, because it cannot be read."""
    return SetAside(delta_id, None, None, (reason,), content)


def refused(delta_id: str, spec: CollectionSpec, changes: list[tuple[bytes, str]]) -> SetAside:
    """Changes of a delta, each with its reason."""
    reasons = tuple(reason for _, reason in changes[:_MAX_REASONS])
    content = encode_lines(delta_id, spec, [line for line, _ in changes])
    return SetAside(delta_id, spec.name, len(changes), reasons, content)


def keep(storage: Storage, database: str, found: Iterable[SetAside]) -> None:
    """Write what was set aside; the reasons last, so that what they name is there."""
    for item in found:
        storage.put(quarantine_key(database, item.delta, CHANGES), item.content)
        value = {
            "format": FORMAT,
            "delta": item.delta,
            "collection": item.collection,
            "changes": item.changes,
            "reasons": item.reasons,
        }
        data = json.dumps(value, indent=1).encode()
        storage.put(quarantine_key(database, item.delta, REASONS), data)


def listed(storage: Storage, database: str) -> list[QuarantineEntry]:
    """What lies in quarantine, by delta."""
    found = []
    for info in storage.list(quarantine_prefix(database)):
        if info.key.endswith(REASONS):
            value = json.loads(storage.get(info.key).data)
            found.append(
                QuarantineEntry(
                    str(value["delta"]),
                    value["collection"],
                    value["changes"],
                    tuple(value["reasons"]),
                )
            )
    return found


def discard(storage: Storage, database: str, delta_id: str) -> int:
    """Delete what was set aside of a delta; return how many objects there were."""
    there = [
        info.key
        for info in storage.list(quarantine_prefix(database))
        if delta_id_of(info.key.removesuffix(REASONS)) == delta_id
    ]
    storage.delete(there)
    return len(there)

"""The pointer: the one object that is ever overwritten, and only under a condition."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vector_common.errors import Conflict, Damaged, NotFound, PreconditionFailed, Refused
from vector_common.ids import is_id
from vector_common.names import pointer_key

if TYPE_CHECKING:
    from chroma_store.storage import Storage

FORMAT = 1
_EMPTY: dict[str, object] = {
    "format": FORMAT,
    "snapshot_id": None,
    "manifest_sha256": None,
    "generation": 0,
}
"""Of a database whose first snapshot is being made: written before its manifest, so that a manifest
without a pointer means that the pointer was lost."""

_SHA256 = re.compile(r"[0-9a-f]{64}")


class PointerMoved(Conflict):
    """Another writer flipped the pointer first; its snapshot is the current one."""


@dataclass(frozen=True, slots=True)
class Pointer:
    """Which snapshot is current.

    Attributes:
        snapshot_id: The snapshot.
        manifest_sha256: Of its manifest's bytes, so that nothing but the pointer need be trusted.
        generation: 1 for a database's first snapshot, one more with every flip.
        etag: Of the pointer object as it was read or written.
    """

    snapshot_id: str
    manifest_sha256: str
    generation: int
    etag: str


def read_pointer(storage: Storage, database: str) -> Pointer | None:
    """The current pointer, or None for a database without a snapshot.

    Raises:
        Damaged: It is not a pointer.
        Refused: Its format is unknown.
    """
    try:
        blob = storage.get(pointer_key(database))
    except NotFound:
        return None
    try:
        raw = json.loads(blob.data)
        if raw["format"] != FORMAT:
            raise Refused(f"pointer of {database}: format {raw['format']!r} is unknown")
        if raw == _EMPTY:
            return None
        pointer = Pointer(
            str(raw["snapshot_id"]),
            str(raw["manifest_sha256"]),
            int(raw["generation"]),
            blob.etag,
        )
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise Damaged(f"pointer of {database}: {error}") from None
    if not is_id(pointer.snapshot_id) or not _SHA256.fullmatch(pointer.manifest_sha256):
        raise Damaged(f"pointer of {database}: does not name a snapshot")
    return pointer


def has_pointer(storage: Storage, database: str) -> bool:
    """Whether the pointer's object is there, though no snapshot may be current yet."""
    try:
        storage.get(pointer_key(database))
    except NotFound:
        return False
    return True


def begin_pointer(storage: Storage, database: str) -> str:
    """Write the pointer of a database without a snapshot, and return its etag.

    Raises:
        PointerMoved: Another writer has made the first snapshot.
    """
    try:
        return storage.put(pointer_key(database), _bytes(_EMPTY), if_none_match=True)
    except PreconditionFailed:
        raise _moved(database, "this one began") from None


def flip_pointer(
    storage: Storage, database: str, parent: Pointer | None, snapshot_id: str, digest: str
) -> Pointer:
    """Make a snapshot the current one, if the pointer still is ``parent``.

    Raises:
        PointerMoved: It is not.
    """
    etag = parent.etag if parent else begin_pointer(storage, database)
    generation = parent.generation + 1 if parent else 1
    value: dict[str, object] = {
        "format": FORMAT,
        "snapshot_id": snapshot_id,
        "manifest_sha256": digest,
        "generation": generation,
    }
    try:
        new = storage.put(pointer_key(database), _bytes(value), if_match=etag)
    except (PreconditionFailed, NotFound):
        since = parent.snapshot_id if parent else "this one began"
        raise _moved(database, since, f" ({snapshot_id})") from None
    return Pointer(snapshot_id, digest, generation, new)


def _bytes(value: dict[str, object]) -> bytes:
    return json.dumps(value, indent=1).encode()


def _moved(database: str, since: str, which: str = "") -> PointerMoved:
    return PointerMoved(
        f"database {database}: another writer made a snapshot since {since}; this one{which} is "
        "not current, and its deltas stay for the next compaction"
    )

"""The log of deltas of a database: append, list, replay, drop."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vector_common.deltas import DeltaWriter, decode
from vector_common.errors import BadRequest, Conflict, Damaged
from vector_common.names import check_database, delta_id_of, delta_key, delta_prefix
from vector_common.records import parse_records

from chroma_store.deltas.replay import Progress, apply_deltas
from chroma_store.server.client import ChromaHttp

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    from vector_common.deltas import Delta
    from vector_common.records import CollectionSpec

    from chroma_store.storage import Storage


@dataclass(frozen=True, slots=True)
class DeltaInfo:
    """A delta as the listing shows it; ``size`` in bytes, ``modified`` by the store's clock."""

    id: str
    size: int
    modified: datetime


@dataclass(frozen=True, slots=True)
class ReplayReport:
    """What a replay did.

    Attributes:
        applied: Ids of the deltas, in the order of application; the next snapshot's ``consumed``.
        records: Changes in them.
        expected: How many records each touched collection must have now.
        seconds: It took.
    """

    applied: tuple[str, ...]
    records: int
    expected: dict[str, int]
    seconds: float


class DeltaLog:
    """The deltas of one database.

    Args:
        storage: Where they lie.
        database: Whose they are.
    """

    def __init__(self, storage: Storage, database: str) -> None:
        self.storage = storage
        self.database = check_database(database)
        self._writer = DeltaWriter(storage, database)

    def append(
        self,
        raw: Sequence[Mapping[str, Any]],
        spec: CollectionSpec,
        *,
        idempotency_key: str | None = None,
    ) -> list[str]:
        """Write changes; see `vector_common.deltas.DeltaWriter.append`."""
        return self._writer.append(raw, spec, idempotency_key=idempotency_key)

    def check(self, raw: Sequence[Mapping[str, Any]], spec: CollectionSpec) -> None:
        """Raise what `append` would raise for these changes, writing no delta."""
        parse_records(raw, spec)
        self._writer.settle(spec)

    def pending(self, consumed: Collection[str] = ()) -> list[DeltaInfo]:
        """The deltas that are in the store and not consumed, by id.

        Args:
            consumed: Ids that the current snapshot contains. A set and no high-water mark: a
                writer whose clock is behind may add an id that sorts before consumed ones.
        """
        return [info for info in self._all() if info.id not in consumed]

    def read(self, delta_id: str) -> Delta:
        """Read one delta.

        Raises:
            NotFound: It is not there.
            Damaged, Refused: It is not one that can be replayed.
        """
        return decode(self.storage.get(delta_key(self.database, delta_id)).data, delta_id)

    def replay(
        self,
        base_url: str,
        consumed: Collection[str] = (),
        *,
        headers: Mapping[str, str] | None = None,
    ) -> ReplayReport:
        """Apply the pending deltas to a running server, in order of their ids.

        Doing it again, or again after it broke off, gives the same records.

        Args:
            base_url: The server's address.
            consumed: Ids that the server's data contains already.
            headers: For the server.

        Raises:
            Conflict: The server refuses a delta; the message names the candidates.
            Unavailable: The server does not answer.
            Damaged: A delta is not what its writer wrote.
        """
        started = time.monotonic()
        ids = [info.id for info in self.pending(consumed)]
        progress = Progress()
        try:
            apply_deltas(ChromaHttp(base_url, headers=headers), map(self.read, ids), progress)
        except BadRequest as error:
            raise Conflict(
                f"database {self.database}: the server refuses one of the deltas "
                f"{ids[0]} to {ids[-1]}: {error}"
            ) from error
        return ReplayReport(
            tuple(ids), progress.records, progress.expected, time.monotonic() - started
        )

    def drop(self, consumed: Iterable[str]) -> int:
        """Delete deltas that a snapshot contains; return how many of them were still there."""
        wanted = set(consumed)
        there = [info.id for info in self._all() if info.id in wanted] if wanted else []
        self.storage.delete(delta_key(self.database, i) for i in there)
        return len(there)

    def _all(self) -> Iterator[DeltaInfo]:
        for info in self.storage.list(delta_prefix(self.database)):
            delta_id = delta_id_of(info.key)
            if delta_id is None:
                raise Damaged(f"{info.key}: is not a delta, but is stored among them")
            yield DeltaInfo(delta_id, info.size, info.modified)

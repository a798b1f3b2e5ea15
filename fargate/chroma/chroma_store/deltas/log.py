"""The log of deltas of a database: append, list, replay, drop."""

from __future__ import annotations

import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vector_common.deltas import DeltaWriter, decode
from vector_common.errors import Damaged, Unavailable
from vector_common.names import check_database, delta_id_of, delta_key, delta_prefix
from vector_common.records import parse_records

from chroma_store.deltas import quarantine
from chroma_store.deltas.fetching import reader
from chroma_store.deltas.replay import Progress, apply_deltas
from chroma_store.server.client import ChromaHttp

if TYPE_CHECKING:
    from collections.abc import (
        Callable,
        Collection,
        Generator,
        Iterable,
        Iterator,
        Mapping,
        Sequence,
    )
    from concurrent.futures import Future
    from datetime import datetime

    from vector_common.deltas import Delta
    from vector_common.records import CollectionSpec

    from chroma_store.deltas.quarantine import QuarantineEntry, SetAside
    from chroma_store.storage import Storage


AHEAD_THREADS = 64
"""Reads at once: at 20 ms each, 3,200 a second, more than one core checks."""

AHEAD_DELTAS = 5000
"""As many as a window of the replay has, so that the next one is read while one is applied."""

AHEAD_BYTES = 32 * 1024 * 1024
"""Of objects that are read before they are applied; as Python objects they take about five times
as much."""


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
        set_aside: What the server does not take; in ``applied`` too, once `DeltaLog.set_aside`
            has kept it.
        notes: What the reader of a report should know, one sentence a collection.
        seconds: It took.
    """

    applied: tuple[str, ...]
    records: int
    expected: dict[str, int]
    set_aside: tuple[SetAside, ...]
    notes: tuple[str, ...]
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

    def has_pending(self, consumed: Collection[str] = ()) -> bool:
        """Whether `pending` has any; the listing ends with the first."""
        return any(info.id not in consumed for info in self._all())

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

        Doing it again, or again after it broke off, gives the same records. What the server
        refuses, and what cannot be read, is in the report's ``set_aside``.

        Args:
            base_url: The server's address.
            consumed: Ids that the server's data contains already.
            headers: For the server.

        Raises:
            Refused: A delta is of a newer version.
            Unavailable: The server does not answer; the message names the deltas.
        """
        started = time.monotonic()
        pending = self.pending(consumed)
        progress = Progress()
        server = ChromaHttp(base_url, headers=headers)
        try:
            with closing(self.read_ahead(pending)) as deltas:
                apply_deltas(server, deltas, progress)
        except Unavailable as error:
            first, last = progress.window[0], progress.window[-1]
            raise Unavailable(f"deltas {first} to {last}: {error}") from error
        return ReplayReport(
            tuple(info.id for info in pending),
            progress.records,
            progress.expected,
            tuple(progress.set_aside),
            tuple(progress.notes.values()),
            time.monotonic() - started,
        )

    def set_aside(self, found: Iterable[SetAside]) -> None:
        """Keep what a replay could not apply, before its deltas count as consumed."""
        quarantine.keep(self.storage, self.database, found)

    def quarantined(self) -> list[QuarantineEntry]:
        """What was set aside, by delta."""
        return quarantine.listed(self.storage, self.database)

    def discard(self, delta_id: str) -> int:
        """Delete a pending delta and what was set aside of it; return how many objects."""
        return self.drop([delta_id]) + quarantine.discard(self.storage, self.database, delta_id)

    def drop(self, consumed: Iterable[str]) -> int:
        """Delete deltas that a snapshot contains; return how many of them were still there."""
        wanted = set(consumed)
        there = [info.id for info in self._all() if info.id in wanted] if wanted else []
        self.storage.delete(delta_key(self.database, i) for i in there)
        return len(there)

    def read_ahead(self, infos: Iterable[DeltaInfo]) -> Generator[Delta | SetAside, None, None]:
        """Read deltas in the given order, several at once; one that cannot be read is set aside.

        At most `AHEAD_BYTES` of objects are read and not yet yielded, or one delta.

        Raises:
            NotFound: One is not there any more.
            Refused: One is of a newer version.
        """
        get = reader(self.storage)
        with ThreadPoolExecutor(AHEAD_THREADS, "deltas") as pool:
            ahead: deque[tuple[Future[Delta | SetAside], int]] = deque()
            size = 0
            try:
                for info in infos:
                    while ahead and (size + info.size > AHEAD_BYTES or len(ahead) >= AHEAD_DELTAS):
                        future, bytes_ = ahead.popleft()
                        size -= bytes_
                        yield future.result()
                    ahead.append((pool.submit(self._readable, get, info.id), info.size))
                    size += info.size
                while ahead:
                    yield ahead.popleft()[0].result()
            finally:
                for future, _ in ahead:
                    future.cancel()

    def _readable(self, get: Callable[[str], bytes], delta_id: str) -> Delta | SetAside:
        try:
            return decode(get(delta_key(self.database, delta_id)), delta_id)
        except Damaged:
            # Read again: what is lost on the way need not be lost in the store.
            data = self.storage.get(delta_key(self.database, delta_id)).data
            try:
                return decode(data, delta_id)
            except Damaged as error:
                return quarantine.unreadable(delta_id, data, str(error))

    def _all(self) -> Iterator[DeltaInfo]:
        for info in self.storage.list(delta_prefix(self.database)):
            delta_id = delta_id_of(info.key)
            if delta_id is None:
                raise Damaged(f"{info.key}: is not a delta, but is stored among them")
            yield DeltaInfo(delta_id, info.size, info.modified)

"""One session a database: whoever writes it holds a lease, an object with an end.

The pointer's condition already keeps two writers from both winning. The lease keeps the second
one from serving at all, because what a loser's clients wrote cannot be merged.
"""

from __future__ import annotations

import json
import time
import uuid
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from vector_common.errors import Conflict, NotFound, PreconditionFailed, VectorError
from vector_common.names import base

from chroma_store.periodic import Periodic

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from chroma_store.storage import Storage

LEASE_SECONDS = 60.0
"""After a holder that died without a word, another one waits this long at most."""

RENEW_SECONDS = 15.0
"""Three renewals may fail before the lease ends."""

POLL_SECONDS = 1.0


class DatabaseLease:
    """The right to write one database.

    Args:
        storage: Where the database lies.
        database: Its name.
        session_id: Who holds it. A later process of the same session takes it over at once: its
            container was restarted.
        on_lost: Called once, from a thread, when another one has taken it.
        say: Takes what happens to it, by name, and its ``cause`` if it has one.
    """

    def __init__(
        self,
        storage: Storage,
        database: str,
        session_id: str,
        *,
        on_lost: Callable[[], None],
        say: Callable[..., None],
    ) -> None:
        self._storage = storage
        self._key = f"{base(database)}/lease.json"
        self._session_id = session_id
        self._holder = uuid.uuid4().hex
        self._on_lost = on_lost
        self._say = say
        self._etag: str | None = None
        self._renewal = Periodic(self._renew, RENEW_SECONDS, "lease")

    def acquire(self, wait: float, stopping: Callable[[], bool]) -> None:
        """Take the lease and keep renewing it.

        Args:
            wait: Seconds to wait for another session that holds it.
            stopping: Asked while it waits; True gives up.

        Raises:
            Conflict: Another session still holds it.
            VectorError: The storage failed.
        """
        until = time.monotonic() + wait
        while (holder := self._try()) is not None:
            if time.monotonic() >= until or stopping():
                raise Conflict(
                    f"Session {holder} is using this database. Finish it, or start again when its "
                    f"lease has ended, at most {LEASE_SECONDS:g} s after its last sign of life."
                )
            time.sleep(POLL_SECONDS)
        self._renewal.start()

    def release(self) -> None:
        """Let the next one in at once; the lease of somebody else is left alone."""
        self._renewal.stop()
        if self._etag is None:
            return
        try:
            self._storage.put(self._key, self._document(0), if_match=self._etag)
        except VectorError as error:
            self._say("lease_not_released", cause=str(error))
        self._etag = None

    def _try(self) -> str | None:
        """Take the lease, or return the id of the session that holds it."""
        document = self._document(time.time() + LEASE_SECONDS)
        try:
            blob = self._storage.get(self._key)
        except NotFound:
            blob = None
        try:
            if blob is None:
                self._etag = self._storage.put(self._key, document, if_none_match=True)
                return None
            held = _parse(blob.data)
            if held["session"] != self._session_id and held["until"] > time.time():
                return str(held["session"])
            self._etag = self._storage.put(self._key, document, if_match=blob.etag)
        except PreconditionFailed:
            return "of an unknown name"
        return None

    def _renew(self) -> bool:
        assert self._etag is not None
        try:
            document = self._document(time.time() + LEASE_SECONDS)
            self._etag = self._storage.put(self._key, document, if_match=self._etag)
        except (PreconditionFailed, NotFound):
            self._etag = None
            self._say("lease_lost")
            self._on_lost()
            return False
        except VectorError as error:
            self._say("lease_not_renewed", cause=str(error))
        return True

    def _document(self, until: float) -> bytes:
        # The holder makes two processes of one session write different bytes.
        value = {"session": self._session_id, "holder": self._holder, "until": until}
        return json.dumps(value).encode()


@contextmanager
def held(storage: Storage, database: str, command: str) -> Iterator[None]:
    """Hold the lease while a command writes a database that nobody may be serving.

    Raises:
        Conflict: A session is.
    """
    name = f"{command}-{uuid.uuid4().hex[:8]}"
    lease = DatabaseLease(storage, database, name, on_lost=_ignore, say=_ignore)
    try:
        lease.acquire(0, lambda: False)
        yield
    finally:
        lease.release()


def _ignore(*_: object, **__: object) -> None:
    # Who has lost the lease loses the flip too, which says so.
    pass


def _parse(data: bytes) -> dict[str, Any]:
    """A lease as it was read; one that is not understood counts as ended."""
    try:
        value = json.loads(data)
        return {"session": str(value["session"]), "until": float(value["until"])}
    except (ValueError, KeyError, TypeError):
        return {"session": "", "until": 0.0}

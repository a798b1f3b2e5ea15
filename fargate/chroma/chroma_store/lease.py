"""One session a database: whoever writes it holds a lease, an object with an end.

The pointer's condition already keeps two writers from both winning. The lease keeps the second
one from serving at all, because what a loser's clients wrote cannot be merged. Its age is told by
the store's clock (`vector_common.conditional`), whatever the clocks of the machines say.
"""

from __future__ import annotations

import time
import uuid
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from vector_common.conditional import ExpiringLease, LeaseLost
from vector_common.errors import Conflict, VectorError
from vector_common.names import lease_key

from chroma_store.periodic import Periodic

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

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
        self._session_id = session_id
        self._holder = uuid.uuid4().hex
        self._on_lost = on_lost
        self._say = say
        self._lease = ExpiringLease(
            storage,
            lease_key(database),
            self._describe,
            seconds=LEASE_SECONDS,
            passes=self._passes,
        )
        self._renewal = Periodic(self._renew, RENEW_SECONDS, "lease", at_once=False)

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
        while (holder := self._lease.take()) is not None:
            if time.monotonic() >= until or stopping():
                name = holder.get("session", "of an unknown name")
                raise Conflict(
                    f"Session {name} is using this database. Finish it, or start again when "
                    f"its lease has expired, at most {LEASE_SECONDS:g} s after it was last renewed."
                )
            time.sleep(POLL_SECONDS)
        self._renewal.start()

    def release(self) -> None:
        """Let the next one in at once; the lease of somebody else is left alone."""
        self._renewal.stop()
        try:
            self._lease.release()
        except VectorError as error:
            self._say("lease_not_released", cause=str(error))

    def _renew(self) -> bool:
        try:
            self._lease.renew()
        except LeaseLost:
            self._say("lease_lost")
            self._on_lost()
            return False
        except VectorError as error:
            self._say("lease_not_renewed", cause=str(error))
        return True

    def _passes(self, holder: Mapping[str, Any]) -> bool:
        # Earlier images state an end instead of seconds, 0 for a lease that was released.
        return holder.get("session") == self._session_id or holder.get("until") == 0

    def _describe(self, seconds: float) -> dict[str, object]:
        # `until` is for earlier images only, which judge it by their own clocks.
        until = time.time() + seconds if seconds else 0
        return {"session": self._session_id, "holder": self._holder, "until": until}


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

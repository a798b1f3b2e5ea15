"""Compare-and-set over a store, and leases that expire by the store's clock.

Everything that several machines change in one object goes through here: read it, change it, and
write it back under the condition that nobody wrote in between. A machine's own clock decides
nothing, for a laptop that is 90 seconds ahead would take the lease of a session that is alive.
The age of an object is the difference of two times that the store itself gave: for S3 the header
``Date`` and the object's ``LastModified``, for a folder two file times as its file system stamps
them.

This module imports nothing but the errors, so that the build's tool can use it too.
"""

from __future__ import annotations

import json
import random
import time
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from vector_common.errors import Conflict, Contended, NotFound, PreconditionFailed, VectorError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from datetime import datetime

ATTEMPTS = 8
"""Of one change, before it is given up."""

PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 3.0
"""Between two attempts: up to the first, doubled every time, and never above the second."""


@dataclass(frozen=True, slots=True)
class VersionedObject:
    """An object as it was read.

    Attributes:
        data: Its bytes.
        version: Opaque; fits the condition of a write.
        written: When it was written, by the store's clock.
        now: When it was read, by the store's clock.
    """

    data: bytes
    version: str
    written: datetime
    now: datetime

    @property
    def age(self) -> float:
        """Seconds since it was written; the machine's clock has no part in it."""
        return (self.now - self.written).total_seconds()


class ConditionalStore(Protocol):
    """What a store must offer; both storages in `vector_common.storage` do."""

    def observe(self, key: str) -> VersionedObject:
        """Read an object with its version and the store's time, or raise NotFound."""

    def put(
        self, key: str, data: bytes, *, if_match: str | None = None, if_none_match: bool = False
    ) -> str:
        """Write an object if its version is ``if_match``, or if there is none.

        Returns:
            The new version.

        Raises:
            PreconditionFailed, NotFound: The condition does not hold.
        """

    def delete(self, keys: Iterable[str]) -> None:
        """Delete objects without a condition."""


def read(store: ConditionalStore, key: str) -> VersionedObject | None:
    """An object, or None if there is none."""
    try:
        return store.observe(key)
    except NotFound:
        return None


def write(store: ConditionalStore, key: str, data: bytes, over: VersionedObject | None) -> str:
    """Write over an object as it was read, or where there was none.

    Returns:
        The new version.

    Raises:
        PreconditionFailed: Somebody else wrote or deleted it since.
    """
    try:
        if over is None:
            return store.put(key, data, if_none_match=True)
        return store.put(key, data, if_match=over.version)
    except NotFound as error:
        raise PreconditionFailed(str(error)) from None


def update(
    store: ConditionalStore,
    key: str,
    change: Callable[[bytes | None], bytes | None],
    *,
    attempts: int = ATTEMPTS,
    sleep: Callable[[float], None] = time.sleep,
) -> bytes | None:
    """Change an object, however many others change it at the same time.

    Args:
        store: Where the object is.
        key: Which one.
        change: Takes the bytes that are there (None if there is no object) and returns those to
            write, or None to leave the object unchanged. It is called once per attempt. Two
            writers whose changes give the same bytes count as one: where that is wrong, as for a
            counter, the bytes must contain something random.
        attempts: How often the change is tried.
        sleep: Waits between two attempts.

    Returns:
        The bytes that are there now.

    Raises:
        Contended: Others kept writing.
        VectorError: The store failed, or ``change`` raised it.
    """
    for attempt in range(attempts):
        if attempt:
            longest = min(LONGEST_PAUSE_SECONDS, PAUSE_SECONDS * 2 ** (attempt - 1))
            sleep(random.uniform(longest / 2, longest))
        seen = read(store, key)
        data = change(seen.data if seen else None)
        if data is None:
            return seen.data if seen else None
        try:
            write(store, key, data, seen)
        except PreconditionFailed:
            continue
        return data
    raise Contended(
        f"{key} kept changing while it was being updated; gave up after {attempts} attempts"
    )


class LeaseLost(Conflict):
    """Somebody else holds the lease now."""


class ExpiringLease:
    """One holder at a time, by an object that is renewed while its holder lives.

    The object states for how many seconds a write of it counts; it has expired when it is older
    than that by the store's clock. It is kept when the lease is released, and then says 0
    seconds. Every write has a random value in it, so that no two have the same version.

    Args:
        store: Where the object is.
        key: Which one.
        describe: Called with the seconds of a write; what the object tells about its holder.
        seconds: How long a write of this holder counts.
        passes: Whether a holder, given by what its object tells, gives way before the lease has
            expired. One whose object cannot be read always does.
    """

    def __init__(
        self,
        store: ConditionalStore,
        key: str,
        describe: Callable[[float], Mapping[str, object]],
        *,
        seconds: float,
        passes: Callable[[Mapping[str, Any]], bool] = lambda _: False,
    ) -> None:
        self._store = store
        self._key = key
        self._describe = describe
        self._seconds = seconds
        self._passes = passes
        self._version: str | None = None
        self._unanswered: bytes | None = None

    @property
    def held(self) -> bool:
        """Whether it was taken, and neither released nor seen to be lost."""
        return self._version is not None

    def take(self) -> Mapping[str, Any] | None:
        """Try once to take it.

        Returns:
            None if it is taken now, else what its holder's object tells; empty if another one
            took it at this very moment.

        Raises:
            StoreError: The store failed.
        """
        seen = read(self._store, self._key)
        if seen is not None:
            holder = _parse(seen.data)
            if holder is not None and self._counts(holder, seen.age) and not self._passes(holder):
                return holder
        try:
            self._version = write(self._store, self._key, self._document(self._seconds), seen)
        except PreconditionFailed:
            return {}
        return None

    def renew(self) -> None:
        """Make the lease count from now on again.

        Raises:
            LeaseLost: Another one holds it.
            StoreError: The store failed; the lease goes on for what is left of it.
        """
        try:
            self._write(self._seconds)
        except (PreconditionFailed, NotFound):
            self._version = None
            raise LeaseLost(f"{self._key}: another one has taken the lease") from None

    def release(self) -> None:
        """Let the next one in at once; a lease that has passed to another one stays theirs.

        Raises:
            StoreError: The store failed; the lease expires by itself.
        """
        if self._version is None:
            return
        try:
            self._write(0)
        except (PreconditionFailed, NotFound):
            return
        finally:
            self._version = None

    def _write(self, seconds: float) -> None:
        """Write over what this holder wrote last, which may be a write without an answer."""
        assert self._version is not None, "the lease was not taken"
        data = self._document(seconds)
        try:
            self._version = self._store.put(self._key, data, if_match=self._version)
        except (PreconditionFailed, NotFound):
            seen = read(self._store, self._key)
            if seen is None or seen.data != self._unanswered:
                raise
            self._version = write(self._store, self._key, data, seen)
        except VectorError:
            self._unanswered = data
            raise

    def _document(self, seconds: float) -> bytes:
        nonce = uuid.uuid4().hex
        return json.dumps({**self._describe(seconds), "seconds": seconds, "nonce": nonce}).encode()

    def _counts(self, holder: Mapping[str, Any], age: float) -> bool:
        try:
            # A holder of an earlier version states no seconds.
            return age < float(holder.get("seconds", self._seconds))
        except (TypeError, ValueError):
            return False


def _parse(data: bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(data)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None

"""What a session holds: the lease, the database, the token, and how it comes by them."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any

from chroma_store.lease import DatabaseLease
from vector_common.errors import StartError
from vector_common.names import base

from chroma_supervisor.logs import event
from chroma_supervisor.session import budget, marker, tokens

if TYPE_CHECKING:
    from collections.abc import Callable

    from chroma_store.storage import Storage

    from chroma_supervisor.session.database import SessionDatabase
    from chroma_supervisor.session.state import Session


class Resources:
    """Opened step by step, each of which blocks, and given back in one.

    Args:
        session: Whose they are; token, upstream and snapshot_id are set on it.
        clients: Makes the botocore client of an AWS service.
    """

    def __init__(self, session: Session, clients: Callable[[str], Any]) -> None:
        self._session = session
        self._settings = session.settings
        self._clients = clients
        self._storage: Storage | None = None
        self._database: SessionDatabase | None = None
        self._lease: DatabaseLease | None = None
        self._vault: tokens.TokenVault | None = None
        self.resumed = marker.of_session(self._settings)
        """What this session's former process left on the volume; its container was restarted."""

    @property
    def database(self) -> SessionDatabase:
        """The database, once `connect` has returned."""
        assert self._database is not None
        return self._database

    def connect(self) -> None:
        """Open the storage, without asking it for anything yet.

        Raises:
            VectorError: Its URL is not one.
        """
        # Both import botocore, which takes as long as everything else of an empty start.
        from chroma_store.storage import open_storage  # noqa: PLC0415

        from chroma_supervisor.session.database import SessionDatabase  # noqa: PLC0415

        self._storage = open_storage(self._settings.storage_url)
        self._database = SessionDatabase(self._settings, self._storage)

    def acquire(self, on_lease_lost: Callable[[], None]) -> None:
        """Take the lease of the database, and have a token for its clients.

        Args:
            on_lease_lost: Called from a thread when another session has taken it over.

        Raises:
            StartError: The budget does not fit.
            VectorError: Another session holds it, or the storage failed.
            BotoCoreError, ClientError: The token's vault failed.
        """
        settings = self._settings
        assert self._storage is not None
        self._lease = DatabaseLease(
            self._storage,
            settings.database,
            settings.session_id,
            on_lost=on_lease_lost,
            say=event,
        )
        self._lease.acquire(settings.lease_wait, self._session.stopping.is_set)
        self.database.warm_up()
        if settings.budget_policy == "refuse" and self.resumed is None:
            self._require_budget()
        self._vault = tokens.open_vault(settings.token_reference, self._clients)
        self._session.token = self._known_token() or self._new_token(self._vault)

    def restore(self) -> None:
        """Bring the data onto the volume and start the server on it.

        Raises:
            StartError: The data cannot be restored, or is larger than the session accepts.
            ServerError: The server does not start.
        """
        self._session.snapshot_id = self.database.restore()
        bound = self._session.largest_bytes
        if bound and not self.database.adopted and (size := self.database.size()) > bound:
            raise StartError(
                f"The restored data has {size} bytes, and the session accepts {bound}. Raise "
                "MAX_SNAPSHOT_BYTES, enlarge the task or avoid Spot."
            )
        self._session.upstream = self.database.start_server()

    def replay(self) -> None:
        """Apply the deltas that wait.

        Raises:
            StartError: One of them cannot be applied.
        """
        assert self._session.token is not None
        event("replayed", records=self.database.replay(self._session.token))

    def estimate_budget(self) -> None:
        """Log what Spot's two minutes afford; never raises."""
        try:
            _say(self._measure())
        except Exception as error:  # an estimate is not worth a session
            event("spot_budget", level=logging.WARNING, message=str(error))

    def release(self) -> None:
        """Leave no token, lease or child process behind."""
        if self._database is not None:
            self._database.close()
        if self._lease is not None:
            self._lease.release()
        if self._vault is not None:
            try:
                self._vault.remove()
            except Exception as error:  # it expires by itself
                event("token_not_removed", level=logging.WARNING, cause=repr(error))

    def _known_token(self) -> tokens.SessionToken | None:
        """The token that the clients of a resumed session have."""
        if self.resumed is None or self.resumed.token_expires_at <= time.time():
            return None
        digest = bytes.fromhex(self.resumed.token_digest)
        return tokens.SessionToken(digest, self.resumed.token_expires_at)

    def _new_token(self, vault: tokens.TokenVault) -> tokens.SessionToken:
        token, document = tokens.mint(self._settings.effective_token_lifetime)
        vault.write(document)
        return token

    def _require_budget(self) -> None:
        """Bound the session by what the two minutes afford, or refuse a bound beyond that."""
        found = self._measure()
        if not self._session.largest_bytes:
            self._session.largest_bytes = found.affordable_bytes
        elif not found.fits:
            raise StartError(found.sentence())
        _say(found)

    def _measure(self) -> budget.Budget:
        assert self._storage is not None
        prefix = f"{base(self._settings.database)}/probes"
        return budget.measure(self._storage, prefix, self._session.largest_bytes)


def _say(found: budget.Budget) -> None:
    level = logging.INFO if found.fits else logging.WARNING
    event("spot_budget", level=level, message=found.sentence())

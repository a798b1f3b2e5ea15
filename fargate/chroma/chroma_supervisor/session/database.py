"""One database for the length of one session: restored, served, replayed, snapshotted.

Everything in here blocks; the life cycle calls it from a thread, one call at a time.
"""

from __future__ import annotations

import logging
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING

from chroma_store.deltas.log import DeltaLog
from chroma_store.server.client import ChromaHttp
from chroma_store.server.index import measure
from chroma_store.server.process import ChromaProcess, collections, places
from chroma_store.snapshots.manifest import CollectionInfo
from chroma_store.snapshots.store import PointerMoved, SnapshotStore
from chroma_store.snapshots.versions import running_version
from vector_common.errors import (
    EXIT_BUG,
    FlipError,
    ServerError,
    StartError,
    Unavailable,
    VectorError,
)
from vector_common.ids import new_id

from chroma_supervisor.logs import event, report_recall, report_set_aside
from chroma_supervisor.outside import Report
from chroma_supervisor.session import marker

if TYPE_CHECKING:
    from chroma_store.server.index import Recall
    from chroma_store.snapshots.store import Pointer, SnapshotReport
    from chroma_store.storage import Storage

    from chroma_supervisor.session.tokens import SessionToken
    from chroma_supervisor.settings import Settings

SERVER_STARTS = 3
"""Each on another free port: somebody may take one between its choice and its use."""

SERVER_START_TIMEOUT = 60.0
"""Seconds; Chroma listens in a tenth of a second and reads an index when it is first asked."""


COUNT_TIMEOUT = 10.0
"""Seconds for one answer of a server that is to be stopped; Spot gives 120 in all."""

RECALL_SAMPLE = 100
RECALL_TIMEOUT = 5.0
"""Records of each collection that a session searches for at its end, and seconds for all of it."""

Held = tuple[CollectionInfo, ...] | None
"""What a server held when it was stopped; None if it could not say."""


class SessionDatabase:
    """The files, the server and the storage of one database.

    Args:
        settings: The session's settings.
        storage: Where its snapshots and deltas are.
    """

    def __init__(self, settings: Settings, storage: Storage) -> None:
        self._settings = settings
        self._snapshots = SnapshotStore(storage, settings.database)
        self._deltas = DeltaLog(storage, settings.database)
        self._parent: Pointer | None = None
        self._consumed: frozenset[str] = frozenset()
        self._applied: tuple[str, ...] = ()
        self._quarantined = 0
        self._recall: tuple[Recall, ...] = ()
        self._flips: tuple[str, ...] = ()
        self._token: SessionToken | None = None
        self._server: ChromaProcess | None = None
        self._warm: ChromaProcess | None = None
        self._start_failed = False
        self.adopted = False
        """True if the volume already held this session's data."""

    def warm_up(self) -> None:
        """Let Chroma's library load while the session still fetches its data."""
        self._settings.data_dir.mkdir(parents=True, exist_ok=True)
        self._warm = ChromaProcess(self._settings.database_dir)
        self._warm.warm_up()

    def restore(self) -> str | None:
        """Bring the current snapshot onto the volume, or find the session's own data there.

        Returns:
            The id of the snapshot that the data comes from; None for an empty start.

        Raises:
            StartError: There is a snapshot and it cannot be used.
        """
        settings = self._settings
        settings.data_dir.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(settings.checkpoint_dir, ignore_errors=True)
        try:
            if self._adopt():
                return self._parent.snapshot_id if self._parent else None
            marker.remove(settings.data_dir)
            shutil.rmtree(settings.database_dir, ignore_errors=True)
            report = self._snapshots.restore(
                settings.database_dir, chroma_version=running_version()
            )
        except StartError:
            raise  # it says already what to do next
        except VectorError as error:
            raise StartError(f"The database could not be restored: {error}") from error
        event("restored", bytes=report.bytes, seconds=round(report.seconds, 3))
        self._parent = report.pointer
        self._consumed = frozenset(report.consumed)
        return self._parent.snapshot_id if self._parent else None

    def _adopt(self) -> bool:
        found = marker.of_session(self._settings)
        if found is None:
            return False
        head = self._snapshots.head()
        current = head.snapshot_id if head else None
        if current != found.parent and current not in found.flips:
            raise StartError(
                "The volume holds this session's data, restored from snapshot "
                f"{found.parent or 'none'}, but the database is at "
                f"{current or 'none'}: another session has written it. Keep the "
                "volume if its writes matter, and start a new session."
            )
        self._parent, self._applied, self.adopted = head, found.applied, True
        self._flips = found.flips
        event("volume_adopted", parent=found.parent)
        return True

    def start_server(self) -> str:
        """Start Chroma on the files, or start it again after it died.

        Returns:
            Its base URL on loopback, without a slash at the end.

        Raises:
            ServerError: It does not answer.
        """
        warm, self._warm = self._warm, None
        self.close()
        self._start_failed = True
        for attempt in range(1, SERVER_STARTS + 1):
            server = warm or ChromaProcess(self._settings.database_dir)
            warm = None
            try:
                server.start()
                server.wait_ready(SERVER_START_TIMEOUT)
            except (VectorError, OSError) as error:
                server.stop(self._settings.stop_timeout)
                event("server_not_started", attempt=attempt, cause=str(error))
                cause = error
            else:
                self._server, self._start_failed = server, False
                return server.base_url
        raise ServerError(f"The Chroma server did not start: {cause}") from cause

    def server_died(self) -> int | None:
        """The exit code of the server if it ended by itself, None while it runs.

        A server whose last start failed counts as ended.
        """
        if self._server is None:
            return EXIT_BUG if self._start_failed else None
        return self._server.poll()

    def replay(self, token: SessionToken) -> int:
        """Apply the deltas that wait, then mark the volume as complete.

        Args:
            token: What a restarted container must recognise.

        Returns:
            The number of records in them.

        Raises:
            StartError: The deltas cannot be read, or Chroma or the storage fails.
        """
        records = 0
        if not self.adopted:
            try:
                records = self._apply()
            except VectorError as error:
                raise StartError(f"The deltas could not be replayed: {error}") from error
        self._token = token
        self._write_marker()
        return records

    def catch_up(self) -> int:
        """Apply the deltas that have come since, and return the number of records in them.

        Raises:
            VectorError: Chroma or the storage fails; the next call tries again.
        """
        before = self._applied
        records = self._apply()
        if self._applied != before:
            self._write_marker()
        return records

    def _apply(self) -> int:
        assert self._server is not None
        done = self._consumed.union(self._applied)
        report = self._deltas.replay(self._server.base_url, done)
        self._deltas.set_aside(report.set_aside)
        self._applied += tuple(report.applied)
        self._quarantined += len(report.set_aside)
        report_set_aside(report.set_aside, report.notes)
        return report.records

    def _write_marker(self) -> None:
        assert self._token is not None
        marker.write(
            self._settings.data_dir,
            marker.Marker(
                session_id=self._settings.session_id,
                database=self._settings.database,
                parent=self._parent.snapshot_id if self._parent else None,
                applied=self._applied,
                token_digest=self._token.digest.hex(),
                token_expires_at=self._token.expires_at,
                flips=self._flips,
            ),
        )

    def server_answers(self, timeout: float) -> bool:
        """Whether the server answers within so many seconds; True while there is none."""
        server = self._server
        return server is None or server.answers(timeout)

    def kill_server(self) -> None:
        """End a server that does not answer; `server_died` then tells so."""
        if self._server is not None:
            self._server.kill()

    def size(self) -> int:
        """Bytes of the database's files."""
        return sum(
            path.stat().st_size for path in self._settings.database_dir.rglob("*") if path.is_file()
        )

    def measure(self, *, wrote: bool) -> None:
        """Ask how much of a sample the indexes find; `store` reports it.

        An answer that takes too long is left out: the data has to be stored in time.

        Args:
            wrote: Whether a client may have changed something.
        """
        server = self._server
        if server is None or not (wrote or self._applied or self.adopted):
            return
        deadline = time.monotonic() + RECALL_TIMEOUT
        found: list[Recall] = []
        try:
            for place in places(server.data_dir):
                http = ChromaHttp(server.base_url, timeout=RECALL_TIMEOUT, place=place)
                for info in http.collections():
                    if time.monotonic() > deadline:
                        raise Unavailable(f"not measured within {RECALL_TIMEOUT:g} s: {info.name}")
                    found.append(measure(http, info, RECALL_SAMPLE))
        except Exception as error:  # the clients' data comes first, whatever it was
            event("recall_unknown", level=logging.WARNING, cause=repr(error))
        report_recall(found)
        self._recall = tuple(found)

    def stop_server(self) -> Held:
        """Stop the server for good.

        Its files hold what it answered however it ends, by SIGTERM or SIGKILL, so that one that
        does not answer any more, or has no room left, costs its clients nothing but the counts.

        Returns:
            What it held at the end, which the snapshot's manifest states; None if it cannot say.
        """
        for again in (False, True):
            try:
                if again or self.server_died() is not None:
                    self.close()
                    self._server = ChromaProcess(self._settings.database_dir)
                    self._server.start()
                    self._server.wait_ready(COUNT_TIMEOUT)
                assert self._server is not None
                server = self._server
                found = collections(server.base_url, server.data_dir, timeout=COUNT_TIMEOUT)
            except (VectorError, OSError) as error:
                event("counts_unknown", level=logging.ERROR, again=again, cause=str(error))
                # SIGTERM has no effect on a server that hangs.
                self.kill_server()
            else:
                self.close()
                return tuple(found)
        self.close()
        return None

    def store(self, held: Held, *, wrote: bool) -> Report:
        """Make the files of the stopped server the database's current snapshot.

        Args:
            held: What `stop_server` returned.
            wrote: Whether a client may have changed something. If none has and no delta was
                replayed, the snapshot that is there is already right.

        Raises:
            FlipError: Another session was faster, or the files cannot be stored.
            VectorError, OSError: The storage failed; a second try may succeed.
        """
        if not (wrote or self._applied or self.adopted):
            marker.remove(self._settings.data_dir)
            before = self._parent.snapshot_id if self._parent else None
            return Report(before, flipped=False, records=_counts(held), counted=held is not None)
        report = self._flip(held, self._settings.database_dir)
        marker.remove(self._settings.data_dir)
        return report

    def copy(self) -> Path:
        """Copy the files of the stopped server beside them, for `checkpoint`.

        Raises:
            OSError: There is no room for them on the volume.
        """
        target = self._settings.checkpoint_dir
        shutil.rmtree(target, ignore_errors=True)
        return Path(shutil.copytree(self._settings.database_dir, target))

    def checkpoint(self, held: Held, folder: Path) -> Report:
        """Make a copy the database's current snapshot, while the server goes on.

        Args:
            held: What `stop_server` returned before the copy was made.
            folder: What `copy` returned; it is removed.

        Raises:
            FlipError, VectorError, OSError: As `store` does.
        """
        try:
            report = self._flip(held, folder)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        self.adopted = False
        self._write_marker()
        return report

    def _flip(self, held: Held, folder: Path) -> Report:
        report = self._snapshot(held, folder)
        applied = self._applied
        self._drop(applied)
        self._parent, self._applied, self._flips = report.pointer, (), ()
        return Report(
            report.pointer.snapshot_id,
            flipped=True,
            records=_counts(held),
            bytes_uploaded=report.bytes_uploaded,
            bytes_total=report.bytes_total,
            seconds=report.seconds,
            deltas=len(applied),
            quarantined=self._quarantined,
            counted=held is not None,
            recall=self._recall,
        )

    def _snapshot(self, held: Held, folder: Path) -> SnapshotReport:
        earlier = self._flips
        snapshot_id = new_id()
        self._flips = (*earlier, snapshot_id)
        try:
            self._write_marker()
        except OSError as error:
            # A full volume. Without the marker, a lost answer is told from another session's flip
            # by this process alone, and not by one that is started after it.
            event("marker_not_written", level=logging.WARNING, cause=str(error))
        try:
            return self._snapshots.snapshot(
                folder,
                parent=self._parent,
                chroma_version=running_version(),
                collections=held,
                consumed=self._applied,
                snapshot_id=snapshot_id,
            )
        except PointerMoved as error:
            head = self._snapshots.head()
            if head is None or head.snapshot_id not in earlier:
                raise FlipError(f"Another session moved the pointer first: {error}") from error
            # An earlier try had succeeded, and only its answer was lost.
            self._parent = head
            return self._snapshot(held, folder)
        except VectorError as error:
            if error.retryable:
                raise
            raise FlipError(f"The snapshot cannot be stored: {error}") from error

    def _drop(self, applied: tuple[str, ...]) -> None:
        """Delete the deltas that are in the snapshot; the manifest names those that stay."""
        try:
            self._deltas.drop(applied)
        except VectorError as error:
            event("deltas_not_dropped", cause=str(error))

    def close(self) -> None:
        """Stop the server if it still runs, and one that was only warmed up."""
        for server in (self._server, self._warm):
            if server is not None:
                server.stop(self._settings.stop_timeout)
        self._server = self._warm = None


def _counts(held: Held) -> dict[str, int]:
    return {collection.name: collection.count for collection in held or ()}

"""Snapshots while the session serves, so that the loss of its task costs minutes and not hours.

Chroma's files are whole only while it is stopped, and it starts in a tenth of a second: it is
stopped for as long as copying its files takes, and the copy is uploaded while it serves again.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING

from vector_common.errors import FlipError

from chroma_supervisor.logs import event
from chroma_supervisor.session.state import POINTER_MOVED, Phase

if TYPE_CHECKING:
    from pathlib import Path

    from chroma_supervisor.session.database import Held, SessionDatabase
    from chroma_supervisor.session.state import Session


class Checkpoints:
    """Takes one every CHECKPOINT_INTERVAL in which a client wrote.

    Args:
        session: Whose requests pause meanwhile.
        database: What is copied.
    """

    def __init__(self, session: Session, database: SessionDatabase) -> None:
        self._session = session
        self._database = database
        self._interval = session.settings.checkpoint_interval
        self._next = time.monotonic() + self._interval
        self._upload: asyncio.Task[None] | None = None

    async def tick(self) -> None:
        """Take one if it is due; returns when the server serves again."""
        due = self._interval and time.monotonic() >= self._next
        uploading = self._upload is not None and not self._upload.done()
        if not due or uploading or not self._session.wrote:
            return
        self._next = time.monotonic() + self._interval
        await self._take()

    async def settle(self) -> None:
        """Wait for an upload that is under way; it never raises."""
        if self._upload is not None:
            await self._upload

    async def _take(self) -> None:
        session, database = self._session, self._database
        session.enter(Phase.CHECKPOINTING)
        if not await session.drained(session.settings.drain_timeout):
            session.enter(Phase.SERVING)  # a long request goes before; the next one is soon
            return
        session.wrote = False
        try:
            held = await asyncio.to_thread(database.stop_server)
            folder = await asyncio.to_thread(database.copy)
        except Exception as error:  # a full volume: what was written stays where it is
            self._failed(error)
        else:
            self._upload = asyncio.create_task(self._store(held, folder))
        session.upstream = await asyncio.to_thread(database.start_server)
        session.enter(Phase.SERVING)

    async def _store(self, held: Held, folder: Path) -> None:
        try:
            report = await asyncio.to_thread(self._database.checkpoint, held, folder)
        except FlipError as error:
            self._failed(error)
            self._session.request_stop(POINTER_MOVED)
        except Exception as error:  # the storage: the next one may succeed
            self._failed(error)
        else:
            self._session.snapshot_id = report.snapshot_id
            event("checkpoint", report.document())

    def _failed(self, error: Exception) -> None:
        self._session.wrote = True
        event("checkpoint_failed", level=logging.WARNING, cause=repr(error))

"""What is looked after while the session serves: time, idleness, the server and its size."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import deque
from typing import TYPE_CHECKING

from vector_common.errors import ServerError, VectorError

from chroma_supervisor.logs import event
from chroma_supervisor.session.checkpoints import Checkpoints
from chroma_supervisor.session.state import Phase

if TYPE_CHECKING:
    from chroma_supervisor.session.database import SessionDatabase
    from chroma_supervisor.session.state import Session

TICK_SECONDS = 0.2
SIZE_SECONDS = 2.0
"""Between two looks at the size of the files; at 1,400 vectors a second (384 dimensions, about
4.6 kB each on disk) they grow by some 13 MB in between."""

PROBES = 3
"""So many questions in a row without an answer, and the server counts as hung."""

RESTARTS = 3
RESTART_WINDOW = 60.0
"""A server that dies more often than this in so many seconds is not started again."""


class Watcher:
    """Ends a session at its deadline or when idle, and keeps its server alive.

    Args:
        session: Told when to stop.
        database: Whose server is watched.
    """

    def __init__(self, session: Session, database: SessionDatabase) -> None:
        self._session = session
        self._database = database
        self._deaths: deque[float] = deque(maxlen=RESTARTS + 1)
        self._next_size = 0.0
        self._next_catch_up = time.monotonic() + session.settings.catch_up_interval
        self._next_probe = time.monotonic() + session.settings.probe_interval
        self._probe: asyncio.Task[bool] | None = None
        self._unanswered = 0
        self._checkpoints = Checkpoints(session, database)

    async def until_stopped(self) -> None:
        """Return when something has asked the session to stop, and no upload is under way."""
        try:
            await self._watch()
        finally:
            await self._checkpoints.settle()

    async def _watch(self) -> None:
        stopping = self._session.stopping
        while not stopping.is_set():
            self._check_time()
            await self._check_server()
            await self._check_answers()
            await self._check_size()
            await self._catch_up()
            await self._checkpoints.tick()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stopping.wait(), TICK_SECONDS)

    def _check_time(self) -> None:
        session, settings = self._session, self._session.settings
        if time.monotonic() - session.started >= settings.session_deadline:
            session.request_stop("deadline")
        elif session.idle_seconds >= settings.idle_timeout:
            session.request_stop("idle")

    async def _check_server(self) -> None:
        code = self._database.server_died()
        if code is None:
            return
        session = self._session
        self._deaths.append(time.monotonic())
        event("server_died", level=logging.WARNING, exit_code=code)
        if len(self._deaths) > RESTARTS and self._deaths[-1] - self._deaths[0] < RESTART_WINDOW:
            session.request_stop("server keeps dying")
            return
        session.enter(Phase.RECOVERING)
        try:
            # Chroma's write-ahead log is in SQLite: what it answered is there after a SIGKILL.
            session.upstream = await asyncio.to_thread(self._database.start_server)
        except ServerError as error:
            event("server_not_restarted", level=logging.ERROR, cause=str(error))
            return
        session.enter(Phase.SERVING)

    async def _check_answers(self) -> None:
        """End a server that is there and does not answer; `_check_server` starts it again."""
        interval = self._session.settings.probe_interval
        if self._probe is None:
            if time.monotonic() >= self._next_probe:
                answers = asyncio.to_thread(self._database.server_answers, interval)
                self._probe = asyncio.create_task(answers)
            return
        if not self._probe.done():
            return
        self._unanswered = 0 if self._probe.result() else self._unanswered + 1
        self._probe, self._next_probe = None, time.monotonic() + interval
        if self._unanswered >= PROBES:
            self._unanswered = 0
            event("server_hung", level=logging.WARNING, probes=PROBES, seconds=interval)
            await asyncio.to_thread(self._database.kill_server)

    async def _catch_up(self) -> None:
        interval = self._session.settings.catch_up_interval
        if not interval or time.monotonic() < self._next_catch_up:
            return
        try:
            if records := await asyncio.to_thread(self._database.catch_up):
                event("caught_up", records=records)
        except VectorError as error:
            event("catch_up_failed", level=logging.WARNING, cause=str(error))
        self._next_catch_up = time.monotonic() + interval

    async def _check_size(self) -> None:
        session = self._session
        if not session.largest_bytes or time.monotonic() < self._next_size:
            return
        size = await asyncio.to_thread(self._database.size)
        if (size > session.largest_bytes) is not session.full:
            session.full = not session.full
            event("size_bound", full=session.full, bytes=size, bound=session.largest_bytes)
        self._next_size = time.monotonic() + SIZE_SECONDS

"""The life of one session: open, announce, serve until something ends it, close, report."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import threading
import time
from typing import TYPE_CHECKING, Any

from vector_common.errors import (
    EXIT_BUG,
    EXIT_DONE,
    EXIT_UNCOUNTED,
    FlipError,
    NobodyWaitsError,
    StartError,
    SupervisorError,
)

from chroma_supervisor import address
from chroma_supervisor.logs import event
from chroma_supervisor.session.callbacks import TaskCallback
from chroma_supervisor.session.resources import Resources
from chroma_supervisor.session.state import LEASE_LOST, NOBODY_WAITS, Phase, Session
from chroma_supervisor.session.watch import Watcher

if TYPE_CHECKING:
    from collections.abc import Callable

    from chroma_supervisor.outside import Report
    from chroma_supervisor.proxy.listener import Listener
    from chroma_supervisor.settings import Settings

STORE_ATTEMPTS = 4
STORE_PAUSE = 2.0
"""Seconds between two attempts to store the snapshot, on top of botocore's own retries."""


class Supervisor:
    """Runs one session from an empty volume to a flipped pointer.

    Args:
        settings: What the task was asked for.
        started: :func:`time.monotonic` at the start of the process.
        clients: Makes the botocore client of an AWS service.
    """

    def __init__(
        self, settings: Settings, *, started: float, clients: Callable[[str], Any]
    ) -> None:
        self._settings = settings
        self._clients = clients
        self._session = Session(settings, started, largest_bytes=settings.max_snapshot_bytes)
        self._resources = Resources(self._session, clients)
        self._callback: TaskCallback | None = None
        """Whoever waits for the session's next answer: its start, and later its end."""

    async def run(self) -> int:
        """Live through the session.

        Returns:
            The exit code of the process: 0, 7 if Chroma could not say what it held, or that of
            the error that ended the session.
        """
        self._loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            self._loop.add_signal_handler(number, self._session.request_stop, number.name)
        try:
            async with contextlib.AsyncExitStack() as stack:
                await self._open(stack)
                await self._serve()
                report = await self._close()
                await asyncio.to_thread(self._succeed, report)
                return EXIT_DONE if report.counted else EXIT_UNCOUNTED
        except Exception as error:  # who waits must hear of every end
            return await asyncio.to_thread(self._fail, error)
        finally:
            await asyncio.to_thread(self._release)

    # Opening: each step blocks, and runs in a thread while the proxy answers 503.

    async def _open(self, stack: contextlib.AsyncExitStack) -> None:
        session = self._session
        session.enter(Phase.STARTING)
        await self._step(self._connect)
        fetching = asyncio.create_task(self._fetch())
        try:
            # Loading the proxy's library takes a tenth of a second, and waits for nothing that
            # the storage has to send.
            listener = await stack.enter_async_context(await asyncio.to_thread(self._listener))
            event("listening", port=listener.port)
        except OSError as error:
            session.request_stop("no port to listen on")
            raise StartError(f"The proxy cannot listen: {error}") from error
        finally:
            # A thread cannot be cancelled; what it says counts unless there is worse.
            await asyncio.gather(fetching, return_exceptions=True)
        fetching.result()
        session.last_request = time.monotonic()
        session.enter(Phase.SERVING)
        await asyncio.to_thread(self._announce, listener.port)

    async def _fetch(self) -> None:
        await self._step(lambda: self._resources.acquire(lambda: self._stop_soon(LEASE_LOST)))
        self._session.enter(Phase.RESTORING)
        await self._step(self._resources.restore)
        self._session.enter(Phase.REPLAYING)
        await self._step(self._resources.replay)

    async def _step(self, step: Callable[[], None]) -> None:
        session = self._session
        try:
            await asyncio.to_thread(step)
        except SupervisorError:
            raise
        except Exception as error:
            # The storage or the vault: AWS's answer says what is missing.
            raise StartError(f"Failed while {session.phase.value}: {error}") from error
        if session.stop_reason == NOBODY_WAITS:
            raise NobodyWaitsError("The task token of this session was given up.")
        if session.stopping.is_set() and self._resources.resumed is None:
            raise StartError(f"Stopped by {session.stop_reason} before the session was ready.")

    def _connect(self) -> None:
        if self._settings.task_token:
            self._callback = self._wait_on(self._settings.task_token, self._nobody_waits)
        self._resources.connect()

    def _listener(self) -> Listener:
        from chroma_supervisor.proxy.listener import Listener  # noqa: PLC0415 - see `_open`

        return Listener(self._session)

    def _announce(self, port: int) -> None:
        session, settings = self._session, self._settings
        session.ready_seconds = time.monotonic() - session.started
        where = address.find(settings.public_address, settings.listen_host, port)
        output = {
            "address": where.url,
            "tokenReference": settings.token_reference,
            "taskArn": where.task_arn,
            "sessionId": settings.session_id,
            "database": settings.database,
            "snapshotId": session.snapshot_id,
            "ready": round(session.ready_seconds, 3),
        }
        event("ready", output)
        if self._callback is not None:
            awaited = self._callback.succeed(output)
            self._callback = None
            if not awaited:
                self._nobody_waits()
        if settings.budget_policy == "warn":
            # Nobody waits for an estimate, and the end of the session must not either.
            threading.Thread(target=self._resources.estimate_budget, daemon=True).start()

    async def _serve(self) -> None:
        try:
            await Watcher(self._session, self._resources.database).until_stopped()
        except Exception as error:  # the clients' data comes first
            event("watch_failed", level=logging.ERROR, cause=repr(error))

    # Closing: from here on the proxy answers 503 to all but /_session/.

    async def _close(self) -> Report:
        session, database = self._session, self._resources.database
        if session.stop_reason == NOBODY_WAITS and not session.wrote:
            raise NobodyWaitsError(
                "The task token of this session was given up, and no client wrote."
            )
        session.enter(Phase.DRAINING)
        self._listen_for_end()
        if not await session.drained(self._settings.drain_timeout):
            event("drain_cut", level=logging.WARNING, requests=session.under_way)
        session.enter(Phase.SNAPSHOTTING)
        await asyncio.to_thread(database.measure, wrote=session.wrote)
        held = await asyncio.to_thread(database.stop_server)
        for attempt in range(1, STORE_ATTEMPTS + 1):
            try:
                return await asyncio.to_thread(database.store, held, wrote=session.wrote)
            except SupervisorError:
                raise
            except Exception as error:  # whatever it was, the data is still here
                event("store_failed", level=logging.WARNING, attempt=attempt, cause=repr(error))
                last = error
            await asyncio.sleep(STORE_PAUSE)
        raise FlipError(f"The snapshot could not be stored: {last}") from last

    def _listen_for_end(self) -> None:
        if self._callback is None and self._session.finish_token:
            self._callback = self._wait_on(self._session.finish_token, lambda: None)

    def _succeed(self, report: Report) -> None:
        self._session.enter(Phase.DONE)
        self._listen_for_end()
        document = {
            **report.document(),
            "sessionId": self._settings.session_id,
            "database": self._settings.database,
            "reason": self._session.stop_reason,
        }
        event("report", document)
        self._answer(lambda callback: callback.succeed(document))

    def _fail(self, error: Exception) -> int:
        self._session.enter(Phase.FAILED)
        self._listen_for_end()
        known = isinstance(error, SupervisorError)
        event("failed", level=logging.ERROR, kind=type(error).__name__, message=str(error))
        if not known:
            logging.getLogger("chroma_supervisor").error("unexpected", exc_info=error)
        if not isinstance(error, NobodyWaitsError):
            self._answer(lambda callback: callback.fail(type(error).__name__, str(error)))
        return error.exit_code if isinstance(error, SupervisorError) else EXIT_BUG

    def _answer(self, answer: Callable[[TaskCallback], bool]) -> None:
        """Tell whoever waits; the exit code stays what it is if that fails."""
        if self._callback is None:
            return
        try:
            answer(self._callback)
        except Exception as error:
            event("callback_failed", level=logging.ERROR, cause=repr(error))

    def _release(self) -> None:
        if self._callback is not None:
            self._callback.close()
        self._resources.release()

    def _wait_on(self, token: str, on_gone: Callable[[], None]) -> TaskCallback:
        callback = TaskCallback(
            self._clients("stepfunctions"),
            token,
            interval=self._settings.heartbeat_interval,
            on_gone=on_gone,
        )
        callback.start()
        return callback

    def _nobody_waits(self) -> None:
        # The task token of a resumed session was answered before its container was restarted.
        if self._resources.resumed is None:
            self._stop_soon(NOBODY_WAITS)

    def _stop_soon(self, reason: str) -> None:
        """Ask for the end from another thread."""
        self._loop.call_soon_threadsafe(self._session.request_stop, reason)

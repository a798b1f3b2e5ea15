"""The state of the one session that this process serves."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from chroma_supervisor.logs import event

if TYPE_CHECKING:
    from chroma_supervisor.session.tokens import SessionToken
    from chroma_supervisor.settings import Settings

ADMIN_PREFIX = "/_session/"
"""Paths below it are answered by the supervisor itself, and never reach Chroma."""

NOBODY_WAITS = "nobody waits"
"""The reason to stop when Step Functions has given the task token up."""

LEASE_LOST = "lease lost"
"""The reason to stop when another session has taken the database over."""

POINTER_MOVED = "another session moved the pointer"
"""The reason to stop when a checkpoint has lost the flip."""


class Phase(StrEnum):
    """Where the session stands; it only ever moves forward, except back to SERVING."""

    STARTING = "starting"
    RESTORING = "restoring"
    REPLAYING = "replaying"
    SERVING = "serving"
    RECOVERING = "recovering"
    """The server died and is being started again on the same files."""
    CHECKPOINTING = "checkpointing"
    """The server is stopped for as long as its files are copied."""
    DRAINING = "draining"
    SNAPSHOTTING = "snapshotting"
    DONE = "done"
    FAILED = "failed"


@dataclass(slots=True)
class Session:
    """Facts about the session that the proxy, the watchers and the life cycle share.

    Everything is touched from the event loop's thread alone.

    Args:
        settings: What was asked for.
        started: :func:`time.monotonic` at the start of the process.
    """

    settings: Settings
    started: float
    phase: Phase = Phase.STARTING
    token: SessionToken | None = None
    upstream: str = ""
    """Base URL of the Chroma server, without a slash at the end."""
    snapshot_id: str | None = None
    ready_seconds: float | None = None
    last_request: float = field(default_factory=time.monotonic)
    under_way: int = 0
    wrote: bool = False
    """True once a client's request may have changed the data."""
    largest_bytes: int = 0
    """The biggest snapshot that is accepted; 0 for no bound."""
    full: bool = False
    """True while the data is larger than the biggest snapshot that is accepted."""
    answers: Counter[int] = field(default_factory=Counter)
    stop_reason: str | None = None
    finish_token: str | None = None
    stopping: asyncio.Event = field(default_factory=asyncio.Event)

    def enter(self, phase: Phase) -> None:
        """Move to a phase and log it with the seconds since the process started."""
        self.phase = phase
        event("phase", phase=phase.value, seconds=round(time.monotonic() - self.started, 3))

    def request_stop(self, reason: str) -> None:
        """Ask the life cycle to end the session; the first reason is kept."""
        if self.stop_reason is None:
            self.stop_reason = reason
            event("stop_requested", reason=reason)
        self.stopping.set()

    async def drained(self, timeout: float) -> bool:
        """Wait for the requests under way, at most so many seconds; False if some remain."""
        until = time.monotonic() + timeout
        while self.under_way and time.monotonic() < until:
            await asyncio.sleep(0.01)
        return not self.under_way

    @property
    def idle_seconds(self) -> float:
        """Seconds since the last authorised request ended; 0 while one is under way."""
        return 0.0 if self.under_way else time.monotonic() - self.last_request

    def status(self) -> dict[str, object]:
        """What /_session/status answers; times in seconds, none of it secret."""
        age = time.monotonic() - self.started
        return {
            "phase": self.phase.value,
            "sessionId": self.settings.session_id,
            "database": self.settings.database,
            "snapshotId": self.snapshot_id,
            "uptime": round(age, 3),
            "idle": round(self.idle_seconds, 3),
            "deadlineIn": round(max(self.settings.session_deadline - age, 0.0), 3),
            "readyAfter": None if self.ready_seconds is None else round(self.ready_seconds, 3),
            "stopReason": self.stop_reason,
            "acceptsWrites": self.phase is Phase.SERVING and not self.full,
            "answers": {str(code): count for code, count in sorted(self.answers.items())},
        }

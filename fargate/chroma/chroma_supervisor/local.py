"""A session on a developer's machine: what a task does, with a terminal instead of AWS."""

from __future__ import annotations

import asyncio
import logging
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vector_common.errors import SupervisorError
from vector_common.ids import new_id
from vector_common.tokens import read_token

from chroma_supervisor.lifecycle import Supervisor
from chroma_supervisor.logs import LOGGER
from chroma_supervisor.outside import Clients
from chroma_supervisor.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

LIFE_SECONDS = 14 * 86400.0
"""Until its deadline, the longest that a session may have; it ends with Ctrl-C long before."""

LEASE_SECONDS = 75.0
"""How long to wait for a session that was killed; its lease lasts 60 s."""

_SAID = {
    "starting": "waiting for the database",
    "restoring": "restoring the current snapshot",
    "replaying": "applying the pending deltas",
    "recovering": "Chroma ended by itself; starting it again",
    "draining": "finishing the requests under way",
    "snapshotting": "saving",
}


@dataclass(frozen=True, slots=True)
class LocalSession:
    """Where a session answers.

    Attributes:
        address: Base URL of the proxy.
        token: What its clients send as bearer.
        token_reference: Where functions find the token.
        snapshot: What its data was restored from; None for an empty start.
    """

    address: str
    token: str
    token_reference: str
    snapshot: str | None


def serve(
    storage_url: str,
    database: str,
    *,
    port: int,
    token_file: Path | None,
    catch_up_seconds: float,
    ready: Callable[[LocalSession], None],
    say: Callable[[str], None],
    warn: Callable[[str], None],
) -> dict[str, Any]:
    """Serve a database until SIGINT or SIGTERM, and save it then.

    Args:
        storage_url: Where the database lies, as `open_storage` takes it.
        database: Its name; an empty one is begun if there is none.
        port: On 127.0.0.1; a free one if 0.
        token_file: Where the token is written; among the session's own files if None.
        catch_up_seconds: Between two looks for new deltas.
        ready: Called once the database answers.
        say: Called with what happens.
        warn: Called with what should not happen.

    Returns:
        The session's report, with ``snapshotId``, ``flipped``, ``records`` and ``deltas``.

    Raises:
        SupervisorError: It could not be served, or not be saved; the message says which.
    """
    with tempfile.TemporaryDirectory(prefix="vectors-serve-") as folder:
        token_path = (token_file or Path(folder) / "token.json").absolute()
        settings = Settings(
            database=database,
            storage_url=storage_url,
            session_id=f"serve-{new_id()}",
            token_reference=token_path.as_uri(),
            session_deadline=LIFE_SECONDS,
            idle_timeout=LIFE_SECONDS,
            data_dir=Path(folder) / "data",
            listen_host="127.0.0.1",
            listen_port=port,
            lease_wait=LEASE_SECONDS,
            budget_policy="off",
            catch_up_interval=catch_up_seconds,
        )
        terminal = _Terminal(settings, ready, say, warn)
        before, level = LOGGER.handlers[:], LOGGER.level
        LOGGER.handlers[:], LOGGER.propagate = [terminal], False
        LOGGER.setLevel(logging.INFO)
        try:
            supervisor = Supervisor(settings, started=time.monotonic(), clients=Clients())
            code = asyncio.run(supervisor.run())
        finally:
            LOGGER.handlers[:], LOGGER.propagate = before, True
            LOGGER.setLevel(level)
    if terminal.report is None:
        raise SupervisorError(terminal.failure or f"The session ended with {code}.")
    return terminal.report


class _Terminal(logging.Handler):
    """Says a session's events in sentences, and keeps its report."""

    def __init__(
        self,
        settings: Settings,
        ready: Callable[[LocalSession], None],
        say: Callable[[str], None],
        warn: Callable[[str], None],
    ) -> None:
        super().__init__()
        self.report: dict[str, Any] | None = None
        self.failure = ""
        self._reference = settings.token_reference
        self._ready, self._say, self._warn = ready, say, warn

    def emit(self, record: logging.LogRecord) -> None:
        """Say one event."""
        fields: Mapping[str, Any] = getattr(record, "fields", {})
        match record.getMessage():
            case "phase" if fields["phase"] in _SAID:
                self._say(_SAID[fields["phase"]])
            case "replayed" | "caught_up" if fields["records"]:
                self._say(f"applied {fields['records']} changes of deltas")
            case "ready":
                token = read_token(self._reference).value
                where = (fields["address"], token, self._reference, fields["snapshotId"])
                self._ready(LocalSession(*where))
            case "report":
                self.report = dict(fields)
            case "failed":
                self.failure = str(fields["message"])
            case name if record.levelno >= logging.WARNING:
                rest = {key: value for key, value in fields.items() if key != "_aws"}
                self._warn(f"{name.replace('_', ' ')}: {_listed(rest)}")


def _listed(fields: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in fields.items())

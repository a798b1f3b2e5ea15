"""What ends a session while it serves, with a clock of the test's own."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import pytest
from chroma_supervisor import settings as settings_module
from chroma_supervisor.session.state import Phase, Session
from chroma_supervisor.session.watch import Watcher
from vector_common.errors import ServerError

if TYPE_CHECKING:
    from collections.abc import Callable

ENVIRONMENT = {
    "DATABASE": "receipts",
    "STORAGE_URL": "file:///store",
    "SESSION_ID": "run-1",
    "TOKEN_REFERENCE": "file:///token",
    "SESSION_DEADLINE": "100",
    "IDLE_TIMEOUT": "10",
    "PROBE_INTERVAL": "0.05",
}


class Database:
    """Stands for a server that dies when it is told to; the real one is in tests/integration."""

    def __init__(self) -> None:
        self.deaths = 0
        self.starts = 0
        self.bytes = 0
        self.refuses = False
        self.hangs = False

    def server_died(self) -> int | None:
        if not self.deaths:
            return None
        self.deaths -= 1
        return -9

    def server_answers(self, timeout: float) -> bool:
        return not self.hangs

    def kill_server(self) -> None:
        self.hangs = False
        self.deaths = 1

    def start_server(self) -> str:
        self.starts += 1
        if self.refuses:
            raise ServerError("no")
        return f"http://127.0.0.1:{self.starts}"

    def size(self) -> int:
        return self.bytes


def watch(arrange: Callable[[Session, Database], None], seconds: float = 1.0) -> Any:
    """Watch a serving session for a while; the session and the database afterwards."""

    async def scenario() -> tuple[Session, Database]:
        session = Session(settings_module.from_environment(ENVIRONMENT), time.monotonic())
        session.phase = Phase.SERVING
        database = Database()
        arrange(session, database)
        watching = asyncio.create_task(Watcher(session, database).until_stopped())  # type: ignore[arg-type]
        done, _ = await asyncio.wait({watching}, timeout=seconds)
        if done:
            watching.result()
        watching.cancel()
        return session, database

    return asyncio.run(scenario())


def test_the_deadline_counts_from_the_start_of_the_process_whatever_is_under_way() -> None:
    def arrange(session: Session, _: Database) -> None:
        session.started -= 100.0
        session.under_way = 1

    session, _ = watch(arrange)
    assert session.stop_reason == "deadline"


@pytest.mark.parametrize(("under_way", "reason"), [(0, "idle"), (1, None)])
def test_a_request_under_way_is_no_idleness(under_way: int, reason: str | None) -> None:
    def arrange(session: Session, _: Database) -> None:
        session.last_request -= 10.0
        session.under_way = under_way

    session, _ = watch(arrange, 0.3)
    assert session.stop_reason == reason


def test_a_server_that_does_not_answer_is_started_again() -> None:
    def arrange(_: Session, database: Database) -> None:
        database.hangs = True

    session, database = watch(arrange, 4.0)
    assert (database.hangs, database.starts) == (False, 1)
    assert session.upstream == "http://127.0.0.1:1"
    assert session.stop_reason is None


def test_a_dead_server_is_started_again_at_its_new_address() -> None:
    def arrange(_: Session, database: Database) -> None:
        database.deaths = 1

    session, database = watch(arrange, 0.3)
    assert database.starts == 1
    assert session.upstream == "http://127.0.0.1:1"
    assert session.phase is Phase.SERVING
    assert session.stop_reason is None


@pytest.mark.parametrize("refuses", [False, True])
def test_a_server_that_keeps_dying_ends_the_session(refuses: bool) -> None:
    def arrange(_: Session, database: Database) -> None:
        database.deaths = 99
        database.refuses = refuses

    session, database = watch(arrange, 3)
    assert session.stop_reason == "server keeps dying"
    assert database.starts == 3


def test_the_bound_opens_and_closes_with_the_size() -> None:
    def arrange(session: Session, database: Database) -> None:
        session.largest_bytes = 10
        database.bytes = 11

    session, _ = watch(arrange, 0.2)
    assert session.full

    def shrunk(session: Session, database: Database) -> None:
        arrange(session, database)
        session.full = True
        database.bytes = 10

    session, _ = watch(shrunk, 0.2)
    assert not session.full

"""Compare-and-set and leases, over a folder and by its clock."""

from __future__ import annotations

import json
import os
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from chroma_store import lease as leases
from chroma_store.lease import LEASE_SECONDS, DatabaseLease, held
from vector_common import conditional
from vector_common.conditional import ExpiringLease, LeaseLost, VersionedObject
from vector_common.errors import Conflict, Contended, NotFound, PreconditionFailed, StoreError
from vector_common.names import lease_key
from vector_common.storage.folder import FileStorage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

KEY = "locks/one"


@pytest.fixture
def store(tmp_path: Path) -> FileStorage:
    return FileStorage(tmp_path)


@contextmanager
def clock(skew: float) -> Iterator[None]:
    """This machine's clock is off by so many seconds."""
    true = time.time
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(time, "time", lambda: true() + skew)
        yield


def lease(store: FileStorage, name: str, *, seconds: float = 60) -> ExpiringLease:
    return ExpiringLease(store, KEY, lambda _: {"name": name}, seconds=seconds)


def age(tmp_path: Path, key: str, seconds: float) -> None:
    """Make an object older, as the file system sees it."""
    path = tmp_path / key
    written = path.stat().st_mtime - seconds
    os.utime(path, (written, written))


def session(store: FileStorage, name: str, lost: Callable[[], None] = lambda: None) -> Any:
    return DatabaseLease(store, "db", name, on_lost=lost, say=lambda *_, **__: None)


def test_an_update_writes_what_the_change_returns(store: FileStorage) -> None:
    assert conditional.update(store, KEY, lambda old: b"one" if old is None else b"?") == b"one"
    assert conditional.update(store, KEY, lambda old: (old or b"") + b"+") == b"one+"
    assert store.get(KEY).data == b"one+"


def test_a_change_may_leave_the_object_unchanged(store: FileStorage) -> None:
    assert conditional.update(store, KEY, lambda _: None) is None
    store.put(KEY, b"x")
    before = store.observe(KEY)
    assert conditional.update(store, KEY, lambda _: None) == b"x"
    assert store.observe(KEY).written == before.written


def test_a_change_is_made_again_on_what_others_wrote(store: FileStorage) -> None:
    calls: list[bytes | None] = []
    pauses: list[float] = []

    def change(old: bytes | None) -> bytes:
        calls.append(old)
        if len(calls) == 1:
            store.put(KEY, b"theirs")
        return (old or b"") + b" and ours"

    assert conditional.update(store, KEY, change, sleep=pauses.append) == b"theirs and ours"
    assert calls == [None, b"theirs"]
    assert len(pauses) == 1


def test_an_update_gives_up_after_its_attempts_with_longer_pauses(store: FileStorage) -> None:
    pauses: list[float] = []
    calls = 0

    def change(_: bytes | None) -> bytes:
        nonlocal calls
        calls += 1
        store.put(KEY, f"theirs {calls}".encode())
        return b"ours"

    with pytest.raises(Contended, match="gave up after 8 attempts"):
        conditional.update(store, KEY, change, sleep=pauses.append)
    assert calls == 8
    limits = [0.1, 0.2, 0.4, 0.8, 1.6, 3.0, 3.0]
    assert len(pauses) == len(limits)
    assert all(limit / 2 <= pause <= limit for pause, limit in zip(pauses, limits, strict=True))


def test_an_object_that_is_deleted_in_between_fails_the_condition(store: FileStorage) -> None:
    store.put(KEY, b"x")
    seen = conditional.read(store, KEY)
    store.delete([KEY])
    assert conditional.read(store, KEY) is None
    with pytest.raises(PreconditionFailed):
        conditional.write(store, KEY, b"y", seen)


def test_an_object_is_as_old_as_the_file_system_says(store: FileStorage, tmp_path: Path) -> None:
    store.put(KEY, b"x")
    with clock(90):
        assert 0 <= store.observe(KEY).age < 5
    age(tmp_path, KEY, 100)
    with clock(-90):
        assert 100 <= store.observe(KEY).age < 105
    assert [info.key for info in store.list("")] == [KEY]
    with pytest.raises(NotFound):
        store.observe("nothing")


@pytest.mark.parametrize("taker", [-90.0, 0.0, 90.0])
@pytest.mark.parametrize("holder", [-90.0, 0.0, 90.0])
def test_a_wrong_clock_neither_takes_nor_keeps_a_lease(
    store: FileStorage, tmp_path: Path, holder: float, taker: float
) -> None:
    with clock(holder):
        first = session(store, "first")
        first.acquire(0, lambda: False)
    try:
        with clock(taker):
            with pytest.raises(Conflict, match="Session first is using"):
                session(store, "second").acquire(0, lambda: False)
            with pytest.raises(Conflict), held(store, "db", "vectors-compact"):
                pytest.fail("the lease of a live session was taken")
        first._renewal.stop()
        age(tmp_path, lease_key("db"), LEASE_SECONDS - 5)
        with clock(taker), pytest.raises(Conflict):
            session(store, "second").acquire(0, lambda: False)
        age(tmp_path, lease_key("db"), 6)
        with clock(taker), held(store, "db", "vectors-compact"):
            pass
    finally:
        first.release()


@pytest.mark.parametrize("skew", [-90.0, 90.0])
def test_a_released_lease_is_free_at_once(store: FileStorage, skew: float) -> None:
    with clock(skew), held(store, "db", "one"):
        pass
    with held(store, "db", "two"):
        pass


def test_a_restarted_session_takes_its_own_lease_over(store: FileStorage) -> None:
    lost: list[None] = []
    first, again = session(store, "s", lambda: lost.append(None)), session(store, "s")
    first.acquire(0, lambda: False)
    first._renewal.stop()
    again.acquire(0, lambda: False)
    assert first._renew() is False
    assert lost == [None]
    first.release()
    with pytest.raises(Conflict), held(store, "db", "other"):
        pass
    again.release()


def test_who_waits_gets_the_lease_when_it_is_released(
    store: FileStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = session(store, "first")
    first.acquire(0, lambda: False)
    second = session(store, "second")
    monkeypatch.setattr(leases, "POLL_SECONDS", 0.01)
    asked: list[None] = []

    def stopping() -> bool:
        asked.append(None)
        first.release()
        return False

    second.acquire(30, stopping)
    assert len(asked) == 1
    second.release()


def test_who_is_told_to_stop_waits_no_longer(store: FileStorage) -> None:
    first = session(store, "first")
    first.acquire(0, lambda: False)
    with pytest.raises(Conflict):
        session(store, "second").acquire(600, lambda: True)
    first.release()


@pytest.mark.parametrize(("until", "free"), [(0, True), (4e9, False)], ids=["released", "held"])
def test_leases_of_earlier_images_are_honoured(
    store: FileStorage, tmp_path: Path, until: float, free: bool
) -> None:
    old = {"session": "old", "holder": "h", "until": until}
    store.put(lease_key("db"), json.dumps(old).encode())
    if not free:
        with pytest.raises(Conflict, match="Session old"), held(store, "db", "new"):
            pass
        age(tmp_path, lease_key("db"), LEASE_SECONDS + 1)
    with held(store, "db", "new"):
        now = json.loads(store.get(lease_key("db")).data)
        assert now["until"] > time.time() + LEASE_SECONDS - 5
    assert json.loads(store.get(lease_key("db")).data)["until"] == 0


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"7", b'{"seconds": "x"}', b'{"seconds": []}'])
def test_a_lease_that_cannot_be_read_is_free(store: FileStorage, data: bytes) -> None:
    store.put(KEY, data)
    assert lease(store, "one").take() is None


def test_two_at_once_do_not_both_get_it(
    store: FileStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = lease(store, "one"), lease(store, "two")
    genuine = conditional.read

    def late(where: conditional.ConditionalStore, key: str) -> VersionedObject | None:
        seen = genuine(where, key)
        monkeypatch.setattr(conditional, "read", genuine)
        assert two.take() is None
        return seen

    monkeypatch.setattr(conditional, "read", late)
    assert one.take() == {}
    assert not one.held
    assert two.held


def test_a_lost_lease_is_said_to_be_lost(store: FileStorage, tmp_path: Path) -> None:
    one, two = lease(store, "one"), lease(store, "two")
    assert one.take() is None
    assert two.take() == {**json.loads(store.get(KEY).data)}
    age(tmp_path, KEY, 61)
    assert two.take() is None
    with pytest.raises(LeaseLost):
        one.renew()
    assert not one.held
    one.release()
    assert json.loads(store.get(KEY).data)["name"] == "two"
    two.release()
    assert json.loads(store.get(KEY).data)["seconds"] == 0
    assert one.take() is None


def test_a_renewal_counts_from_its_own_time(store: FileStorage, tmp_path: Path) -> None:
    one, two = lease(store, "one"), lease(store, "two")
    assert one.take() is None
    age(tmp_path, KEY, 59)
    one.renew()
    age(tmp_path, KEY, 59)
    assert two.take() is not None
    assert one.held


def test_a_holder_states_how_long_it_counts(store: FileStorage, tmp_path: Path) -> None:
    assert lease(store, "long", seconds=600).take() is None
    age(tmp_path, KEY, 300)
    assert lease(store, "short", seconds=60).take() is not None


class Unanswering(FileStorage):
    """A store that writes, and once does not answer."""

    silent = False

    def put(self, key: str, data: bytes, **condition: Any) -> str:
        version = super().put(key, data, **condition)
        if self.silent:
            self.silent = False
            raise StoreError("no answer")
        return version


def test_a_renewal_whose_answer_was_lost_loses_no_lease(tmp_path: Path) -> None:
    store = Unanswering(tmp_path)
    one = lease(store, "one")
    assert one.take() is None
    store.silent = True
    with pytest.raises(StoreError):
        one.renew()
    one.renew()
    one.release()
    assert json.loads(store.get(KEY).data)["seconds"] == 0

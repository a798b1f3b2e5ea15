"""Leases over S3, whose clock counts and not that of the machine."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest
from chroma_store.lease import LEASE_SECONDS, held
from vector_common import conditional
from vector_common.conditional import ExpiringLease
from vector_common.errors import Conflict, NotFound, StoreError
from vector_common.names import lease_key

if TYPE_CHECKING:
    from collections.abc import Callable

    from chroma_store.storage import Storage

SKEWS = [-90.0, 0.0, 90.0]


def lease(storage: Storage, name: str, seconds: float) -> ExpiringLease:
    return ExpiringLease(storage, "lock", lambda _: {"name": name}, seconds=seconds)


@pytest.fixture
def skewed(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    true = time.time

    def set_clock(skew: float) -> None:
        monkeypatch.setattr(time, "time", lambda: true() + skew)

    return set_clock


@pytest.mark.parametrize("taker", SKEWS)
@pytest.mark.parametrize("holder", SKEWS)
def test_a_wrong_clock_neither_takes_nor_keeps_a_lease(
    storage: Storage, skewed: Callable[[float], None], holder: float, taker: float
) -> None:
    skewed(holder)
    with held(storage, "db", "session"):
        skewed(taker)
        with pytest.raises(Conflict, match="Session session-"), held(storage, "db", "compact"):
            pytest.fail("the lease of a live session was taken")
        skewed(holder)
    skewed(taker)
    with held(storage, "db", "compact"):
        pass


@pytest.mark.parametrize("skew", SKEWS)
def test_a_lease_expires_by_the_store(
    storage: Storage, skewed: Callable[[float], None], skew: float
) -> None:
    assert lease(storage, "dead", 3).take() is None
    skewed(skew)
    taker = lease(storage, "taker", 3)
    assert taker.take() is not None
    deadline = time.monotonic() + 30
    while taker.take() is not None:
        assert time.monotonic() < deadline
        time.sleep(0.2)
    assert json.loads(storage.get("lock").data)["name"] == "taker"


def test_an_object_is_read_with_the_times_of_the_store(storage: Storage) -> None:
    etag = storage.put("k", b"x")
    seen = storage.observe("k")
    assert (seen.data, seen.version) == (b"x", etag)
    # S3 gives whole seconds.
    assert -1 <= seen.age < LEASE_SECONDS
    with pytest.raises(NotFound):
        storage.observe("nothing")


def test_an_update_sees_what_others_wrote(storage: Storage) -> None:
    for n in range(3):
        conditional.update(storage, "k", lambda old, n=n: (old or b"") + bytes([n]))  # type: ignore[misc]
    assert storage.get("k").data == bytes(range(3))


def test_a_renewal_whose_answer_was_lost_loses_no_lease(s3_storage: Storage, faults: Any) -> None:
    with held(s3_storage, "db", "session"):
        faults({"method": "PUT", "path": "lease.json", "times": 1, "action": "lost"})
        with pytest.raises(Conflict), held(s3_storage, "db", "other"):
            pass
    assert json.loads(s3_storage.get(lease_key("db")).data)["seconds"] == 0


def test_a_store_without_a_clock_is_refused(
    s3_storage: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    s3_storage.put("k", b"x")
    genuine = s3_storage._client.get_object

    def without_date(**arguments: Any) -> Any:
        answer = genuine(**arguments)
        del answer["ResponseMetadata"]["HTTPHeaders"]["date"]
        return answer

    monkeypatch.setattr(s3_storage._client, "get_object", without_date)
    with pytest.raises(StoreError, match="Date"):
        s3_storage.observe("k")

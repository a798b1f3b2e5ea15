"""Who holds a region's publishing lock, and who is known to be gone."""

from __future__ import annotations

import os
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from layersmith.ship.aws.failures import AwsFailure
from layersmith.ship.publish import lease
from vector_common.conditional import ExpiringLease, VersionedObject
from vector_common.errors import NotFound, PreconditionFailed

GONE = 2**22 + 1
"""Above Linux's largest process number."""


class Memory:
    """A store of one object whose clock stands still unless it is moved."""

    def __init__(self) -> None:
        self.now = datetime(2001, 1, 1, tzinfo=UTC)
        self.held: VersionedObject | None = None
        self.count = 0

    def observe(self, key: str) -> VersionedObject:
        if self.held is None:
            raise NotFound(key)
        return VersionedObject(self.held.data, self.held.version, self.held.written, self.now)

    def put(
        self, key: str, data: bytes, *, if_match: str | None = None, if_none_match: bool = False
    ) -> str:
        if (self.held.version if self.held else None) != if_match:
            raise PreconditionFailed(key)
        self.count += 1
        self.held = VersionedObject(data, str(self.count), self.now, self.now)
        return self.held.version

    def delete(self, keys: Any) -> None:
        raise NotImplementedError


def lease_of(store: Memory, owner: lease.Owner) -> ExpiringLease:
    return ExpiringLease(
        store, "lock", lambda _: asdict(owner), seconds=lease.LIFETIME, passes=owner.outlives
    )


def test_two_processes_of_one_job_are_two_owners(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GITHUB_REPOSITORY", "GITHUB_RUN_ID", "GITHUB_JOB"):
        monkeypatch.setenv(name, "same")
    first, second = lease.Owner(host="one"), lease.Owner(host="two")
    store = Memory()
    assert lease_of(store, first).take() is None
    holder = lease_of(store, second).take()
    assert holder is not None
    assert holder["host"] == "one"


def test_only_a_holder_that_is_known_to_be_gone_gives_way() -> None:
    owner = lease.Owner(host="here", boot="one", pid=os.getpid())
    alive = replace(owner, holder="other")
    assert not owner.outlives(asdict(alive))
    assert owner.outlives(asdict(replace(alive, pid=GONE)))
    assert not owner.outlives(asdict(replace(alive, pid=GONE, host="elsewhere")))
    assert not owner.outlives(asdict(replace(alive, pid=GONE, boot="two")))
    assert not owner.outlives({"host": "here", "boot": "one", "pid": "what"})
    assert owner.outlives({"free": True})


@pytest.mark.parametrize("late", [False, True], ids=["in time", "past its lifetime"])
def test_a_lock_ages_by_the_clock_of_the_store(late: bool) -> None:
    store = Memory()
    lease_of(store, lease.Owner(host="elsewhere")).take()
    store.now += timedelta(seconds=lease.LIFETIME + (1 if late else -1))
    holder = lease_of(store, lease.Owner()).take()
    assert (holder is None) is late


def test_a_lock_that_was_taken_by_another_ends_the_work() -> None:
    store, owner = Memory(), lease.Owner(host="slow")
    mine = lease_of(store, owner)
    mine.take()
    held = lease.RegionLease("eu-west-1", mine)
    assert held.renew()
    held.check()
    store.now += timedelta(seconds=lease.LIFETIME + 1)
    assert lease_of(store, lease.Owner(host="quick")).take() is None
    assert not held.renew()
    with pytest.raises(AwsFailure, match="eu-west-1: the publishing lock was taken"):
        held.check()

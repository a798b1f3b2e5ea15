"""A model-based state machine: whatever order things happen in, the plain dict is right."""

from __future__ import annotations

import contextlib
import random
import shutil
import tempfile
from pathlib import Path
from typing import Any

from chroma_store.deltas.compaction import compact
from chroma_store.deltas.log import DeltaLog
from chroma_store.snapshots.store import PointerMoved, RetentionRule, SnapshotStore
from chroma_store.storage import Storage, open_storage
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from vector_common.errors import StoreError

from tests.integration.vectors.corpus import SPEC, Content, Model, changes, recovered


class Failing:
    """A store that fails at one of its next calls and at every one after it, as a dead network."""

    def __init__(self, storage: Storage, calls: int) -> None:
        self._storage = storage
        self._left = calls

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._storage, name)
        if not callable(method):
            return method

        def call(*args: Any, **kwargs: Any) -> Any:
            self._left -= 1
            if self._left < 0:
                raise StoreError("a fault of the test")
            return method(*args, **kwargs)

        return call


class Databases(RuleBasedStateMachine):
    """Deltas, compactions that succeed, fail or race, retention, promotion, restores."""

    @initialize()
    def begin(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="model-"))
        self.storage = open_storage((self.folder / "store").as_uri())
        self.log, self.store = DeltaLog(self.storage, "db"), SnapshotStore(self.storage, "db")
        self.model = Model()
        # What every snapshot must hold, without the deltas that came after it.
        self.held: dict[str, Content] = {}
        self.changed = False

    def teardown(self) -> None:
        if hasattr(self, "folder"):
            shutil.rmtree(self.folder)

    @rule(seed=st.integers(0, 10**6), count=st.integers(1, 30))
    def write(self, seed: int, count: int) -> None:
        batch = changes(random.Random(seed), count, ids=12)
        self.log.append(batch, SPEC)
        self.model.apply(batch)
        self.changed = True

    @rule()
    def compact(self) -> None:
        report = compact(self.storage, "db", self.folder / "work")
        self._note()
        head = self.store.head()
        assert report.pointer == head
        assert self.log.pending() == []

    @rule(calls=st.integers(0, 40))
    def compact_with_a_store_that_dies(self, calls: int) -> None:
        failing: Any = Failing(self.storage, calls)
        before = self.store.head()
        with contextlib.suppress(StoreError):
            compact(failing, "db", self.folder / "work")
        if self.store.head() != before:
            self._note()

    @precondition(lambda self: self.store.head())
    @rule(seed=st.integers(0, 10**6))
    def compact_against_a_faster_one(self, seed: int) -> None:
        batch = changes(random.Random(seed), 5, ids=12)
        self.log.append(batch, SPEC)
        self.model.apply(batch)

        def race(step: str) -> None:
            if step == "snapshot":
                compact(self.storage, "db", self.folder / "other")
                self._note()

        try:
            compact(self.storage, "db", self.folder / "work", say=race)
        except PointerMoved:
            return
        raise AssertionError("the slower compaction won")

    @precondition(lambda self: len(self.held) > 1)
    @rule(data=st.data())
    def go_back_to_a_kept_snapshot(self, data: st.DataObject) -> None:
        if self.log.pending():
            return  # what is pending then is a mixture that the plain dict does not know
        snapshot = data.draw(st.sampled_from(sorted(self.held)))
        self.store.promote(snapshot)
        self.model.records = dict(self.held[snapshot])
        self._note()

    @rule()
    def retain(self) -> None:
        report = self.store.retain(RetentionRule(keep_last=1, keep_days=0))
        # All are younger than the grace period.
        assert report.deleted == ()
        assert report.packs == 0

    @invariant()
    def nothing_is_lost_or_doubled(self) -> None:
        head = self.store.head()
        if head:
            self.store.verify(head)
        if not self.changed:
            return
        self.changed = False
        out = self.folder / "out"
        shutil.rmtree(out, ignore_errors=True)
        assert recovered(self.store, self.log, out) == self.model.records

    def _note(self) -> None:
        head = self.store.head()
        if head:
            self.held[head.snapshot_id] = dict(self.model.records)
        self.changed = True


Databases.TestCase.settings = settings(
    max_examples=5,
    stateful_step_count=10,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
TestDatabases = Databases.TestCase

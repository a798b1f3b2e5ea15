"""SIGKILL anywhere: nothing acknowledged is lost, nothing doubles, every pointer is good."""

from __future__ import annotations

import os
import random
import threading
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from chroma_store.deltas.compaction import compact
from chroma_store.deltas.log import DeltaLog
from chroma_store.snapshots.store import PointerMoved, SnapshotStore
from vector_common.errors import StoreError

from tests.integration.vectors.corpus import SPEC, Model, changes, recovered
from tests.integration.vectors.doomed import Place, Victim, run

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

STEPS = [
    *("restore", "serve", "replay", "verify", "recall"),
    *("stop", "snapshot", "flip", "flipped", "drop"),
]
KINDS: list[tuple[Victim, str]] = [
    *(("compaction", step) for step in STEPS),
    ("server", "replay"),
    ("server", "verify"),
]


@pytest.fixture(params=["file", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    if request.param == "file":
        return Place((tmp_path / "store").as_uri())
    request.getfixturevalue("s3")
    return Place(f"s3://vectors/{tmp_path.name}", request.getfixturevalue("s3_url"))


class Ordeal:
    """Kill compactions of one database, over and over, and compare with a plain dict."""

    def __init__(self, place: Place, folder: Path, seed: int) -> None:
        self.place, self.folder, self.rng = place, folder, random.Random(seed)
        self.log = DeltaLog(place.open(), "db")
        self.store = SnapshotStore(place.open(), "db")
        self.model = Model()
        self.killed: Counter[str] = Counter()
        self.after_death: Counter[str] = Counter()
        self.checks = 0

    def lots(self, points: dict[str, int]) -> Iterator[tuple[Victim, str, int]]:
        """Who is killed, in which step and at which of its points, drawn from the seed.

        In rounds of every kind, so that none is left to chance; the first round kills at the first
        point, which every step has that has any.
        """
        for victim, step in KINDS:
            yield victim, step, 1
        while True:
            for victim, step in self.rng.sample(KINDS, len(KINDS)):
                yield victim, step, self.rng.randint(1, max(points[step], 1))

    def write(self, count: int = 12) -> None:
        batch = changes(self.rng, count)
        self.log.append(batch, SPEC)
        # Appended means acknowledged.
        self.model.apply(batch)

    def check(self) -> None:
        self.checks += 1
        found = recovered(self.store, self.log, self.folder / f"check{self.checks}")
        assert found == self.model.records

    def kill(self, victim: Victim, step: str, point: int) -> None:
        """Kill once."""
        self.write()
        fate = run(self.place, self.folder / "work", victim, step, point)
        if fate.killed:
            self.killed[fate.steps[-1] if fate.steps else "begin"] += 1
        elif victim == "server":
            self.after_death[fate.error or "finished"] += 1
        else:
            assert fate.error is None, f"{step} at {point}: {fate.error}"
        head = self.store.head()
        if head:
            self.store.verify(head)

    @property
    def kills(self) -> int:
        return self.killed.total() + self.after_death.total()


def _ordeal(place: Place, folder: Path, seed: int, kills: int, every: int) -> Ordeal:
    ordeal = Ordeal(place, folder, seed)
    ordeal.write()
    run(place, folder / "work")
    ordeal.write()
    measured = run(place, folder / "work")
    assert measured.steps == STEPS, "every step must be known"
    for lot in ordeal.lots(measured.points):
        ordeal.kill(*lot)
        if ordeal.kills % every == 0:
            ordeal.check()
        if ordeal.kills >= kills:
            break
    assert run(place, folder / "work").error is None
    ordeal.check()
    assert ordeal.log.pending() == []
    missed = {step for step in STEPS if measured.points[step]} - ordeal.killed.keys()
    assert not missed, "every step must have met a kill"
    print(f"killed in {dict(ordeal.killed)}; server killed, then {dict(ordeal.after_death)}")
    return ordeal


@pytest.mark.slow
def test_kills_between_any_two_steps(place: Place, tmp_path: Path) -> None:
    """LAYERSMITH_KILLS sets how many; by default a few."""
    kills = int(os.environ.get("LAYERSMITH_KILLS") or (15 if place.endpoint else 45))
    kills = max(kills, len(KINDS))
    ordeal = _ordeal(place, tmp_path, seed=7 + kills, kills=kills, every=15)
    assert ordeal.after_death.keys() <= {"Unavailable", "finished"}


def test_three_writers_during_compactions(place: Place, tmp_path: Path) -> None:
    """Each writer owns its ids, so that the order among writers does not matter."""
    models = [Model() for _ in range(3)]
    stop = threading.Event()

    def write(number: int) -> None:
        log, rng = DeltaLog(place.open(), "db"), random.Random(number)
        while not stop.is_set():
            batch = [{**c, "id": f"w{number}-{c['id']}"} for c in changes(rng, 8)]
            log.append(batch, SPEC)
            models[number].apply(batch)
            stop.wait(0.02)

    writers = [threading.Thread(target=write, args=(n,)) for n in range(3)]
    for writer in writers:
        writer.start()
    applied: list[tuple[str, ...]] = []
    try:
        while len(applied) < 3:
            report = compact(place.open(), "db", tmp_path / "work")
            applied += [report.applied] if report.applied else []
    finally:
        stop.set()
        for writer in writers:
            writer.join()
    taken = [delta for ids in applied for delta in ids]
    assert len(set(taken)) == len(taken) > 0
    log, store = DeltaLog(place.open(), "db"), SnapshotStore(place.open(), "db")
    expected = {k: v for model in models for k, v in model.records.items()}
    assert recovered(store, log, tmp_path / "after") == expected


def test_two_compactions_at_once_have_one_winner(place: Place, tmp_path: Path) -> None:
    log, store, model = DeltaLog(place.open(), "db"), SnapshotStore(place.open(), "db"), Model()
    for seed in range(3):
        batch = changes(random.Random(seed), 30)
        log.append(batch, SPEC)
        model.apply(batch)
        outcomes: list[str] = []
        barrier = threading.Barrier(2)

        def race(number: int, barrier: Any = barrier, outcomes: Any = outcomes) -> None:
            meet = {"snapshot": barrier.wait}
            try:
                compact(
                    place.open(),
                    "db",
                    tmp_path / f"work{number}",
                    say=lambda step: meet.get(step, lambda: 0)() and None,
                )
                outcomes.append("won")
            except PointerMoved:
                outcomes.append("lost")

        racers = [threading.Thread(target=race, args=(n,)) for n in range(2)]
        for racer in racers:
            racer.start()
        for racer in racers:
            racer.join()
        assert sorted(outcomes) == ["lost", "won"]
        store.verify(store.head() or "")
        assert recovered(store, log, tmp_path / f"after{seed}") == model.records


@pytest.mark.usefixtures("s3", "impatient")
@pytest.mark.parametrize(
    "rule",
    [
        {"method": "PUT", "path": "/packs/", "times": 99, "action": "error"},
        {"method": "PUT", "path": "/snapshots/", "times": 99, "action": "error"},
        {"method": "PUT", "path": "/pointer.json", "times": 99, "action": "error"},
        {"method": "GET", "path": "/packs/", "times": 99, "action": "cut"},
        {"method": "GET", "path": "/deltas/", "times": 99, "action": "error"},
    ],
    ids=lambda rule: f"{rule['action']}-{rule['path'].strip('/')}",
)
def test_a_store_that_fails_for_good_changes_nothing(
    s3_url: str, faults: Any, tmp_path: Path, rule: Any
) -> None:
    ordeal = Ordeal(Place(f"s3://vectors/{tmp_path.name}", s3_url), tmp_path, seed=1)
    ordeal.write(100)
    compact(ordeal.place.open(), "db", tmp_path / "work")
    ordeal.write(100)
    head = ordeal.store.head()
    faults(rule)
    with pytest.raises(StoreError):
        compact(ordeal.place.open(), "db", tmp_path / "work")
    faults()
    assert ordeal.store.head() == head
    ordeal.check()


@pytest.mark.usefixtures("s3", "impatient")
def test_a_store_that_stumbles_is_got_over(s3_url: str, faults: Any, tmp_path: Path) -> None:
    ordeal = Ordeal(Place(f"s3://vectors/{tmp_path.name}", s3_url), tmp_path, seed=2)
    for _ in range(2):
        ordeal.write(50)
        faults(
            {"method": "PUT", "path": "/packs/", "times": 1, "action": "lost"},
            {"method": "PUT", "path": "/snapshots/", "times": 2, "action": "error"},
            {"method": "PUT", "path": "/pointer.json", "times": 1, "action": "lost"},
            {"method": "GET", "path": "/packs/", "times": 2, "action": "cut"},
            {"method": "GET", "path": "/deltas/", "times": 1, "action": "slow", "seconds": 0.3},
            {"method": "POST", "times": 1, "action": "lost"},
        )
        compact(ordeal.place.open(), "db", tmp_path / "work")
    faults()
    assert ordeal.log.pending() == []
    ordeal.check()

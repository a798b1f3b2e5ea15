"""SIGKILL anywhere: no acknowledged record is lost or doubled, no pointer to half a snapshot.

LAYERSMITH_KILLS sets how many of the steps are tried; by default a few, chosen by
LAYERSMITH_SEED.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from chroma_store.deltas.log import DeltaLog
from chroma_store.snapshots.store import SnapshotStore
from chroma_store.storage import open_storage
from vector_common.records import CollectionSpec

from tests.support import clocks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

KILLER = Path(__file__).with_name("killer.py")
KILLS = int(os.environ.get("LAYERSMITH_KILLS", "3"))
SEED = int(os.environ.get("LAYERSMITH_SEED", "7"))
BASE = {f"id-{n}" for n in range(6)}
REPLAYED = BASE - {"id-3"} | {"id-100", "id-101"}


@pytest.fixture(scope="module")
def prepared(shared_start: Any, words: Any) -> Path:
    """A storage with a snapshot of BASE and two deltas that lead to REPLAYED."""
    session = shared_start(volume="prepare")
    with session.client() as http:
        assert words(http).upsert(*range(6)) == 200
    assert session.finish() == 0
    store: Path = shared_start.folder / "store"
    log = DeltaLog(open_storage(store.as_uri()), "receipts")
    spec = CollectionSpec("words", 3, "l2")
    new = [
        {"op": "upsert", "id": f"id-{n}", "embedding": [float(n), 1.0, -float(n)]}
        for n in (100, 101)
    ]
    log.append(new, spec)
    log.append([{"op": "delete", "id": "id-3"}], spec)
    return store


class Scenario:
    """One storage, one session that is killed, and what its clients were promised."""

    def __init__(self, start: Any, words: Any, folder: Path, prepared: Path) -> None:
        self.start, self.words = start, words
        self.folder = folder
        shutil.copytree(prepared, folder / "store")
        self.attempted: set[str] = set()
        self.acknowledged: set[str] = set()

    def run(self, volume: str, kill_at: int | None = None, **faults: str) -> Any:
        """Start a session of the one name on a volume; killed at a step if one is given."""
        environment = {
            "STORAGE_URL": (self.folder / "store").as_uri(),
            "SESSION_ID": "killed",
            "DATA_DIR": str(self.folder / volume),
            "TOKEN_REFERENCE": (self.folder / f"token-{volume}").as_uri(),
        }
        if kill_at is None:
            return self.start(**environment)
        return self.start(
            ready=False, program=[str(KILLER)], **environment, KILL_AT=str(kill_at), **faults
        )

    def use(self, session: Any) -> None:
        """Write and finish, as far as the session lives."""
        try:
            session.connect()
            with session.client() as http:
                collection = self.words(http)
                for number in range(200, 206):
                    self.attempted.add(f"id-{number}")
                    while (code := collection.upsert(number)) == 503:
                        time.sleep(0.02)  # a checkpoint
                    if code == 200:
                        self.acknowledged.add(f"id-{number}")
                http.post("/_session/finish")
        except (AssertionError, httpx.TransportError) as error:
            # Killed before, or in the middle of a request; anything else is a failure.
            session.ended()
            assert session.process.returncode == -signal.SIGKILL, error
        session.ended()

    def held(self, volume: str) -> set[str]:
        """Start again, and return what the session finds, each id once."""
        session = self.run(volume)
        with session.client() as http:
            found: list[str] = self.words(http).all_ids()
        assert len(found) == len(set(found))
        assert session.finish() == 0
        return set(found)

    def records(self) -> int:
        """How many records the current snapshot states."""
        store = SnapshotStore(open_storage((self.folder / "store").as_uri()), "receipts")
        head = store.head()
        assert head is not None
        return sum(collection.count for collection in store.manifest(head).collections)

    def check_storage(self) -> set[str]:
        """Assert that the pointer names a whole snapshot; return the ids of pending deltas."""
        storage = open_storage((self.folder / "store").as_uri())
        store = SnapshotStore(storage, "receipts")
        head = store.head()
        assert head is not None
        manifest = store.verify(head)
        return {info.id for info in DeltaLog(storage, "receipts").pending(manifest.consumed)}


@pytest.fixture
def scenario(
    start: Any, words: Any, prepared: Path, tmp_path: Path
) -> Iterator[Callable[[str], Scenario]]:
    yield lambda name: Scenario(start, words, tmp_path / name, prepared)


def kill_once(scenario: Scenario, step: int, faults: dict[str, str]) -> str:
    """Kill at a step, then go on as a restarted container and as another task."""
    session = scenario.run("volume", step, **faults)
    scenario.use(session)
    if session.process.returncode == 0:
        return "survived"  # the step before came in another order this time
    assert session.process.returncode == -signal.SIGKILL
    pending = scenario.check_storage()

    lost = Scenario.__new__(Scenario)
    lost.__dict__.update(scenario.__dict__)
    lost.folder = scenario.folder.with_name(f"{scenario.folder.name}-lost")
    shutil.copytree(scenario.folder / "store", lost.folder / "store")
    found = lost.held("empty")
    flipped = not pending
    if flipped and not faults:
        assert REPLAYED | scenario.acknowledged <= found <= REPLAYED | scenario.attempted, step
    else:  # what a checkpoint, if there were any, had taken
        assert REPLAYED <= found <= REPLAYED | (scenario.attempted if faults else set()), step
    assert not lost.check_storage()

    # A write that was under way may be there or not; an answered one must be.
    found = scenario.held("volume")
    assert REPLAYED | scenario.acknowledged <= found <= REPLAYED | scenario.attempted, step
    assert not scenario.check_storage()
    assert scenario.records() == len(found), step
    return "after the flip" if flipped else "before the flip"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kills", "faults"),
    [(KILLS, {}), (KILLS // 2, {"CHECKPOINT_INTERVAL": "0.01"})],
    ids=["plain", "checkpoints"],
)
def test_a_supervisor_killed_at_any_step(
    scenario: Callable[[str], Scenario],
    record_property: Callable[[str, object], None],
    kills: int,
    faults: dict[str, str],
) -> None:
    whole = scenario("whole")
    session = whole.run("volume", 0, **faults)
    whole.use(session)
    assert session.process.returncode == 0
    names = session.wait("steps")["names"]
    assert len(names) > 20
    record_property("steps", len(names))
    assert len(whole.acknowledged) == 6
    # How many checkpoints fit into a session depends on the machine's other work.
    reach = len(names) * 2 // 3 if faults else len(names)
    steps = list(range(1, reach + 1))
    if len(steps) > kills:
        # The last quarter holds the upload, the flip and the clean-up.
        late = min(reach * 3 // 4, reach - (kills - kills // 2))
        chooser = random.Random(SEED)
        steps = chooser.sample(steps[:late], kills // 2)
        steps += chooser.sample(range(late + 1, reach + 1), kills - kills // 2)
    with ThreadPoolExecutor(2) as pool:
        outcomes = list(
            pool.map(lambda step: kill_once(scenario(f"step-{step}"), step, faults), steps)
        )
    assert outcomes.count("survived") <= len(outcomes) // 3


def test_a_flip_whose_answer_was_lost_is_not_a_second_session(
    scenario: Callable[[str], Scenario],
) -> None:
    lost = scenario("lost")
    session = lost.run("volume", 0, LOSE_ANSWER="pointer.json")
    lost.use(session)
    assert session.process.returncode == 0
    assert session.find("store_failed", attempt=1)
    assert session.wait("report")["flipped"]
    assert not lost.check_storage()
    assert lost.held("empty") == REPLAYED | lost.acknowledged


def test_a_server_killed_under_writes_comes_back_with_every_answered_one(
    start: Any, words: Any
) -> None:
    session = start()
    acknowledged: set[str] = set()
    stop = threading.Event()

    def write() -> None:
        with session.client() as http:
            collection = words(http)
            number = 0
            while not stop.is_set():
                number += 1
                if collection.upsert(number) == 200:
                    acknowledged.add(f"id-{number}")
                else:
                    time.sleep(0.02)

    writer = threading.Thread(target=write)
    writer.start()
    chooser = random.Random(SEED)
    for kills in range(1, 4):
        before = len(acknowledged)
        clocks.wait(lambda: len(acknowledged) >= before + 10, "writes are answered")  # noqa: B023
        time.sleep(chooser.random() * 0.1)
        os.kill(session.server_pid(), signal.SIGKILL)
        session.wait_count("server_died", kills)
    session.wait_count("phase", 4, phase="serving")
    time.sleep(0.2)
    stop.set()
    writer.join(clocks.seconds(60))
    assert len(acknowledged) >= 30
    with session.client() as http:
        assert words(http).ids() >= acknowledged
    assert session.finish() == 0
    records = session.wait("report")["records"]["words"]
    again = start(volume="again")
    with again.client() as http:
        found = words(http).all_ids()
    assert set(found) >= acknowledged
    assert len(found) == records


def test_a_server_that_keeps_dying_ends_the_session_and_not_the_data(
    start: Any, words: Any
) -> None:
    session = start()
    with session.client() as http:
        assert words(http).upsert(1) == 200
    for kills in range(1, 5):
        os.kill(session.server_pid(), signal.SIGKILL)
        session.wait_count("server_died", kills)
        if kills < 4:
            session.wait_count("phase", kills + 1, phase="serving")
    assert session.process.wait(20) == 0
    report = session.wait("report")
    assert report["reason"] == "server keeps dying"
    assert report["records"] == {"words": 1}

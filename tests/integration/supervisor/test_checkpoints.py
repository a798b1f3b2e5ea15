"""Snapshots while a session serves: what they hold survives the loss of the task."""

from __future__ import annotations

import threading
import time
from typing import Any

import httpx
from chroma_store.snapshots.store import SnapshotStore
from chroma_store.storage import open_storage

from tests.support import clocks


def test_a_lost_task_loses_only_what_came_after_its_last_checkpoint(
    start: Any, words: Any, store: str
) -> None:
    session = start(CHECKPOINT_INTERVAL="0.5")
    acknowledged: list[tuple[float, str]] = []
    stop = threading.Event()

    def write() -> None:
        with session.client() as http:
            collection = words(http)
            number = 0
            while not stop.is_set():
                try:
                    code = collection.upsert(number)
                except httpx.TransportError:
                    return  # killed
                if code == 200:
                    acknowledged.append((time.monotonic(), f"id-{number}"))
                    number += 1
                else:
                    assert code == 503, "a checkpoint is a pause that clients may wait out"
                    time.sleep(0.02)

    writer = threading.Thread(target=write)
    writer.start()
    session.wait_count("checkpoint", 2)
    begun = [event for event in session.events if event.get("phase") == "checkpointing"]
    taken_before = len(begun)
    session.wait_count("checkpoint", 3)
    known = list(acknowledged)
    session.kill()
    stop.set()
    writer.join(clocks.seconds(60))

    snapshots = SnapshotStore(open_storage(store), "receipts")
    head = snapshots.head()
    assert head is not None
    snapshots.verify(head)
    assert taken_before >= 2
    again = start(volume="lost", SESSION_ID=session_name(session))
    with again.client() as http:
        found = words(http).ids()
    written = [name for _, name in acknowledged]
    assert found == set(written[: len(found)]), "a checkpoint is a moment, not a mixture"
    assert len(found) > len(known) // 4


def test_a_checkpoint_leaves_little_for_the_end(start: Any, words: Any) -> None:
    session = start(CHECKPOINT_INTERVAL="0.3")
    with session.client() as http:
        collection = words(http)
        assert collection.upsert(*range(10)) == 200
        checkpoint = session.wait("checkpoint")
        assert checkpoint["records"] == {"words": 10}
        while http.get("/_session/status").json()["phase"] != "serving":
            time.sleep(0.02)
        assert collection.ids() == {f"id-{n}" for n in range(10)}
    assert session.finish() == 0
    report = session.wait("report")
    assert not report["flipped"], "nothing was written since the checkpoint"
    assert report["snapshotId"] == checkpoint["snapshotId"]


def session_name(session: Any) -> str:
    name: str = session.wait("ready")["sessionId"]
    return name

"""What FileStorage must do for two machines at once. Each check fails with AssertionError."""

from __future__ import annotations

import json
import random
import signal
import statistics
import time
import uuid
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from tests.integration.vectors.nfs_machines import MOUNT, start

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.integration.vectors.nfs_machines import Machine, Started

LARGE = 12 << 20
"""Bytes; more than a pack has, and twelve times what NFS writes in one request."""

AHEAD = 4.0
"""Seconds until a common start: both programs have been loaded by then, even under emulation."""

# A lock that does not die with its holder.
_LOCK_FILE = """while True:
                try:
                    os.close(os.open(self._root / ".held", os.O_CREAT | os.O_EXCL))
                    break
                except FileExistsError:
                    __import__("time").sleep(0.05)"""

BREAKAGES = {
    "no-lock": ("fcntl.flock(lock, fcntl.LOCK_EX)", "pass"),
    "lock-file": ("fcntl.flock(lock, fcntl.LOCK_EX)", _LOCK_FILE),
    "rename-for-link": ("os.link(scratch, path)", "scratch.replace(path)"),
    "in-place": ("scratch.replace(path)", "path.write_bytes(data)"),
    "remembers": ("os.close(os.open(step, os.O_RDONLY | os.O_DIRECTORY))", "pass"),
    "remembers-parts": ("self._look_again(path.parent)\n            with", "with"),
    "remembers-listings": ("self._look_again(folder)\n            found", "found"),
    "remembers-folders": ("self._look_again(folder)\n            if", "if"),
    "remembers-in-flips": ("current = self._read(path)", "current = path.read_bytes()"),
    "deletes-nothing": ("self._path(key).unlink(missing_ok=True)", "pass"),
    "lists-all": (""" or "/." in f"/{key}\"""", ""),
}
"""Passages of nfs_image.STORAGE, and what breaks it."""


_ARGUMENT = {"get": "key", "part": "key", "keys": "prefix", "folders": "prefix"}


@dataclass(frozen=True)
class Client:
    """A machine, and the copy of the project that it runs."""

    machine: Machine
    project: str = "project"

    def broken(self, name: str) -> Client:
        return replace(self, project=f"project-{name}")

    @property
    def env(self) -> dict[str, str]:
        return {"PYTHONPATH": f"/tmp/lab/{self.project}:/opt/packages"}

    def do(self, action: str, **arguments: Any) -> Any:
        """Run an action to its end."""
        return json.loads(self.machine.run(_argv(action, arguments), **self.env))

    def go(self, action: str, **arguments: Any) -> Started:
        """Leave an action running."""
        return start(self.machine, _argv(action, arguments), **self.env)

    def text(self, key: str) -> str | None:
        """What an object contains; None if there is none."""
        found = self.do("get", key=key)
        return str(found[0]) if found else None

    def etag(self, key: str) -> str:
        return str(self.do("get", key=key)[1])

    def clock_ahead(self) -> float:
        """Seconds by which the machine's clock is ahead of this one's."""
        found = []
        for _ in range(5):
            before = time.time()
            theirs = float(self.machine.ask("clock")["time"])
            after = time.time()
            found.append((after - before, theirs - (before + after) / 2))
        return min(found)[1]


def _argv(action: str, arguments: dict[str, Any]) -> list[str]:
    return ["python3", "/tmp/lab/nfs_actions.py", action, json.dumps(arguments)]


def _together(clients: tuple[Client, Client], action: str, **arguments: Any) -> list[Any]:
    """Run an action on both machines at the same moment."""
    ahead = [client.clock_ahead() for client in clients]
    at = time.time() + AHEAD
    running = [
        client.go(action, name=client.machine.name, at=at + offset, **arguments)
        for client, offset in zip(clients, ahead, strict=True)
    ]
    return [json.loads(one.wait()) for one in running]


def _milliseconds(seconds: list[float]) -> dict[str, float]:
    return {
        "median": round(1000 * statistics.median(seconds), 1),
        "longest": round(1000 * max(seconds), 1),
    }


def flips_race(a: Client, b: Client) -> dict[str, Any]:
    """Of two flips from the same state exactly one wins: no number is counted twice."""
    a.do("put", key="race/number", text="0")
    ours, theirs = _together((a, b), "count", key="race/number", seconds=8.0)
    won = ours["won"] + theirs["won"]
    assert sorted(won) == list(range(1, len(won) + 1)), "two flips from one state won"
    assert ours["won"], "the first client never won"
    assert theirs["won"], "the second client never won"
    assert ours["lost"] + theirs["lost"], "they never met"
    assert str(b.text("race/number")).split()[0] == str(len(won))
    return {"flips": len(won), **_milliseconds(ours["times"] + theirs["times"])}


def names_race(a: Client, b: Client) -> dict[str, Any]:
    """Of two that make an object exactly one wins, and its content stays."""
    ours, theirs = _together((a, b), "claim", prefix="names", names=60, pause=0.15)
    assert sorted(ours["won"] + theirs["won"]) == list(range(60)), "two made the same object"
    assert len(a.do("keys", prefix="names/")) == 60
    for number in (ours["won"][:1] or [0]) + (theirs["won"][:1] or [0]):
        winner = a if number in ours["won"] else b
        assert a.text(f"names/{number}") == winner.machine.name
    return {"won": [len(ours["won"]), len(theirs["won"])], **_milliseconds(ours["times"])}


def new_objects_are_seen(a: Client, b: Client) -> dict[str, Any]:
    """What one machine makes, another one finds at once, although it had just looked in vain."""
    for look, name in (("get", "1"), ("part", "1"), ("keys", ""), ("folders", "")):
        folder = f"new-{uuid.uuid4().hex}/"
        assert not b.do(look, **{_ARGUMENT[look]: f"{folder}{name}"})
        a.do("put", key=f"{folder}1/2" if look == "folders" else f"{folder}1", text="new")
        found = b.do(look, **{_ARGUMENT[look]: f"{folder}{name}"})
        assert found, f"{look} does not see what is new"
    return {}


def replaced_objects_are_seen(a: Client, b: Client) -> dict[str, Any]:
    """A file that is replaced while it is read stays on the server: nobody may take it for new."""
    for number, reader_on in enumerate((a, b)):
        key = f"replaced/{number}"
        a.do("put", key=key, text="old")
        etag = b.etag(key)
        reader = reader_on.go("linger", key=key, seconds=600)
        reader.wait_for("open", 30)
        a.do("put", key=key, text="new", if_match=etag)
        assert b.text(key) == "new", "get sees what was replaced"
        reader.kill()
    return {}


def deleted_objects_are_seen(a: Client, b: Client) -> dict[str, Any]:
    """What one machine deletes, another one does not find, and may make anew."""
    for key in ("deleted/1", "deleted/2"):
        a.do("put", key=key, text="old")
        assert b.text(key) == "old"
        a.do("delete", key=key)
        if key == "deleted/1":
            assert b.text(key) is None, "get sees what was deleted"
        made = b.do("put", key=key, text="new", if_none_match=True)
        assert made is not None, "put sees what was deleted"
    return {}


def kept_files_are_no_objects(a: Client, b: Client) -> dict[str, Any]:
    """A file that is deleted while it is read becomes .nfs and a number; no listing shows it."""
    a.do("put", key="kept/1", text="read")
    script = (
        "import sys, time; from vector_common.storage.folder import FileStorage;"
        "file = open('/mnt/store/kept/1'); FileStorage('/mnt/store').delete(['kept/1']);"
        "print('deleted', flush=True); time.sleep(600)"
    )
    reader = start(a.machine, ["python3", "-c", script], **a.env)
    reader.wait_for("deleted", 30)
    try:
        assert ".nfs" in a.machine.sh("ls -A /mnt/store/kept"), "nothing is kept"
        for client in (a, b):
            assert client.do("keys", prefix="kept/") == [], "what NFS keeps is listed"
    finally:
        reader.kill()
    return {}


def lock_is_seen(a: Client, b: Client) -> dict[str, Any]:
    """A flip waits for another machine's, and loses to it, though the old file is still read."""
    a.do("put", key="lock/1", text="start")
    # The lock's file is there then: making it would remind the clients of its folder.
    etag = b.do("put", key="lock/1", text="again", if_match=b.etag("lock/1"))
    assert b.text("lock/1") == "again"
    reader = b.go("linger", key="lock/1", seconds=600)
    reader.wait_for("open", 30)
    holder = a.go("hold", key="lock/1", etag=etag, seconds=4.0)
    holder.wait_for("held", 30)
    began = time.monotonic()
    second = b.do("put", key="lock/1", text="second", if_match=etag)
    assert second is None, "two flips from one state won"
    waited = time.monotonic() - began
    assert "null" not in holder.wait()
    assert b.text("lock/1") == "held"
    reader.kill()
    assert waited > 2, "it did not wait for the lock"
    return {"seconds": round(waited, 1)}


def killed_holder_blocks_nobody(a: Client, b: Client) -> dict[str, Any]:
    """The lock of a killed process is free at once."""
    waited = freed(a, b, "lock/2", lambda holder: holder.kill(signal.SIGKILL), 20)
    return {"seconds": round(waited, 2)}


def freed(a: Client, b: Client, key: str, end: Callable[[Started], None], seconds: float) -> float:
    """End the holder of the lock, and return how long another machine's flip takes then."""
    a.do("put", key=key, text="start")
    etag = a.etag(key)
    holder = a.go("hold", key=key, etag=etag, seconds=600)
    holder.wait_for("held", 30)
    end(holder)
    began = time.monotonic()
    flip = b.go("put", key=key, text="second", if_match=etag)
    try:
        assert flip.wait(seconds).strip() != "null"
        waited = time.monotonic() - began
    finally:
        flip.kill()
    assert b.text(key) == "second"
    return waited


def large_objects_are_whole(a: Client, b: Client) -> dict[str, Any]:
    """While one machine writes 12 MB and is killed, another one sees all of it or nothing."""
    reading = b.go("read_large", prefix="large", size=LARGE, seconds=20.0)
    rng = random.Random(5)
    while reading.code() is None:
        writer = a.go("write_large", prefix="large", size=LARGE)
        writer.wait_for("0", 30)
        time.sleep(rng.uniform(0.5, 3.0))
        writer.kill()
    seen: dict[str, Any] = json.loads(reading.wait())
    assert seen["whole"], "nothing was ever there"
    assert not seen["torn"], "a part of an object was seen"
    assert not seen["failed"], seen["errors"]
    return seen


def undisturbed_flips(a: Client, _: Client) -> dict[str, Any]:
    """How long flips take that nobody contests, and how often they ask the server."""
    on_nfs = a.do("flips", root=MOUNT, times=200)
    on_disk = a.do("flips", root="/var/tmp/store", times=200)
    return {
        "requests": on_nfs["requests"],
        **_milliseconds(on_nfs["times"]),
        "on ext4": _milliseconds(on_disk["times"]),
    }

"""What a client does with the store: run inside a virtual machine, one action a process.

The host's checks start it as ``nfs_actions.py ACTION JSON`` and read the JSON that it prints.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import random
import sys
import time
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vector_common.errors import NotFound, PreconditionFailed, VectorError
from vector_common.storage.folder import FileStorage

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = "/mnt/store"
store = FileStorage(ROOT)


def _until(moment: float) -> None:
    time.sleep(max(0.0, moment - time.time()))


def put(key: str, text: str, **conditions: Any) -> str | None:
    """The new etag; None if a condition did not hold."""
    try:
        return store.put(key, text.encode(), **conditions)
    except PreconditionFailed:
        return None


def get(key: str) -> tuple[str, str] | None:
    """The content and etag; None if there is no such object."""
    try:
        blob = store.get(key)
    except NotFound:
        return None
    return blob.data.decode(), blob.etag


def part(key: str) -> str | None:
    """The first two bytes; None if there is no such object."""
    try:
        return store.get_range(key, 0, 2).decode()
    except NotFound:
        return None


def folders(prefix: str) -> list[str]:
    return list(store.folders(prefix))


def keys(prefix: str) -> list[str]:
    return [info.key for info in store.list(prefix)]


def delete(key: str) -> None:
    store.delete([key])


def clean() -> None:
    """Delete all objects, the lock, and what killed writers left."""
    for path in Path(ROOT).rglob("*"):
        if path.is_file():
            path.unlink()


def count(key: str, name: str, at: float, seconds: float) -> dict[str, Any]:
    """Raise a number under its condition as often as possible; which numbers were ours."""
    won, lost, times = [], 0, []
    _until(at)
    while time.time() < at + seconds:
        blob = store.get(key)
        number = int(blob.data.split()[0]) + 1
        began = time.perf_counter()
        if put(key, f"{number} {name}", if_match=blob.etag) is None:
            lost += 1
        else:
            won.append(number)
        times.append(time.perf_counter() - began)
    return {"won": won, "lost": lost, "times": times}


def claim(prefix: str, name: str, at: float, names: int, pause: float) -> dict[str, Any]:
    """Make new objects, each at its moment, at which another client makes it too."""
    won, times = [], []
    for number in range(names):
        _until(at + (number + random.random()) * pause)
        began = time.perf_counter()
        if put(f"{prefix}/{number}", name, if_none_match=True) is not None:
            won.append(number)
        times.append(time.perf_counter() - began)
    return {"won": won, "times": times}


def hold(key: str, etag: str, seconds: float) -> str | None:
    """Flip an object, but stop for a while with the lock taken, right before the rename."""
    rename = Path.replace

    def slowly(self: Path, target: Path) -> Path:
        print("held", flush=True)
        time.sleep(seconds)
        return rename(self, target)

    Path.replace = slowly  # type: ignore[assignment,method-assign]
    return put(key, "held", if_match=etag)


def linger(key: str, seconds: float) -> None:
    """Keep an object open for reading, as a slow reader does."""
    with (Path(ROOT) / key).open("rb") as file:
        file.read(1)
        print("open", flush=True)
        time.sleep(seconds)


def flips(root: str, times: int) -> dict[str, Any]:
    """The seconds that each of some flips took, undisturbed, and its requests to the server."""
    place = FileStorage(root)
    etag = place.put("alone/1", b"start")
    taken, before = [], _requests()
    for number in range(times):
        began = time.perf_counter()
        etag = place.put("alone/1", b"%d flips" % number, if_match=etag)
        taken.append(time.perf_counter() - began)
    return {"times": taken, "requests": (_requests() - before) / times}


def _requests() -> int:
    """How many requests this machine has sent to NFS servers."""
    statistics = Path("/proc/self/mountstats").read_text().partition("per-op statistics\n")[2]
    rows = (line.split() for line in statistics.splitlines())
    return sum(int(row[1]) for row in rows if len(row) > 8 and row[0].isupper())


def write_large(prefix: str, size: int) -> None:
    """Write large objects of one byte each until killed."""
    for number in range(100_000):
        store.put(f"{prefix}/{number % 4}", bytes([number % 251]) * size)
        print(number, flush=True)


def read_large(prefix: str, size: int, seconds: float) -> dict[str, Any]:
    """Read them meanwhile; how many were whole, absent or torn."""
    seen = {"whole": 0, "absent": 0, "torn": 0, "failed": 0}
    errors = set()
    until = time.time() + seconds
    while time.time() < until:
        for number in range(4):
            try:
                data = store.get(f"{prefix}/{number}").data
            except NotFound:
                seen["absent"] += 1
            except VectorError as error:
                seen["failed"] += 1
                errors.add(f"{error}")
            else:
                seen["whole" if data == data[:1] * size else "torn"] += 1
    return {**seen, "errors": sorted(errors)}


def invoke(function: str, event: dict[str, Any]) -> Any:
    """What a function answers that has mounted the store."""
    os.environ["STORAGE_URL"] = f"file://{ROOT}"
    # Its metrics are a line on stdout.
    with contextlib.redirect_stdout(sys.stderr):
        return importlib.import_module(f"{function}.handler").handler(event, None)


def call(address: str, token_file: str, path: str, body: object) -> Any:
    """Send a request through a session's proxy."""
    token = json.loads(Path(token_file).read_text())["token"]
    request = urllib.request.Request(
        address + path,
        json.dumps(body).encode(),
        {"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.loads(answer.read() or b"null")


ACTIONS: dict[str, Callable[..., Any]] = {
    function.__name__: function
    for function in (
        *(put, get, part, folders, keys, delete, clean, count, claim, hold, call),
        *(invoke, linger, flips, write_large, read_large),
    )
}

if __name__ == "__main__":
    print(json.dumps(ACTIONS[sys.argv[1]](**json.loads(sys.argv[2]))))

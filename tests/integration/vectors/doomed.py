"""A compaction in a process that is killed at a chosen point.

Python announces every file that it opens or renames, every folder it makes and every request it
sends to audit hooks (PEP 578). Counting these announcements gives kill points between any two
steps without a line of test code in the product; a run that is not killed says how many there are.
"""

from __future__ import annotations

import contextlib
import functools
import multiprocessing
import multiprocessing.context
import os
import signal
import sys
from dataclasses import dataclass, field
from multiprocessing import forkserver
from typing import TYPE_CHECKING, Any, Literal

from chroma_store.deltas.compaction import compact
from chroma_store.server.process import ChromaProcess
from chroma_store.snapshots import store as snapshots
from chroma_store.storage import open_storage
from vector_common.errors import VectorError
from vector_common.storage.s3 import s3_client

if TYPE_CHECKING:
    from multiprocessing.connection import Connection
    from pathlib import Path

    from chroma_store.storage import Storage

POINTS = frozenset(
    {
        "http.client.send",
        "open",
        "os.link",
        "os.mkdir",
        "os.remove",
        "os.rename",
        "os.rmdir",
        "os.scandir",
        "os.truncate",
        "shutil.rmtree",
        "socket.connect",
        "subprocess.Popen",
    }
)
# botocore reads S3's model when the first client is made: 0.3 s that a forked child then has behind
# it, because the process that it is forked from has imported this module.
s3_client(region_name="eu-west-1", aws_access_key_id="test", aws_secret_access_key="test")

Victim = Literal["compaction", "server", "nobody"]


@dataclass
class Fate:
    """How a run ended.

    Attributes:
        steps: Every step that began, in order.
        points: How many points each had that ended.
        error: The error's class name if it raised.
        killed: Whether its process was killed.
    """

    steps: list[str] = field(default_factory=list)
    points: dict[str, int] = field(default_factory=dict)
    error: str | None = None
    killed: bool = False


@dataclass(frozen=True)
class Place:
    """A store that another process can open."""

    url: str
    endpoint: str | None = None

    def open(self) -> Storage:
        if not self.endpoint:
            return open_storage(self.url)
        client = s3_client(
            endpoint_url=self.endpoint,
            region_name="eu-west-1",
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )
        return open_storage(self.url, client=client)


def run(
    place: Place, work_dir: Path, victim: Victim = "nobody", step: str = "", point: int = 0
) -> Fate:
    """Compact the database ``db`` in a process of its own.

    Args:
        place: Where the database lies.
        work_dir: For the compaction.
        victim: Who is killed.
        step: In which step; in a later one if it has too few points this time.
        point: At which point of it, from 1.
    """
    context = _warm()
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_child, args=(theirs, place, work_dir, victim, (step, point)))
    process.start()
    theirs.close()
    fate = Fate()
    try:
        while True:
            kind, value, count = ours.recv()
            if kind == "step":
                fate.steps.append(value)
            else:
                fate.error = value
            if len(fate.steps) > (kind == "step"):
                fate.points[fate.steps[-1 - (kind == "step")]] = count
    except EOFError:
        pass
    process.join(30)
    fate.killed = process.exitcode == -signal.SIGKILL
    assert fate.killed or process.exitcode == 0, f"exit code {process.exitcode}"
    return fate


@functools.cache
def _warm() -> multiprocessing.context.ForkServerContext:
    """A process that has imported everything, from which a child is forked in milliseconds."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__, "boto3", "botocore.httpsession"])
    # It looks for modules as a new interpreter does, not as this one.
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
    try:
        forkserver.ensure_running()
    finally:
        if before is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = before
    return context


def _child(
    pipe: Connection[Any, Any],
    place: Place,
    work_dir: Path,
    victim: Victim,
    when: tuple[str, int],
) -> None:
    passed, armed = 0, False
    servers: list[int] = []

    def hook(event: str, args: tuple[Any, ...]) -> None:
        nonlocal passed
        if event not in POINTS or (event == "open" and not _ours(args[0], place, work_dir)):
            return
        passed += 1
        if not armed or passed < when[1]:
            return
        if victim == "compaction":
            os.kill(os.getpid(), signal.SIGKILL)
        if victim == "server" and servers:
            with contextlib.suppress(ProcessLookupError):
                os.kill(servers.pop(), signal.SIGKILL)

    def say(step: str) -> None:
        nonlocal passed, armed
        pipe.send(("step", step, passed))
        # Once its step has begun, a kill that found too few points comes at the next one.
        armed = armed or step == when[0]
        passed = when[1] if armed and step != when[0] else 0

    _announce(say, servers)
    storage = place.open()
    sys.addaudithook(hook)
    error = None
    try:
        compact(storage, "db", work_dir, say=say)
    except VectorError as problem:
        error = type(problem).__name__
    pipe.send(("end", error, passed))


def _announce(say: Any, servers: list[int]) -> None:
    """Make the flip a step of its own, and learn the server's process id."""
    module: Any = snapshots
    flip, start = module.flip_pointer, ChromaProcess.start

    def flip_pointer(*args: Any) -> Any:
        say("flip")
        pointer = flip(*args)
        say("flipped")
        return pointer

    def begin(self: ChromaProcess) -> None:
        start(self)
        servers.append(self.pid)

    module.flip_pointer = flip_pointer
    ChromaProcess.start = begin  # type: ignore[method-assign]


def _ours(path: object, place: Place, work_dir: Path) -> bool:
    folders = (str(work_dir), place.url.removeprefix("file://"))
    return isinstance(path, str | os.PathLike) and os.fspath(path).startswith(folders)

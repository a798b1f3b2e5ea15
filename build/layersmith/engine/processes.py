"""What /proc says of processes: whether the maker of a thing lives, and how much memory one took.

A process id is used again, so the time at which a process started stands beside it in its name.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import tempfile
from pathlib import Path

from layersmith import cache


def this_process() -> str:
    """Return the name of the running process: host, process id, start."""
    return f"{platform.node()}:{os.getpid()}:{_started(os.getpid())}"


def is_dead(name: str) -> bool:
    """Return whether a process of this machine that made something is gone.

    Names of other machines, and names that cannot be read, are taken for alive.
    """
    host, _, rest = name.rpartition(":")[0].rpartition(":")
    start = name.rpartition(":")[2]
    if host != platform.node() or not rest.isdigit():
        return False
    pid = int(rest)
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return _started(pid) != start


def workspace() -> tempfile.TemporaryDirectory[str]:
    """Return a folder for images, layers and builds, within the cache.

    There is room there, and engines in virtual machines see the home folder and nothing else of
    this machine. What killed runs left is removed first.
    """
    section = cache.section("images")
    for left in section.iterdir():
        if is_dead(left.name.rpartition(":")[0]):
            shutil.rmtree(left, ignore_errors=True)
    return tempfile.TemporaryDirectory(prefix=f"{this_process()}:", dir=section)


def _started(pid: int) -> str:
    """Return when a process started, in clock ticks since boot; empty where that is not known."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""
    # The name, in parentheses, may hold spaces; field 22 of proc(5) is the 20th after it.
    return stat.rpartition(")")[2].split()[19]


_HIGH_WATER = re.compile(r"^VmHWM:\s+(\d+) kB$", re.MULTILINE)


def high_water_mark(status: str) -> int | None:
    """Return the peak resident size in bytes from the text of /proc/PID/status (proc(5)).

    Where there are several, that of the largest process.
    """
    return max((int(found) * 1024 for found in _HIGH_WATER.findall(status)), default=None)


def peak_memory(pid: int) -> int | None:
    """Return the peak resident size of a process of this machine; None where that is not known."""
    try:
        return high_water_mark(Path(f"/proc/{pid}/status").read_text())
    except OSError:
        return None


def peak_memory_of_container(pid: int, container: str) -> int | None:
    """Return the peak resident size of the largest process of a container.

    Args:
        pid: Its first process, as the engine gives it; of use only where the engine runs on this
            machine and not in a virtual one.
        container: Identifier of the container, looked for in the process's control groups.
    """
    try:
        groups = Path(f"/proc/{pid}/cgroup").read_text()
    except OSError:
        return None
    if container not in groups:
        return None
    return max((size for one in _family(pid) if (size := peak_memory(one))), default=None)


def _family(pid: int) -> list[int]:
    """Return a process and those below it."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        children = []
    return [pid, *(one for child in children for one in _family(int(child)))]

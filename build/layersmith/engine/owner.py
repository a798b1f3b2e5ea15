"""Who made a container, a network or a folder: a process of a machine, told apart from later ones.

A process id is used again, so the time at which the process started stands beside it.
"""

from __future__ import annotations

import os
import platform
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

"""Who made a container or a network: a process of a machine, told apart from later ones.

A process id is used again, so the time at which the process started stands beside it.
"""

from __future__ import annotations

import os
import platform
from pathlib import Path


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


def _started(pid: int) -> str:
    """Return when a process started, in clock ticks since boot; empty where that is not known."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""
    # The name, in parentheses, may hold spaces; field 22 of proc(5) is the 20th after it.
    return stat.rpartition(")")[2].split()[19]

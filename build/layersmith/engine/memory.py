"""Reads how much memory a process has used at most."""

from __future__ import annotations

import re
from pathlib import Path

_HIGH_WATER = re.compile(r"^VmHWM:\s+(\d+) kB$", re.MULTILINE)


def high_water_mark(status: str) -> int | None:
    """Return the peak resident size in bytes from the text of /proc/PID/status (proc(5)).

    Where there are several, that of the largest process.
    """
    return max((int(found) * 1024 for found in _HIGH_WATER.findall(status)), default=None)


def of_process(pid: int) -> int | None:
    """Return the peak resident size of a process of this machine; None where that is not known."""
    try:
        return high_water_mark(Path(f"/proc/{pid}/status").read_text())
    except OSError:
        return None


def of_container(pid: int, container: str) -> int | None:
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
    return max((size for one in _family(pid) if (size := of_process(one))), default=None)


def _family(pid: int) -> list[int]:
    """Return a process and those below it."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        children = []
    return [pid, *(one for child in children for one in _family(int(child)))]

"""Reads how much memory a process has used at most."""

from __future__ import annotations

import re
from pathlib import Path

_HIGH_WATER = re.compile(r"^VmHWM:\s+(\d+) kB$", re.MULTILINE)


def high_water_mark(status: str) -> int | None:
    """Return the peak resident size in bytes from the text of /proc/PID/status (proc(5))."""
    found = _HIGH_WATER.search(status)
    return int(found[1]) * 1024 if found else None


def of_process(pid: int) -> int | None:
    """Return the peak resident size of a process of this machine; None where that is not known."""
    try:
        return high_water_mark(Path(f"/proc/{pid}/status").read_text())
    except OSError:
        return None


def of_container(pid: int, container: str) -> int | None:
    """Return the peak resident size of a container's first process.

    Args:
        pid: As the engine gives it, which is of use only where the engine runs on this machine
            and not in a virtual one.
        container: Identifier of the container, looked for in the process's control groups.
    """
    try:
        groups = Path(f"/proc/{pid}/cgroup").read_text()
    except OSError:
        return None
    return of_process(pid) if container in groups else None

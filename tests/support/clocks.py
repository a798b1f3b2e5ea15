"""How slow this machine is, here and now: the one factor of every bound on time in the tests.

A test waits for an event, and the bound of its wait says only when to give up. Where the time
itself is what is tested, a heartbeat that ends, say, the time is scaled by the same factor.
"""

from __future__ import annotations

import functools
import math
import subprocess
import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

WORK, STARTS = 2_000_000, 4
QUIET_WORK_SECONDS, QUIET_START_SECONDS = 0.2, 0.025
"""What the work and one start take on two quiet cores of the machines that run the tests."""

LARGEST = 8.0
"""A machine that is slower yet is not one to run the tests on."""

BOUND = 60.0
"""Seconds after which a wait on a quiet machine gives up, by far more than any event takes."""

POLL = 0.02


@functools.cache
def factor() -> float:
    """How many times slower than the quiet reference this process runs; 1 where it is not.

    It is measured once a process, at its first use: by some work, which other processes slow
    down, and by starts of processes, which a slow disk and a busy kernel slow down, too.
    """
    return scale(_work() / QUIET_WORK_SECONDS, _start() / QUIET_START_SECONDS)


def scale(*measured: float) -> float:
    """The factor that measurements give: the largest, from 1 to LARGEST."""
    return min(max(1.0, *measured), LARGEST)


def seconds(quiet: float) -> float:
    """What a bound on a quiet machine is on this one."""
    return quiet * factor()


def whole(quiet: float, most: int | None = None) -> int:
    """As :func:`seconds`, in whole seconds and at most so many, as AWS takes them."""
    scaled = math.ceil(seconds(quiet))
    return scaled if most is None else min(scaled, most)


def wait(happened: Callable[[], object], what: object = "", quiet: float = BOUND) -> None:
    """Wait until something has happened.

    Args:
        happened: Asked again and again, until it says so.
        what: For the error message; something callable is called for it, if it comes to that.
        quiet: The bound on a quiet machine.
    """
    bound = seconds(quiet)
    end = time.monotonic() + bound
    while not happened():
        if time.monotonic() > end:
            said = what() if callable(what) else what
            raise AssertionError(f"not in {bound:.0f} s: {said or happened}")
        time.sleep(POLL)


def _work() -> float:
    began = time.perf_counter()
    total = 0
    for number in range(WORK):
        total += number * number % 7
    assert total
    return time.perf_counter() - began


def _start() -> float:
    began = time.perf_counter()
    for _ in range(STARTS):
        subprocess.run([sys.executable, "-I", "-c", "import json"], check=True)
    return (time.perf_counter() - began) / STARTS

"""A call that is repeated from a thread of its own until it is told to stop."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

STOP_SECONDS = 5.0
"""A call that hangs on the network must not hold up the end of the session."""


class Periodic:
    """Repeats a call, which must not raise; the thread never keeps the process alive.

    A thread and not a task of the event loop, because it must go on while others hash and
    compress.

    Args:
        call: Returns False to end the repetition.
        interval: Seconds between the end of one call and the start of the next.
        at_once: Make the first call at the start; else after the first interval.
        name: The thread's.
    """

    def __init__(
        self, call: Callable[[], bool], interval: float, name: str, *, at_once: bool = True
    ) -> None:
        self._call = call
        self._interval = interval
        self._at_once = at_once
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Make no further call; wait a moment for one that is under way."""
        self._stop.set()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(STOP_SECONDS)

    def _run(self) -> None:
        if not self._at_once:
            self._stop.wait(self._interval)
        while not self._stop.is_set() and self._call():
            self._stop.wait(self._interval)

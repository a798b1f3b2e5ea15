"""A runtime as a process of this machine."""

from __future__ import annotations

import contextlib
import os
import signal
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from layersmith import process
from layersmith.engine import memory
from layersmith.engine.models import Exit
from layersmith.errors import ProofError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence


class HostProcess:
    """A process in a session of its own, whose output goes to a file.

    Args:
        argv: Program and arguments.
        environment: Its whole environment.
        folder: Where it runs.
        on_exit: Called from another thread when it has ended.

    Raises:
        CommandFailed: The program cannot be started.
    """

    def __init__(
        self,
        argv: Sequence[str | Path],
        *,
        environment: Mapping[str, str],
        folder: Path,
        on_exit: Callable[[], None],
    ) -> None:
        handle, name = tempfile.mkstemp(prefix="runtime-", suffix=".log")
        self._log = Path(name)
        self._on_exit = on_exit
        self._exit: Exit | None = None
        self._ended = threading.Event()
        try:
            with os.fdopen(handle, "wb") as output:
                self.started_at = time.time()
                self._popen = process.start(argv, env=environment, cwd=folder, output=output)
        except BaseException:
            self._log.unlink(missing_ok=True)
            raise
        threading.Thread(target=self._wait, daemon=True).start()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._popen.pid

    @property
    def exit(self) -> Exit | None:
        """How it ended; None while it runs."""
        return self._exit

    def logs(self) -> bytes:
        """Return what it wrote so far."""
        try:
            return self._log.read_bytes()
        except FileNotFoundError:
            return b""

    def peak_memory(self) -> int | None:
        """Return the largest resident size so far in bytes; None where that is not known."""
        return memory.of_process(self._popen.pid)

    def refusal(self, said: str) -> ProofError:
        """Return the error for a process that never became a runtime."""
        return ProofError("the interpreter did not start the runtime's client", cause=said or None)

    def kill(self) -> None:
        """End it and what it started, at once."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._popen.pid, signal.SIGKILL)
        self._ended.wait(timeout=10)

    def remove(self) -> None:
        """End it and remove its output."""
        if self._exit is None:
            self.kill()
        self._log.unlink(missing_ok=True)

    def _wait(self) -> None:
        self._exit = Exit(self._popen.wait())
        self._ended.set()
        self._on_exit()

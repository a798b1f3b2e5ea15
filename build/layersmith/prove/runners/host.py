"""Starts functions as processes of this machine, where there is no Docker.

The interpreter has the minor version of the target, and nothing on its path but the function,
the layers and the runtime's own packages. The layers are twins of the built ones
(:mod:`layersmith.prove.twin`) unless the host has the target's architecture. There is no other
user, no limit on memory and no read-only /opt here; results say which runner they come from.
"""

from __future__ import annotations

import contextlib
import os
import signal
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Self

from layersmith import process
from layersmith.base import uv
from layersmith.engine import emulation, processes
from layersmith.engine.models import Exit
from layersmith.errors import ProofError
from layersmith.prove import sites
from layersmith.prove.layer_zip import Store
from layersmith.prove.models import RunnerFacts
from layersmith.prove.runners import runtime_api
from layersmith.prove.runners.instance import Instance
from layersmith.prove.runners.runtime_api import Closing, RuntimeApi

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from layersmith.base.runtimes import Runtime
    from layersmith.prove.models import FunctionSpec


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
        return processes.peak_memory(self._popen.pid)

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


class HostRunner(Closing):
    """Runs functions of one runtime as processes; a context manager that leaves none behind.

    Args:
        runtime: The Lambda runtime.
        architecture: What the layers were built for.

    Raises:
        ProofError: No interpreter of the minor version, or no wheel of the runtime's client.
    """

    service_host = "127.0.0.1"
    service_name = "127.0.0.1"

    def __init__(self, runtime: Runtime, architecture: str = "arm64") -> None:
        self.runtime = runtime
        self.architecture = emulation.host_architecture()
        self.emulation = emulation.Emulation(native=True)
        self._twin = architecture != self.architecture
        self._interpreter = _interpreter(runtime)
        self._packages = sites.runtime_packages(runtime, self.architecture)
        self._opened = contextlib.ExitStack()
        self._folder = Path()
        self._store = Store(self._folder)

    def __enter__(self) -> Self:
        made = tempfile.TemporaryDirectory(prefix="layersmith-host-")
        self._folder = Path(self._opened.enter_context(made))
        self._store = Store(self._folder)
        return self

    def close(self) -> None:
        """Remove every folder of this run."""
        self._opened.close()

    @property
    def facts(self) -> RunnerFacts:
        """Which interpreter runs, and whether what it runs is a twin."""
        return RunnerFacts(
            kind="host",
            runtime=self.runtime.name,
            architecture=self.architecture,
            interpreter=self._interpreter.name,
            twin=self._twin,
        )

    def start(self, spec: FunctionSpec) -> Instance:
        """Start a function and wait until it asks for its first event, or fails.

        Raises:
            ProofError: The interpreter cannot be started.
        """
        opt = self._store.opt(spec.layers)
        api = RuntimeApi(self.service_host, spec.name)
        api.__enter__()
        started = None
        try:
            started = HostProcess(
                [self._interpreter, "-S", "-m", "awslambdaric", spec.handler],
                environment=self._environment(spec, api, opt),
                folder=spec.code,
                on_exit=api.wake,
            )
            return Instance(spec, api, started)
        except process.CommandFailed as failed:
            api.close()
            raise ProofError(
                f"{self._interpreter} could not be started", cause=failed.output
            ) from failed
        except BaseException:
            if started is not None:
                started.remove()
            api.close()
            raise

    def _environment(self, spec: FunctionSpec, api: RuntimeApi, opt: Path) -> dict[str, str]:
        site = f"lib/python{self.runtime.python_version}/site-packages"
        path = [spec.code.resolve(), opt / "python" / site, opt / "python", self._packages]
        found = runtime_api.environment(
            spec,
            api=f"{self.service_host}:{api.port}",
            runtime=self.runtime.name,
            task=str(spec.code.resolve()),
            runtime_folder=str(self._packages),
            # The folders of the system stay as the machine has them.
            libraries=str(opt / "lib"),
        )
        return {
            "PATH": f"/usr/local/bin:/usr/bin:/bin:{opt / 'bin'}",
            "HOME": str(self._folder),
            "TMPDIR": str(self._folder),
            # Lambda's /opt and /var/task cannot be written to, so no bytecode appears there.
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONPATH": ":".join(str(one) for one in path),
            **found,
        }


def _interpreter(runtime: Runtime) -> Path:
    found = uv.interpreter(runtime.minor)
    if found is None:
        raise ProofError(
            f"no CPython {runtime.python_version} on this machine",
            cause="the host runner needs the minor version of the target",
            hint=f"install it, for instance with `uv python install {runtime.python_version}`",
        )
    return found

"""Starts functions as processes of this machine, where there is no Docker.

The interpreter has the minor version of the target, and nothing on its path but the function,
the layers and the runtime's own packages. The layers are twins of the built ones
(:mod:`layersmith.prove.twin`) unless the host has the target's architecture. There is no other
user, no limit on memory and no read-only /opt here; results say which runner they come from.
"""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Self

from layersmith import process
from layersmith.base import uv
from layersmith.engine import emulation
from layersmith.errors import ProofError
from layersmith.prove.base_images import runtime_packages
from layersmith.prove.models import RunnerFacts
from layersmith.prove.runners import environment
from layersmith.prove.runners.closing import Closing
from layersmith.prove.runners.instance import Instance
from layersmith.prove.runners.process import HostProcess
from layersmith.prove.runners.runtime_api import RuntimeApi
from layersmith.prove.runners.unpack import Store

if TYPE_CHECKING:
    from layersmith.base.runtimes import Runtime
    from layersmith.prove.models import FunctionSpec


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
        self._packages = runtime_packages.folder(runtime, self.architecture)
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
        found = environment.variables(
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

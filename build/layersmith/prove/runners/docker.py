"""Starts functions in containers that look like Lambda's execution environment."""

from __future__ import annotations

import contextlib
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Self

from layersmith import console
from layersmith.engine import emulation, processes
from layersmith.engine.client import Engine
from layersmith.engine.models import ContainerSpec, Sandbox
from layersmith.prove import base_images
from layersmith.prove.base_images import standin
from layersmith.prove.layer_zip import Store
from layersmith.prove.models import TEMPORARY_BYTES, RunnerFacts
from layersmith.prove.runners import runtime_api
from layersmith.prove.runners.instance import Instance
from layersmith.prove.runners.runtime_api import Closing, RuntimeApi

if TYPE_CHECKING:
    from layersmith.base.runtimes import Runtime
    from layersmith.engine.client import Network
    from layersmith.prove.models import FunctionSpec

DESKTOP_HOST = "host.docker.internal"
"""The host's name in containers of an engine within a virtual machine (Docker Desktop)."""


class DockerRunner(Closing):
    """Runs functions of one runtime in Docker; a context manager that leaves nothing behind.

    The layers are at /opt, the function at /var/task, both read-only; the user has no
    privileges; the network is the run's own and leads to this machine alone.

    Args:
        runtime: The Lambda runtime.
        architecture: ``arm64`` or ``x86_64``.
        image: Name of an image instead of the one that would be chosen.
        cpus: Processors a function may use; None for all.

    Raises:
        ProofError: No engine answers, or there is no image.
    """

    def __init__(
        self,
        runtime: Runtime,
        architecture: str = "arm64",
        *,
        image: str | None = None,
        cpus: float | None = None,
    ) -> None:
        self.runtime = runtime
        self.architecture = architecture
        self.run = secrets.token_hex(6)
        self._cpus = cpus
        self._engine = Engine(self.run)
        self._image = base_images.choose(self._engine, runtime, architecture, image)
        self.emulation = emulation.of(architecture, self._engine.facts.architecture)
        self._opened = contextlib.ExitStack()
        self._network: Network | None = None
        self._folder = Path()
        self._store = Store(self._folder)
        self._isolated = True

    def __enter__(self) -> Self:
        self._opened.callback(self._engine.sweep)
        try:
            self._engine.sweep_orphans()
            # Within the home folder: engines in virtual machines see nothing else of this machine.
            self._folder = Path(self._opened.enter_context(processes.workspace()))
            self._store = Store(self._folder)
            self._open_network()
        except BaseException:
            self.close()
            raise
        if self.emulation.warning:
            console.warn(self.emulation.warning)
        return self

    def close(self) -> None:
        """Remove every container, network and folder of this run."""
        self._opened.close()

    @property
    def facts(self) -> RunnerFacts:
        """Which image runs, and how."""
        emulator = None if self.emulation.native else (self.emulation.emulator or "unknown")
        return RunnerFacts(
            kind="docker",
            runtime=self.runtime.name,
            architecture=self.architecture,
            image=self._image.described,
            image_id=self._image.facts.id,
            emulator=emulator,
        )

    @property
    def service_host(self) -> str:
        """Address on which a server of this machine must listen to be reached by functions."""
        return self._gateway if self._isolated else "127.0.0.1"

    @property
    def service_name(self) -> str:
        """Name under which functions reach this machine."""
        return self._gateway if self._isolated else DESKTOP_HOST

    def start(self, spec: FunctionSpec) -> Instance:
        """Start a function and wait until it asks for its first event, or fails.

        Raises:
            ProofError: The engine does not start it, or the image cannot run here.
        """
        opt = self._store.opt(spec.layers)
        api = RuntimeApi(self.service_host, spec.name)
        api.__enter__()
        process = None
        try:
            process = self._engine.start(self._container(spec, api, opt), on_exit=api.wake)
            return Instance(spec, api, process, time_scale=self.emulation.time_scale)
        except BaseException:
            if process is not None:
                process.remove()
            api.close()
            raise

    def _container(self, spec: FunctionSpec, api: RuntimeApi, opt: Path) -> ContainerSpec:
        return ContainerSpec(
            image=self._image.facts.id,
            called=self._image.facts.name,
            command=[spec.handler],
            environment=runtime_api.environment(
                spec,
                api=f"{self.service_name}:{api.port}",
                runtime=self.runtime.name,
                task="/var/task",
                runtime_folder="/var/runtime",
                libraries=runtime_api.LIBRARY_PATH,
            ),
            mounts={"/opt": opt, "/var/task": spec.code.resolve()},
            network=self._network.name if self._network else None,
            uid=standin.SANDBOX_UID,
            gid=standin.SANDBOX_GID,
            sandbox=Sandbox(
                memory=spec.memory * 1024 * 1024 + self.emulation.memory_allowance,
                temporary=TEMPORARY_BYTES,
            ),
            cpus=self._cpus,
            architecture=self.architecture,
            extra_hosts={} if self._isolated else {DESKTOP_HOST: "host-gateway"},
        )

    def _open_network(self) -> None:
        self._network = self._engine.create_network(internal=True)
        self._gateway = self._network.gateway
        self._isolated = _can_listen(self._gateway)
        if not self._isolated:
            self._network.remove()
            self._network = self._engine.create_network(internal=False)


def _can_listen(host: str) -> bool:
    """Return whether the address belongs to this machine, and not to a virtual one."""
    try:
        RuntimeApi(host).close()
    except OSError:
        return False
    return True

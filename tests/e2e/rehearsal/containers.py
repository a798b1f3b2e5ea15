"""Runs a task's supervisor in a container of the real image, as its task definition would."""

from __future__ import annotations

import contextlib
import tempfile
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from layersmith.engine import emulation

from tests.support.server_image import build

if TYPE_CHECKING:
    from collections.abc import Mapping

SIGNAL_EXIT = 128
"""A container that a signal ends exits with 128 and the signal's number, as ECS reports it."""


@dataclass
class ContainerServer:
    """A supervisor in a container."""

    container: Any

    def exit_code(self) -> int | None:
        """None while it runs."""
        import docker.errors

        try:
            self.container.reload()
        except docker.errors.NotFound:
            return SIGNAL_EXIT
        state = self.container.attrs["State"]
        return None if state["Running"] else int(state["ExitCode"])

    def terminate(self) -> None:
        """Send SIGTERM."""
        self.container.kill("SIGTERM")

    def kill(self) -> None:
        """Send SIGKILL."""
        self.container.kill("SIGKILL")

    def log(self) -> str:
        """What it wrote."""
        return str(self.container.logs().decode("utf-8", "replace"))

    def remove(self) -> None:
        """Leave nothing behind."""
        with contextlib.suppress(Exception):
            self.container.remove(force=True, v=True)


@dataclass
class DockerLauncher:
    """Starts supervisors in containers of this machine's architecture.

    Attributes:
        environment: For every task, over what its definition says: endpoint, credentials.
        network: Name of the network that the functions are in, too.
        run: Value of the label ``layersmith.run``.
    """

    environment: Mapping[str, str]
    network: str
    run: str = field(default_factory=lambda: f"e2e-{uuid.uuid4().hex[:8]}")
    servers: list[ContainerServer] = field(default_factory=list)
    _image: str = ""

    def __post_init__(self) -> None:
        import docker

        self._client = docker.from_env()
        self._image = self._build()

    @property
    def labels(self) -> dict[str, str]:
        """By which everything of this run is found."""
        return {"layersmith.run": self.run}

    def start(self, task_id: str, environment: Mapping[str, str], metadata: str) -> ContainerServer:
        """Start one, read-only and without privileges."""
        container = self._client.containers.run(
            self._image,
            detach=True,
            name=f"{self.run}-{task_id[:8]}",
            labels=self.labels,
            network=self.network,
            read_only=True,
            cap_drop=["ALL"],
            security_opt=["no-new-privileges"],
            environment={
                **environment, **self.environment, "ECS_CONTAINER_METADATA_URI_V4": metadata,
            },
        )  # fmt: skip
        server = ContainerServer(container)
        self.servers.append(server)
        return server

    def left(self) -> list[str]:
        """Names of this run's containers that still run."""
        listed = self._client.containers.list(filters={"label": f"layersmith.run={self.run}"})
        return [str(one.name) for one in listed]

    def close(self) -> None:
        """Stop and remove whatever is there, the image included."""
        for server in self.servers:
            server.remove()
        with contextlib.suppress(Exception):
            self._client.images.remove(self._image, force=True)
        self._client.close()

    def _build(self) -> str:
        with tempfile.TemporaryDirectory(prefix="layersmith-image-") as folder:
            architecture = emulation.host_architecture()
            context = Path(folder) / "context"
            return build(self._client, self.run, architecture, context, self.labels)

"""The engine: what it has, what it can fetch, and how a container is started.

This module and containers are the only ones that know the docker package.

Everything made here carries labels: the run it belongs to, and the process that made it. What a
killed run left behind is found by them and removed by the next one.
"""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Any

import docker
from docker import errors
from docker.types import Mount, Ulimit

from layersmith import process
from layersmith.base import architectures
from layersmith.engine import owner
from layersmith.engine.containers import Container, Network, complaint, discard
from layersmith.engine.models import ContainerSpec, EngineFacts, ImageFacts
from layersmith.engine.refusals import refusal
from layersmith.errors import ProofError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from docker.models.containers import Container as DockerContainer

    from layersmith.engine.models import Exit, Sandbox

RUN_LABEL = "layersmith.run"
OWNER_LABEL = "layersmith.owner"

LAST_LINES = 5.0
"""Seconds in which the engine hands over what a container wrote before it ended."""

PATIENCE = 0.2
"""Seconds between two looks for Ctrl-C while a container runs."""


class Engine:
    """A Docker engine that answers.

    Raises:
        ProofError: None does.
    """

    def __init__(self, run: str) -> None:
        self.run = run
        try:
            self._client = docker.from_env(timeout=60)
            version = self._client.version()
        except errors.DockerException as problem:
            raise ProofError(
                "no Docker engine answers",
                cause="it is not installed, not started, or not yours to use:"
                f" {complaint(problem)}",
                hint="start Docker (`python build/layers.py doctor` says how), or use the host"
                " runner with --runner host",
            ) from problem
        self.facts = EngineFacts(
            version=str(version.get("Version", "")),
            architecture=architectures.named(str(version.get("Arch"))),
            system=str(version.get("Os", "")),
        )

    def image(self, name: str) -> ImageFacts | None:
        """Return what is known of an image that the engine has, or None."""
        try:
            found = self._client.images.get(name)
        except errors.ImageNotFound:
            return None
        digests = found.attrs.get("RepoDigests") or []
        return ImageFacts(
            name=name,
            id=str(found.id),
            digest=digests[0].partition("@")[2] if digests else None,
            architecture=architectures.named(str(found.attrs.get("Architecture"))),
            labels=dict(found.labels or {}),
        )

    def load(self, archive: Path) -> None:
        """Load an archive in the format of ``docker save``."""
        with archive.open("rb") as stream:
            self._client.images.load(stream)

    def pull(self, name: str, architecture: str) -> ImageFacts:
        """Fetch an image.

        Raises:
            ProofError: The registry does not answer, or has no such image.
        """
        try:
            self._client.images.pull(name, platform=architectures.get(architecture).docker)
        except errors.APIError as problem:
            raise ProofError(
                f"the image {name} could not be fetched",
                cause=complaint(problem),
                hint="run `nox -s image` for a stand-in, or name an image with --image",
            ) from problem
        found = self.image(name)
        if found is None:
            raise ProofError(f"the engine fetched {name} and does not have it")
        return found

    def registry_digest(self, name: str, architecture: str) -> str:
        """Return the digest that a registry has for an image on one architecture.

        Raises:
            ProofError: The registry does not answer, or has none for it.
        """
        try:
            data = self._client.images.get_registry_data(name)
        except errors.APIError as problem:
            raise ProofError(
                f"the registry gave no answer for {name}", cause=complaint(problem)
            ) from problem
        if not data.has_platform(architectures.get(architecture).docker):  # type: ignore[no-untyped-call]
            raise ProofError(
                f"{name} is not available for {architectures.get(architecture).docker}"
            )
        return str(data.id)

    def create_network(self, *, internal: bool) -> Network:
        """Make a network of this run; from an internal one, only the host can be reached."""
        name = f"layersmith-{self.run}" + ("" if internal else "-open")
        try:
            made = self._client.networks.create(
                name, driver="bridge", internal=internal, labels=self._labels
            )
        except errors.APIError as problem:
            raise ProofError(
                "the engine could not make a network",
                cause=complaint(problem),
                hint="`docker network prune` frees address ranges that nothing uses",
            ) from problem
        return Network(made)

    def start(self, spec: ContainerSpec, on_exit: Callable[[], None]) -> Container:
        """Create a container and start it.

        Args:
            spec: How.
            on_exit: Called from another thread when it has ended.

        Raises:
            ProofError: The engine refuses: no such image, no such platform, no entry point, or
                no handler for the image's architecture.
        """
        created: DockerContainer | None = None
        try:
            created = self._client.containers.create(**arguments(spec, self._labels))
            created.start()
            return Container(created, spec, on_exit)
        except errors.APIError as problem:
            discard(created)
            raise refusal(spec, complaint(problem)) from problem
        except BaseException:
            discard(created)
            raise

    def run_to_end(
        self, spec: ContainerSpec, repeat: Callable[[str], None] | None = None
    ) -> tuple[Exit | None, str]:
        """Run a container, wait for its end, and remove it whatever happens.

        Args:
            spec: How; ``longest`` is how long it may take.
            repeat: Called from another thread with each line that it writes.

        Returns:
            How it ended, None where that was by the clock, and all that it wrote.

        Raises:
            ProofError: The engine refuses to start it.
            KeyboardInterrupt: Somebody pressed Ctrl-C, in whatever thread this runs.
        """
        container = self.start(spec, on_exit=lambda: None)
        try:
            follower = container.follow(repeat) if repeat is not None else None
            late = time.monotonic() + spec.longest
            while (ended := container.wait(PATIENCE)) is None and time.monotonic() < late:
                if process.was_interrupted():
                    raise KeyboardInterrupt
            if ended is not None and follower is not None:
                follower.join(LAST_LINES)
            return ended, container.logs().decode("utf-8", "replace")
        finally:
            container.remove()

    def sweep(self) -> None:
        """Remove everything of this run."""
        self._remove(f"{RUN_LABEL}={self.run}")

    def sweep_orphans(self) -> None:
        """Remove what processes of this machine left that live no more."""
        for maker in set(self._owners()):
            if owner.is_dead(maker):
                self._remove(f"{OWNER_LABEL}={maker}")

    @property
    def _labels(self) -> dict[str, str]:
        return {RUN_LABEL: self.run, OWNER_LABEL: owner.this_process()}

    def _owners(self) -> Iterator[str]:
        wanted: dict[str, str | list[str] | bool] = {"label": OWNER_LABEL}
        for one in self._client.containers.list(all=True, filters=wanted, ignore_removed=True):
            yield one.labels[OWNER_LABEL]
        for network in self._client.networks.list(filters=wanted):
            yield (network.attrs.get("Labels") or {}).get(OWNER_LABEL, "")

    def _remove(self, label: str) -> None:
        with contextlib.suppress(errors.APIError):
            filters: dict[str, str | list[str] | bool] = {"label": label}
            for one in self._client.containers.list(all=True, filters=filters, ignore_removed=True):
                with contextlib.suppress(errors.APIError):
                    one.remove(force=True, v=True)
            for network in self._client.networks.list(filters=filters):
                with contextlib.suppress(errors.APIError):
                    network.remove()


def arguments(spec: ContainerSpec, labels: dict[str, str]) -> dict[str, Any]:
    """Return what the docker package is told to make a container."""
    found: dict[str, Any] = {
        "image": spec.image,
        "command": spec.command,
        "environment": spec.environment,
        "labels": labels,
        "user": f"{spec.uid}:{spec.gid}",
        # As on Lambda, the runtime is not the first process: the kernel shields that one from
        # its own signals, so that one that crashed under an emulator would hang.
        "init": True,
        "mounts": [
            Mount(inside, str(outside), type="bind", read_only=folders is spec.mounts)
            for folders in (spec.mounts, spec.outputs)
            for inside, outside in folders.items()
        ],
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges"],
        "extra_hosts": spec.extra_hosts,
    }
    if spec.sandbox is not None:
        found |= _limits(spec.sandbox)
    if spec.network is None:
        found["network_mode"] = "none"
    else:
        found["network"] = spec.network
    if spec.entrypoint is not None:
        found["entrypoint"] = spec.entrypoint
    if spec.cpus is not None:
        found["nano_cpus"] = int(spec.cpus * 1e9)
    if spec.architecture is not None:
        found["platform"] = architectures.get(spec.architecture).docker
    return found


def _limits(sandbox: Sandbox) -> dict[str, Any]:
    return {
        "read_only": True,
        "tmpfs": {"/tmp": f"size={sandbox.temporary},mode=1777"},  # noqa: S108 -- in there
        "mem_limit": sandbox.memory,
        "memswap_limit": sandbox.memory,
        # Lambda has no /dev/shm, allows 1,024 threads and 1,024 files (AWS Lambda quotas).
        "ipc_mode": "none",
        "pids_limit": 1024,
        "ulimits": [Ulimit(name="nofile", soft=1024, hard=1024)],
    }

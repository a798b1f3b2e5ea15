"""Speaks to a Docker engine: its images, and networks and containers while they exist.

This module is the only one that knows the docker package.

Everything made here carries labels: the run it belongs to, and the process that made it. What a
killed run left behind is found by them and removed by the next one.
"""

from __future__ import annotations

import contextlib
import threading
import time
from typing import TYPE_CHECKING, Any

import docker
from docker import errors
from docker.types import Mount, Ulimit

from layersmith import process
from layersmith.base import architectures
from layersmith.engine import processes
from layersmith.engine.models import ContainerSpec, EngineFacts, Exit, ImageFacts, refusal, seconds
from layersmith.errors import ProofError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from docker.models.containers import Container as DockerContainer
    from docker.models.networks import Network as DockerNetwork

    from layersmith.engine.models import Sandbox

SLACK = 60.0
"""Seconds by which the request that waits for a container outlives the clock of its caller."""


class Network:
    """A Docker network of one run."""

    def __init__(self, network: DockerNetwork) -> None:
        self._network = network
        network.reload()
        self.name: str = str(network.name)

    @property
    def gateway(self) -> str:
        """Address of the host in this network."""
        return str(self._network.attrs["IPAM"]["Config"][0]["Gateway"]).partition("/")[0]

    def remove(self) -> None:
        """Remove it; that it is gone already is not an error."""
        with contextlib.suppress(errors.APIError):
            self._network.remove()


class Container:
    """A started container. Its end is waited for by a thread of its own.

    Args:
        container: As the docker package has it, started.
        spec: How it was started.
        on_exit: Called by that thread when it has ended.
    """

    def __init__(
        self, container: DockerContainer, spec: ContainerSpec, on_exit: Callable[[], None]
    ) -> None:
        self._container = container
        self._spec = spec
        self._on_exit = on_exit
        container.reload()
        self.started_at = seconds(container.attrs["State"]["StartedAt"])
        self._exit: Exit | None = None
        self._ended = threading.Event()
        self._waiter = threading.Thread(target=self._wait, daemon=True)
        self._waiter.start()

    @property
    def id(self) -> str:
        """Identifier in the engine."""
        return str(self._container.id)

    @property
    def exit(self) -> Exit | None:
        """How it ended; None while it runs."""
        return self._exit

    def wait(self, timeout: float) -> Exit | None:
        """Wait for its end, at most ``timeout`` seconds; return how it ended, or None."""
        self._ended.wait(timeout)
        return self._exit

    def follow(self, repeat: Callable[[str], None]) -> threading.Thread:
        """Hand over each line that it writes, from a thread that ends with it."""
        follower = threading.Thread(target=self._repeat, args=(repeat,), daemon=True)
        follower.start()
        return follower

    def logs(self) -> bytes:
        """Return what it wrote to standard output and error so far."""
        try:
            return bytes(self._container.logs())
        except errors.APIError:
            return b""

    def peak_memory(self) -> int | None:
        """Return the largest resident size among its processes in bytes; None if unknown."""
        on_host = processes.peak_memory_of_container(
            self._container.attrs["State"].get("Pid") or 0, self.id
        )
        if on_host is not None:
            return on_host
        with contextlib.suppress(errors.APIError):
            done = self._container.exec_run(["sh", "-c", "cat /proc/[0-9]*/status"])
            return processes.high_water_mark(bytes(done.output).decode())  # type: ignore[arg-type]
        return None

    def refusal(self, said: str) -> ProofError:
        """Return the error for a container that started and never became a runtime."""
        return refusal(self._spec, said)

    def kill(self) -> None:
        """End it at once and wait until it is gone."""
        with contextlib.suppress(errors.APIError):
            self._container.kill()
        self._ended.wait(timeout=10)

    def remove(self) -> None:
        """Remove it, running or not; that it is gone already is not an error."""
        discard(self._container)

    def _repeat(self, repeat: Callable[[str], None]) -> None:
        begun = b""
        with contextlib.suppress(errors.APIError):
            for chunk in self._container.logs(stream=True, follow=True):
                *lines, begun = (begun + chunk).split(b"\n")
                for line in lines:
                    repeat(line.decode("utf-8", "replace").rstrip())
        if begun:
            repeat(begun.decode("utf-8", "replace"))

    def _wait(self) -> None:
        try:
            # Whoever has a clock for it ends it first: this is the request's own limit.
            longest = self._spec.longest + SLACK
            code = int(self._container.wait(timeout=longest)["StatusCode"])
            self._container.reload()
            state = self._container.attrs["State"]
            self._exit = Exit(code, bool(state.get("OOMKilled")))
        except Exception:  # the engine went away, or somebody removed the container
            self._exit = Exit(-1)
        finally:
            self._ended.set()
            self._on_exit()


def discard(created: DockerContainer | None) -> None:
    """Remove a container that may not have been made; that it is gone already is not an error."""
    if created is not None:
        with contextlib.suppress(errors.APIError):
            created.remove(force=True, v=True)


def complaint(problem: Exception) -> str:
    """Return what an engine complains of, without the address it was asked at."""
    text = str(getattr(problem, "explanation", None) or problem)
    return text.strip().splitlines()[0][:500] if text.strip() else type(problem).__name__


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
            if processes.is_dead(maker):
                self._remove(f"{OWNER_LABEL}={maker}")

    @property
    def _labels(self) -> dict[str, str]:
        return {RUN_LABEL: self.run, OWNER_LABEL: processes.this_process()}

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

"""Networks and containers of a Docker engine, while they exist."""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING

from docker import errors

from layersmith.engine import memory
from layersmith.engine.models import Exit, seconds
from layersmith.engine.refusals import refusal

if TYPE_CHECKING:
    from collections.abc import Callable

    from docker.models.containers import Container as DockerContainer
    from docker.models.networks import Network as DockerNetwork

    from layersmith.engine.models import ContainerSpec
    from layersmith.errors import ProofError

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
        on_host = memory.of_container(self._container.attrs["State"].get("Pid") or 0, self.id)
        if on_host is not None:
            return on_host
        with contextlib.suppress(errors.APIError):
            done = self._container.exec_run(["sh", "-c", "cat /proc/[0-9]*/status"])
            return memory.high_water_mark(bytes(done.output).decode())  # type: ignore[arg-type]
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

"""Starts functions behind the Runtime API: in containers, or as processes of this machine.

Here stands what the runners have in common, and which one to take.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, Self

if TYPE_CHECKING:
    from types import TracebackType

    from layersmith.base.runtimes import Runtime
    from layersmith.engine.emulation import Emulation
    from layersmith.prove.models import FunctionSpec, RunnerFacts, RunnerKind
    from layersmith.prove.runners.instance import Instance


class Runner(Protocol):
    """Starts functions of one runtime; a context manager that leaves nothing behind."""

    runtime: Runtime
    architecture: str
    """What really runs, ``arm64`` or ``x86_64``."""
    emulation: Emulation

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        problem: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...

    @property
    def facts(self) -> RunnerFacts:
        """What the results are to say of it."""

    @property
    def service_host(self) -> str:
        """Address on which a server of this machine must listen to be reached by functions."""

    @property
    def service_name(self) -> str:
        """Name under which functions reach this machine."""

    def start(self, spec: FunctionSpec) -> Instance:
        """Start a function and wait until it asks for its first event, or fails."""


def make(
    kind: RunnerKind, runtime: Runtime, architecture: str, *, image: str | None = None
) -> Runner:
    """Return a runner that is not yet open.

    Args:
        kind: ``docker`` or ``host``.
        runtime: The Lambda runtime.
        architecture: What the layers are built for.
        image: Name of an image, for the Docker runner.

    Raises:
        ProofError: It cannot work on this machine.
    """
    if kind == "host":
        from layersmith.prove.runners.host import HostRunner  # noqa: PLC0415 -- start-up time

        return HostRunner(runtime, architecture)
    from layersmith.prove.runners.docker import DockerRunner  # noqa: PLC0415 -- start-up time

    return DockerRunner(runtime, architecture, image=image)

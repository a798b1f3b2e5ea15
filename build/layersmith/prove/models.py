"""A function, and what came of starting and invoking it, as data.

Durations are milliseconds, sizes are bytes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

INIT_LIMIT = 10.0
"""Seconds that Lambda gives to the initialization of a function (AWS Lambda quota)."""

TEMPORARY_BYTES = 512 * 1024 * 1024
"""Bytes of /tmp where a function does not ask for more (AWS Lambda default)."""

RunnerKind = Literal["docker", "host"]


@dataclass(frozen=True)
class FunctionSpec:
    """A function as Lambda would be told about it.

    Attributes:
        handler: ``module.function`` below ``code``.
        code: Folder that becomes /var/task.
        layers: Zips of layers, or folders of unpacked ones, in the order in which Lambda lays
            them over each other at /opt.
        memory: Memory in MB (MiB, as Lambda counts).
        timeout: Seconds until Lambda ends an invocation.
        environment: Its own environment variables.
        name: Its name.
    """

    handler: str
    code: Path
    layers: tuple[Path, ...] = ()
    memory: int = 512
    timeout: float = 30.0
    environment: Mapping[str, str] = field(default_factory=dict)
    name: str = "function"


class Result(BaseModel):
    """Base of all results."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class FunctionError(Result):
    """What went wrong in a function, in Lambda's terms."""

    type: str
    """``Runtime.ExitError``, ``Sandbox.Timedout``, or the class of the exception."""
    message: str
    trace: list[str] = []
    """The stack trace, a frame a line, as the runtime sent it."""

    def __str__(self) -> str:
        return f"{self.type}: {self.message}"


class InitResult(Result):
    """How a runtime came up."""

    duration_ms: float
    """From the start of the runtime to its first request for an event, or to its failure."""
    error: FunctionError | None = None

    @property
    def ok(self) -> bool:
        """Whether the function waits for events."""
        return self.error is None


class InvokeResult(Result):
    """What came back for one event."""

    request_id: str
    payload: Any = None
    """The response, from JSON; None where there is an error."""
    error: FunctionError | None = None
    duration_ms: float
    """From the hand-out of the event to the complete answer."""
    peak_memory: int | None = None
    """Largest resident size of the runtime so far in bytes; under emulation with the emulator's
    own. None where it could not be read."""

    @property
    def ok(self) -> bool:
        """Whether the function answered."""
        return self.error is None


class RunnerFacts(Result):
    """Which runner started a function, and on what."""

    kind: RunnerKind
    runtime: str
    architecture: str
    """Of the programs that ran, ``arm64`` or ``x86_64``."""
    image: str | None = None
    """The image, described; None for the host runner."""
    image_id: str | None = None
    interpreter: str | None = None
    """The interpreter of the host runner."""
    emulator: str | None = None
    """``QEMU 10.0.2``, or ``unknown``; None where it ran natively."""
    twin: bool = False
    """Whether a twin of the layer, for the host's architecture, ran in its place: no proof that
    the layer itself starts."""

    @property
    def described(self) -> str:
        """One line for people."""
        if self.twin:
            return f"host twin ({self.architecture}): not a proof of the built architecture"
        how = f"emulated by {self.emulator}" if self.emulator else "native"
        what = self.image or f"host interpreter {self.interpreter}"
        return f"{what}, {self.architecture} {how}"

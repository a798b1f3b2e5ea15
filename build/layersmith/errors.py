"""The errors of layersmith and the exit codes they carry.

Only the command line catches them, prints them and exits: a room raises, and never prints.
"""

from __future__ import annotations

from typing import ClassVar

EXIT_BUG = 1
EXIT_INTERRUPTED = 130
"""128 + SIGINT, the convention of POSIX shells."""


class LayersmithError(Exception):
    """Something the user can act on.

    Args:
        message: What happened, in one sentence.
        target: Identifier of the target it happened to, such as
            ``chromadb-vector-python3.13-arm64``; None where it concerns the whole run.
        cause: The likely cause, in one sentence.
        hint: What to do next, as a sentence or a command.
    """

    exit_code: ClassVar[int] = EXIT_BUG

    def __init__(
        self,
        message: str,
        *,
        target: str | None = None,
        cause: str | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.target = target
        self.cause = cause
        self.hint = hint

    def __str__(self) -> str:
        lines = [f"{self.target}: {self.message}" if self.target else self.message]
        if self.cause:
            lines.append(f"  likely cause: {self.cause}")
        if self.hint:
            lines.append(f"  next: {self.hint}")
        return "\n".join(lines)


class ConfigError(LayersmithError):
    """layers.yaml, or the command line, asks for something that cannot be."""

    exit_code = 2


class LockError(LayersmithError):
    """Requirements do not resolve, or a lock does not fit its inputs."""

    exit_code = 4


class BuildError(LayersmithError):
    """A target could not be assembled."""

    exit_code = 5


class AuditError(LayersmithError):
    """A layer holds what its runtime cannot load."""

    exit_code = 6


class BudgetError(LayersmithError):
    """A layer or a function is larger or slower than it may be."""

    exit_code = 7


class ProofError(LayersmithError):
    """A layer failed when it was started, or could not be started."""

    exit_code = 8


class ShipError(LayersmithError):
    """AWS, or a release, is not in the state that was asked for."""

    exit_code = 9


class ManyErrors(LayersmithError):
    """Several targets failed; the exit code is that of the first error.

    Args:
        errors: The errors in the order of their targets, at least one.
    """

    def __init__(self, errors: list[LayersmithError]) -> None:
        super().__init__(f"{len(errors)} targets failed")
        self.errors = errors

    @property
    def code(self) -> int:
        """The exit code of the first error."""
        return self.errors[0].exit_code

    def __str__(self) -> str:
        return "\n".join(str(error) for error in self.errors)

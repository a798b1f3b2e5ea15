"""The errors of layersmith and the exit codes they carry.

Only the command line catches them, prints them and exits: a room raises, and never prints.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

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
        file: The file that is wrong, with ``line`` and ``column`` counted from 1.
        line: See ``file``.
        column: See ``file``.
        parts: The problems one by one, where the message lists several.
    """

    exit_code: ClassVar[int] = EXIT_BUG
    category: ClassVar[str] = "bug"
    """What `--json` calls errors of this class."""

    def __init__(
        self,
        message: str,
        *,
        target: str | None = None,
        cause: str | None = None,
        hint: str | None = None,
        file: str | None = None,
        line: int | None = None,
        column: int | None = None,
        parts: Sequence[LayersmithError] = (),
    ) -> None:
        super().__init__(message)
        self.message = message
        self.target = target
        self.cause = cause
        self.hint = hint
        self.place = (file, line, column)
        self.parts = tuple(parts)

    def records(self) -> list[dict[str, Any]]:
        """Return it as `--json` lists it: one entry a problem."""
        if self.parts:
            return [record for part in self.parts for record in part.records()]
        return [
            {
                "code": self.exit_code,
                "kind": self.category,
                "target": self.target,
                "message": self.message,
                "cause": self.cause,
                "next": self.hint,
                **dict(zip(("file", "line", "column"), self.place, strict=True)),
            }
        ]

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
    category = "config"


class Interrupted(LayersmithError):
    """Somebody pressed Ctrl-C."""

    exit_code = EXIT_INTERRUPTED
    category = "interrupted"


class UsageError(ConfigError):
    """The command line cannot be read."""

    category = "usage"


class NotInstalledError(LayersmithError):
    """A package or program that the verb needs is not installed."""

    exit_code = 3
    category = "setup"


class MachineError(LayersmithError):
    """A file or folder of this machine cannot be used: no permission, no space, not there."""

    exit_code = 3
    category = "setup"


class LockError(LayersmithError):
    """Requirements do not resolve, or a lock does not fit its inputs."""

    exit_code = 4
    category = "lock"


class BuildError(LayersmithError):
    """A target could not be assembled."""

    exit_code = 5
    category = "build"


class AuditError(LayersmithError):
    """A layer holds what its runtime cannot load."""

    exit_code = 6
    category = "audit"


class BudgetError(LayersmithError):
    """A layer or a function is larger or slower than it may be.

    Args:
        message: As of `LayersmithError`, like what is not named here.
        key: Which key of the layer says so, such as ``budgets.zipped``; the hint names it.
    """

    exit_code = 7
    category = "budget"

    def __init__(self, message: str, *, key: str | None = None, **more: Any) -> None:
        super().__init__(message, **more)
        self.key = key

    def locate(self, where: Callable[[str], tuple[Path, int, int]]) -> None:
        """Say in the hint, and for `--json`, where in layers.yaml the key stands.

        Args:
            where: Returns the place of a key of the layer.
        """
        for part in self.parts or (self,):
            if isinstance(part, BudgetError) and part.key:
                file, line, column = where(part.key)
                part.place = (str(file), line, column)
                named = f"{part.key} ({file.name}:{line}:{column})"
                self.hint = (self.hint or "").replace(part.key, named)
                if part is not self:
                    part.hint = (part.hint or "").replace(part.key, named)


class ProofError(LayersmithError):
    """A layer failed when it was started, or could not be started."""

    exit_code = 8
    category = "proof"


class ShipError(LayersmithError):
    """AWS, or a release, is not in the state that was asked for."""

    exit_code = 9
    category = "ship"


class ManyErrors(LayersmithError):
    """Several targets failed; the exit code is that of the first error.

    Args:
        errors: The errors in the order of their targets, at least one.
    """

    def __init__(self, errors: list[LayersmithError]) -> None:
        super().__init__(f"{len(errors)} targets failed", parts=errors)
        self.errors = errors

    @property
    def code(self) -> int:
        """The exit code of the first error."""
        return self.errors[0].exit_code

    def __str__(self) -> str:
        return "\n".join(str(error) for error in self.errors)


def closest(name: str, known: Iterable[str], cutoff: float = 0.6) -> str | None:
    """Return the known name that a misspelt one probably stands for, None where none is close.

    Args:
        name: What was written.
        known: What could have been.
        cutoff: Similarity from 0 to 1 below which no name is proposed.
    """
    import difflib  # noqa: PLC0415 -- start-up time, which every verb would pay

    return next(iter(difflib.get_close_matches(name, list(known), n=1, cutoff=cutoff)), None)


def did_you_mean(name: str, known: Iterable[str], otherwise: str = "") -> str:
    """Return ``did you mean X?`` for the closest known name, and ``otherwise`` where none is."""
    close = closest(name, known)
    return f"did you mean {close}?" if close else otherwise

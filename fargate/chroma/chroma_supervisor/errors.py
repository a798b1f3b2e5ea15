"""What ends a session early, each with the exit code of the process."""

from __future__ import annotations

from typing import ClassVar

EXIT_DONE = 0
"""The pointer names the session's data, or the session changed nothing."""

EXIT_BUG = 1


class SupervisorError(Exception):
    """A reason to end the process that its operator can act on.

    Args:
        message: What happened and what to do next, in one or two sentences.
    """

    exit_code: ClassVar[int] = 1


class SettingsError(SupervisorError):
    """The environment does not describe a session."""

    exit_code = 2


class NobodyWaitsError(SupervisorError):
    """Step Functions says that the task token is not waited for any more."""

    exit_code = 3


class StartError(SupervisorError):
    """The data could not be restored or replayed, so nothing was served."""

    exit_code = 4


class FlipError(SupervisorError):
    """The session's data did not become the database's current snapshot."""

    exit_code = 5


class ServerError(SupervisorError):
    """The Chroma server would not start, or kept dying."""

    exit_code = 6

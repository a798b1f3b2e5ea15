"""Every error of the functions, the data store and the server, in one hierarchy.

A Step Functions state matches ``Retry`` and ``Catch`` on the class name; a function URL or an
API answers with the status; a container ends with the exit code. The classes therefore are part
of the interface of functions and server.
"""

from __future__ import annotations

from typing import ClassVar

EXIT_DONE = 0
"""The pointer names the session's data, or the session changed nothing."""

EXIT_BUG = 1

EXIT_UNCOUNTED = 7
"""As 0, but Chroma did not answer at the end: how many records there are is not known."""


class VectorError(Exception):
    """Anything that a function or the data store refuses or could not do."""

    status: ClassVar[int] = 500
    retryable: ClassVar[bool] = False


class BadRequest(VectorError):
    """The event is not what the function takes.

    Args:
        problems: One sentence a problem, each beginning with the place, ``records[3].id: ...``.
    """

    status = 400

    def __init__(self, *problems: str) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


class Unauthorized(VectorError):
    """The server's proxy did not take the session's token."""

    status = 401


class NotFound(VectorError):
    """A collection, a record, a snapshot or an object that is not there."""

    status = 404


class Conflict(VectorError):
    """What is stored contradicts what was asked for."""

    status = 409


class ModelMismatch(Conflict):
    """A text's vector would come from another embedding model than a collection's vectors do."""


class PreconditionFailed(Conflict):
    """A conditional write lost: the object is not the one that the writer had read."""


class Contended(Conflict):
    """Others kept writing an object that was to be updated."""

    retryable = True


class PayloadTooLarge(VectorError):
    """More than a limit allows."""

    status = 413


class TooManyRequests(VectorError):
    """The server's proxy asked to slow down."""

    status = 429
    retryable = True


class Unavailable(VectorError):
    """The server or the store did not answer, or not in time."""

    status = 503
    retryable = True


class StoreError(VectorError):
    """The store failed in a way that a retry may or may not fix."""

    status = 503
    retryable = True


class ServerBusy(Unavailable):
    """What state machines retry: the server asked to wait, or did not answer."""


class StorageBusy(StoreError):
    """What state machines retry: the store failed in a way that may pass."""


class StorageFull(VectorError):
    """The session's data has reached the largest snapshot that it accepts."""

    status = 507


class EmbedderFailed(VectorError):
    """The embedder of the deployment is missing, raised, or gave no vector."""

    status = 502


class ChromaFailed(VectorError):
    """Chroma gave an answer that is none of its API, or one that cannot be used."""

    status = 502


class Damaged(VectorError):
    """Stored bytes are not what their checksum, size or format says."""


class Refused(VectorError):
    """Stored data that would be unsafe, or is unsupported, to use here."""

    status = 409


REFUSALS: dict[int, type[VectorError]] = {
    401: Unauthorized,
    403: Unauthorized,
    413: PayloadTooLarge,
    507: StorageFull,
}
"""What these answers of a session's proxy mean to every client; each adds those that it treats in
its own way."""


class SupervisorError(VectorError):
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

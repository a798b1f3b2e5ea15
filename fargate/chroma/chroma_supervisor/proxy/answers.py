"""The proxy's own answers: one form for every refusal, the one Chroma uses for its errors."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from aiohttp import web
from vector_common.errors import PayloadTooLarge, TooManyRequests, Unauthorized, Unavailable

if TYPE_CHECKING:
    from vector_common.errors import VectorError


SERVER_NAME = "chroma-supervisor"
"""In place of aiohttp's and Python's versions."""


@dataclass(eq=False)
class Refusal(Exception):  # it is an answer, not a fault of this program
    """A request that is answered here and goes no further.

    Args:
        status: HTTP status code.
        kind: Name of the error for programs.
        message: What to change, for people.
        headers: Further headers of the answer.
        close: Whether to end the connection, as after a body that was not read.
    """

    status: int
    kind: str
    message: str
    headers: dict[str, str] = field(default_factory=dict)
    close: bool = False

    @classmethod
    def of(
        cls,
        kind: type[VectorError],
        message: str,
        headers: dict[str, str] | None = None,
        *,
        close: bool = False,
    ) -> Refusal:
        """A refusal that has its status and its name from the errors that clients raise for it."""
        return cls(kind.status, kind.__name__, message, headers or {}, close)

    def response(self) -> web.Response:
        """The refusal as a response with a JSON body."""
        answer = web.json_response(
            {"error": self.kind, "message": self.message},
            status=self.status,
            headers={"Server": SERVER_NAME, **self.headers},
        )
        if self.close:
            answer.force_close()
        return answer


def unauthorized(description: str | None) -> Refusal:
    """401 as RFC 6750 has it: without an error code where no token came at all."""
    challenge = 'Bearer realm="chroma session"'
    if description:
        challenge += f', error="invalid_token", error_description="{description}"'
    return Refusal.of(
        Unauthorized,
        description or "This session asks for its bearer token.",
        {"WWW-Authenticate": challenge},
        close=True,
    )


def too_large(limit: int) -> Refusal:
    """413; the rest of the body is not read."""
    return Refusal.of(
        PayloadTooLarge,
        f"A request's body may have at most {limit} bytes; send fewer records at once.",
        close=True,
    )


def unavailable(message: str) -> Refusal:
    """503 with a second to wait."""
    return Refusal.of(Unavailable, message, {"Retry-After": "1"})


def too_many(message: str, retry_after: int) -> Refusal:
    """429 with the seconds to wait."""
    return Refusal.of(TooManyRequests, message, {"Retry-After": str(retry_after)})

"""One Chroma client an execution environment, with an end to every wait.

chromadb's own HttpClient waits for ever: its HTTP session has no timeout, and making it sends
three requests. Here every wait ends, nothing is sent before the first call, and answers of the
session's proxy become this package's errors.
"""

from __future__ import annotations

import os
import re
from contextlib import contextmanager
from dataclasses import dataclass
from json import JSONDecodeError
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from vector_common.errors import (
    REFUSALS,
    BadRequest,
    ChromaFailed,
    Conflict,
    NotFound,
    ServerBusy,
    VectorError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from chromadb.api import ClientAPI

    from vector_common.tokens import Token

_STATUS: dict[int, type[VectorError]] = {
    **REFUSALS,
    429: ServerBusy,
    502: ServerBusy,
    503: ServerBusy,
    504: ServerBusy,
}


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A session's server: its base URL, and where its token lies ("" for a server without)."""

    address: str
    token_reference: str = ""


_current: tuple[Endpoint, Token | None, ClientAPI] | None = None


IN_LAMBDA = ("LAMBDA_TASK_ROOT", "AWS_LAMBDA_FUNCTION_NAME")
"""Variables that Lambda's runtime sets. In there a database of one execution environment would be
empty, and gone with it, so there is none unless CHROMA_CLIENT asks for it."""


def chroma_client(session: Mapping[str, Any] | None = None) -> ClientAPI:
    """The client of this execution environment.

    Args:
        session: The event's ``session``, ``{"address": ..., "tokenReference": ...}``. If None,
            CHROMA_URL and CHROMA_TOKEN_REFERENCE are used; and outside Lambda, or with
            CHROMA_CLIENT=full, where chromadb is installed whole, a local database in CHROMA_PATH,
            or in memory.

    Raises:
        BadRequest: The session is not one.
        Unauthorized: It is over.
        ServerBusy: No server is configured.
    """
    global _current  # noqa: PLW0603 -- of the execution environment
    endpoint = _endpoint(session)
    if endpoint is None:
        return _local()
    if _current and _current[0] == endpoint and not (_current[1] and _current[1].expired):
        return _current[2]
    token = None
    if endpoint.token_reference:
        from vector_common.tokens import read_token  # noqa: PLC0415 -- not every server has one

        token = read_token(endpoint.token_reference)
    client = _connect(endpoint, token)
    _current = endpoint, token, client
    return client


def forget() -> None:
    """Let the next call make a new client, and read the token again."""
    global _current  # noqa: PLW0603
    _current = None


@contextmanager
def chroma_errors(what: str) -> Iterator[None]:
    """Turn what chromadb and httpx raise into this package's errors.

    Args:
        what: Says in messages what was being done.
    """
    import chromadb.errors  # noqa: PLC0415 -- 0.3 s, loaded by now
    import httpx  # noqa: PLC0415

    try:
        yield
    except chromadb.errors.NotFoundError as error:
        raise NotFound(f"{what}: {error}") from None
    except httpx.TimeoutException as error:
        raise ServerBusy(f"{what}: the server did not answer in time ({error})") from None
    except httpx.TransportError as error:
        raise ServerBusy(f"{what}: the server cannot be reached ({error})") from None
    except chromadb.errors.ChromaError as error:
        code = error.code()
        kind = Conflict if code == 409 else BadRequest if code < 500 else ChromaFailed
        raise kind(f"{what}: {error}") from None
    except VectorError:
        raise
    except Exception as error:
        # chromadb checks arguments with plain ValueErrors and TypeErrors, and raises those, and
        # whatever JSON or its models raise, for answers that are none of Chroma's.
        checked = isinstance(error, ValueError | TypeError)
        kind = BadRequest if checked and not isinstance(error, JSONDecodeError) else ChromaFailed
        raise kind(f"{what}: {type(error).__name__}: {str(error)[:500]}") from None


def _endpoint(session: Mapping[str, Any] | None) -> Endpoint | None:
    if session is None:
        address = os.environ.get("CHROMA_URL", "")
        reference = os.environ.get("CHROMA_TOKEN_REFERENCE", "")
        if not address:
            return None
    else:
        address, reference = session.get("address", ""), session.get("tokenReference", "")
    if not isinstance(address, str) or not isinstance(reference, str):
        raise BadRequest("session: address and tokenReference must be strings")
    if not is_address(address):
        raise BadRequest("session.address: must be a plain http:// or https:// address")
    return Endpoint(address.rstrip("/"), reference)


def is_address(text: str) -> bool:
    """Whether a text is the address of a server: a scheme, a host, maybe a port, nothing more."""
    try:
        parts = urlsplit(text)
        port = parts.port  # raises for a port that is not a number, or out of range
    except ValueError:
        return False
    plain = not (parts.username or parts.query or parts.fragment or parts.path.strip("/"))
    host = parts.hostname or ""
    return (
        parts.scheme in {"http", "https"}
        and text.isascii()
        and text.isprintable()  # urlsplit leaves line breaks out
        and plain
        and port != 0
        and re.fullmatch(r"[A-Za-z0-9.-]{1,253}|[0-9a-f:.]{2,45}", host) is not None
    )


def _connect(endpoint: Endpoint, token: Token | None) -> ClientAPI:
    from chromadb.config import Settings  # noqa: PLC0415 -- 0.3 s; not every function needs it

    from vector_common.chroma_timed import timed_client  # noqa: PLC0415

    parts = urlsplit(endpoint.address)
    secure = parts.scheme == "https"
    settings = Settings(
        chroma_api_impl="chromadb.api.fastapi.FastAPI",
        chroma_server_host=parts.hostname,
        chroma_server_http_port=parts.port or (443 if secure else 80),
        chroma_server_ssl_enabled=secure,
        # Without TLS, certificates need not be read: 30 ms.
        chroma_server_ssl_verify=None if secure else False,
        chroma_server_headers={"Authorization": f"Bearer {token.value}"} if token else {},
        anonymized_telemetry=False,
    )
    return timed_client(settings, on_answer=_check_answer)


def _check_answer(answer: Any) -> None:
    """Raise for what the proxy answers; what Chroma answers is chromadb's to explain."""
    kind = _STATUS.get(answer.status_code)
    if kind is not None:
        raise kind(f"server: answered {answer.status_code} for {answer.request.url.path}")


def _local() -> ClientAPI:
    import chromadb  # noqa: PLC0415

    asked = os.environ.get("CHROMA_CLIENT", "")
    if asked not in {"", "thin", "full"}:
        raise BadRequest("CHROMA_CLIENT: must be thin or full for this function")
    thin = getattr(chromadb, "is_client", False)
    in_lambda = any(name in os.environ for name in IN_LAMBDA)
    if thin or asked == "thin" or (in_lambda and asked != "full"):
        raise ServerBusy(
            "server: the event has no session and CHROMA_URL is not set"
            + ("; chromadb-client cannot open a local database" if thin else "")
        )
    path = os.environ.get("CHROMA_PATH")
    return chromadb.PersistentClient(path) if path else chromadb.EphemeralClient()

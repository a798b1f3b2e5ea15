"""Which requests may reach the server: pure rules over a request's line and headers."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import unquote

from vector_common.errors import NotFound

from chroma_supervisor.proxy.answers import Refusal, too_large
from chroma_supervisor.session.state import ADMIN_PREFIX

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

API_PREFIX = "/api/v2/"

HEARTBEAT = "/api/v2"
"""What chromadb's AsyncHttpClient asks for its heartbeat."""

METHODS = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE"})

READING_POSTS = frozenset({"query", "get", "count", "search"})
"""Last path segments of the POST requests of Chroma's API that change nothing."""

GROWING = frozenset({"add", "upsert", "update", "collections", "databases", "tenants", "fork"})
"""Last path segments of the POST requests that may make the data larger."""

REFUSED_CALLS = frozenset({"/api/v2/reset"})
"""Deletes everything; Chroma's own default refuses it too, and no client of a session needs it."""

SEPARATORS = re.compile(r"[/\\\x00-\x1f\x7f]")

HOP_BY_HOP = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
"""Headers that concern one connection alone (RFC 9110, section 7.6.1)."""

NOT_FORWARDED = HOP_BY_HOP | {"host", "authorization", "expect", "cookie"}
"""Not sent to the server either: the token is nobody's business behind the proxy."""


def check_target(target: str) -> None:
    """Refuse a request target that is not a plain path below Chroma's API or the session's own.

    Dot segments, encoded slashes, backslashes and control characters have no place in the name
    of a tenant, database or collection, and a server may read them as a path.

    Args:
        target: The request target as it came, still percent-encoded.

    Raises:
        Refusal: 400 for a malformed one, 404 for one outside the API.
    """
    path = target.partition("?")[0]
    if not path.startswith("/") or "#" in target:
        raise Refusal(400, "BadTarget", "The request target is not a path.", close=True)
    for segment in path[1:].split("/"):
        if not _is_plain(segment):
            raise Refusal(
                400, "BadTarget", "A name in the path contains a dot segment or a separator."
            )
    if path in REFUSED_CALLS:
        raise Refusal(403, "Forbidden", "A session's data cannot be reset through the proxy.")
    if path != HEARTBEAT and not path.startswith((API_PREFIX, ADMIN_PREFIX)):
        raise Refusal.of(NotFound, f"Only {API_PREFIX} is served here.")


def _is_plain(segment: str) -> bool:
    try:
        name = unquote(segment, errors="strict")
    except UnicodeDecodeError:
        return False
    # A second decoding, because a server behind might do one.
    texts = (name, unquote(name, errors="replace"))
    return not any(text in {".", ".."} or SEPARATORS.search(text) for text in texts)


def check_headers(headers: Mapping[str, str], length: int | None, limit: int) -> None:
    """Refuse a body that is announced as too large, or that is compressed.

    A compressed body could unpack to any size behind the limit.

    Args:
        headers: The request's headers, looked up without regard to case.
        length: Its Content-Length in bytes; None for a chunked body or none at all.
        limit: Most bytes a body may have.

    Raises:
        Refusal: 413 or 415.
    """
    if length is not None and length > limit:
        raise too_large(limit)
    if headers.get("Content-Encoding", "identity").lower() != "identity":
        raise Refusal(
            415, "UnsupportedMediaType", "Send the body without Content-Encoding.", close=True
        )


def changes_data(method: str, path: str) -> bool:
    """Whether a request may change the database."""
    if method == "GET":
        return False
    return method != "POST" or path.rpartition("/")[2] not in READING_POSTS


def grows_data(method: str, path: str) -> bool:
    """Whether a request may make the database larger."""
    return method in {"POST", "PUT", "PATCH"} and path.rpartition("/")[2] in GROWING


def forwarded(headers: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """The headers that go through, in their order, without those that Connection names."""
    pairs = list(headers)
    named = {
        name.strip().lower()
        for key, value in pairs
        if key.lower() == "connection"
        for name in value.split(",")
    }
    return [
        (key, value)
        for key, value in pairs
        if (low := key.lower()) not in NOT_FORWARDED and low not in named
    ]

"""Asks an index or another service over HTTP, and again where that may help."""

from __future__ import annotations

import email.utils
import random
import re
import time
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import httpx
    import tenacity

Answer = TypeVar("Answer")

ATTEMPTS = 4
"""Times that one request is sent before it counts as failed."""

PAUSE, LONGEST_PAUSE = 0.2, 5.0
"""Seconds before the second attempt, doubled for each further one, with jitter; and their bound."""

LONGEST_RETRY_AFTER = 60.0
"""Seconds that a server may ask to wait (Retry-After); one that asks for more is not waited for."""

REFUSED = {401, 403}
"""Status numbers after which another login may help; some indexes answer 404 for both."""

NOT_MODIFIED, TOO_MANY_REQUESTS, SERVER_ERROR = 304, 429, 500
"""Status numbers (RFC 6585, RFC 9110): what the asker has is still true; 429; and from 500 on all
that is the server's fault."""


_SAID = re.compile(r"certificate verify failed: [^(]*|^\d{3} [\w ]+$|^Proxy Server [\w ]+")


class RequestFailed(Exception):
    """A request has no answer that can be used; the text holds no URL and so no login."""


def get(
    client: httpx.Client,
    url: str,
    headers: Mapping[str, str] | None = None,
    *,
    limit: int | None = None,
) -> httpx.Response:
    """Return the answer to a GET, sent again after faults that pass.

    Those are connections that break, the status 429, and those from 500 on. The pauses grow and
    differ from run to run, so that many clients do not come back at once; a server's Retry-After
    (RFC 9110, in seconds or as a date) is kept to. An answer of 304 is returned, too.

    Args:
        client: What sends it.
        url: Where to.
        headers: More headers.
        limit: Bytes, unpacked, after which the answer is not read on.

    Raises:
        RequestFailed: The status is an error, nothing answered, or the answer is too large.
    """

    def send() -> httpx.Response:
        with client.stream("GET", url, headers=headers) as answer:
            if answer.status_code != NOT_MODIFIED:
                answer.raise_for_status()
            return _read(answer, limit)

    return _again(send, "index")


def ask(client: httpx.Client, url: str, *, who: str, most: int, body: Any = None) -> bytes:
    """Return the answer of a service, asked again as :func:`get` does.

    Args:
        client: Sends it.
        url: What is asked; a GET without a body.
        who: What answers, for the error: ``mirror``.
        most: Bytes beyond which an answer is given up.
        body: Sent with a POST, as JSON.

    Raises:
        RequestFailed: The status is an error, nothing answered, or the answer is too large.
    """

    def send() -> bytes:
        with client.stream("POST" if body is not None else "GET", url, json=body) as answer:
            answer.raise_for_status()
            return _bounded(answer, most, who)

    return _again(send, who)


def _again(send: Callable[[], Answer], who: str) -> Answer:
    import httpx  # noqa: PLC0415 -- start-up time: a build with a warm cache needs none
    import tenacity  # noqa: PLC0415 -- see above

    retrying = tenacity.Retrying(
        stop=tenacity.stop_after_attempt(ATTEMPTS),
        wait=_pause,
        retry=tenacity.retry_if_exception(_may_pass),
        reraise=True,
    )
    try:
        return retrying(send)
    except httpx.HTTPStatusError as problem:
        raise RequestFailed(_refusal(problem.response, who)) from None
    except (
        httpx.TransportError,
        httpx.TooManyRedirects,
        httpx.DecodingError,
        httpx.InvalidURL,
    ) as problem:
        raise RequestFailed(_trouble(problem)) from None


def _bounded(answer: httpx.Response, most: int, who: str) -> bytes:
    found = bytearray()
    for chunk in answer.iter_bytes():
        found += chunk
        if len(found) > most:
            raise RequestFailed(f"the {who} answered more than {most:,} bytes")
    return bytes(found)


def _read(answer: httpx.Response, limit: int | None) -> httpx.Response:
    """Return an answer that was read to its end; see :func:`get`."""
    import httpx  # noqa: PLC0415 -- see get

    if limit is None:
        answer.read()
        return answer
    content = _bounded(answer, limit, "index")
    packed = {"content-encoding", "content-length", "transfer-encoding"}
    headers = [(key, value) for key, value in answer.headers.items() if key not in packed]
    return httpx.Response(
        answer.status_code, headers=headers, content=content, request=answer.request
    )


def _refusal(answer: httpx.Response, who: str) -> str:
    said = f"the {who} answered {answer.status_code}"
    if answer.status_code not in REFUSED:
        return said
    sent = "authorization" in answer.request.headers
    return f"{said}: {'it does not accept the login' if sent else 'it was sent no login'}"


def _trouble(problem: Exception) -> str:
    """Return the kind of a fault, and what OpenSSL or a proxy said; nothing that holds a URL."""
    found = _SAID.search(str(problem))
    return f"{type(problem).__name__}{f' ({found[0].strip()})' if found else ''}"


def retry_after(value: str | None, now: float) -> float | None:
    """Return the seconds that a Retry-After header asks to wait, or None where it asks nothing.

    Args:
        value: The header, in seconds or as an HTTP date.
        now: Seconds since the epoch.
    """
    if not value:
        return None
    if value.strip().isdigit():
        return float(value)
    try:
        date = email.utils.parsedate_to_datetime(value)
    except ValueError:
        return None
    return max(0.0, date.timestamp() - now)


def _may_pass(problem: BaseException) -> bool:
    import httpx  # noqa: PLC0415 -- see get

    if isinstance(problem, httpx.HTTPStatusError):
        status = problem.response.status_code
        return (status == TOO_MANY_REQUESTS or status >= SERVER_ERROR) and (
            _asked(problem) or 0.0
        ) <= LONGEST_RETRY_AFTER
    return isinstance(problem, httpx.TransportError)


def _asked(problem: BaseException | None) -> float | None:
    answer = getattr(problem, "response", None)
    return retry_after(answer.headers.get("retry-after"), time.time()) if answer else None


def _pause(state: tenacity.RetryCallState) -> float:
    import tenacity  # noqa: PLC0415 -- see get

    asked = _asked(state.outcome.exception() if state.outcome else None)
    if asked is not None:
        return asked
    growing = tenacity.wait_exponential(multiplier=PAUSE, max=LONGEST_PAUSE - PAUSE)
    return growing(state) + random.uniform(0, PAUSE)

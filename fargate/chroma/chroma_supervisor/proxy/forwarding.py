"""The reverse proxy in front of Chroma: the only listener that faces the network.

It is aiohttp on both sides. Bodies stream through it in both directions and their bytes are
counted as they come, so that its memory does not depend on what a client sends.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from aiohttp import ClientError, ClientSession, ClientTimeout, TCPConnector, web
from multidict import CIMultiDict
from yarl import URL

from chroma_supervisor.logs import event
from chroma_supervisor.proxy.admission import (
    METHODS,
    changes_data,
    check_headers,
    check_target,
    forwarded,
    grows_data,
)
from chroma_supervisor.proxy.answers import (
    SERVER_NAME,
    Refusal,
    too_many,
    unauthorized,
    unavailable,
)
from chroma_supervisor.proxy.bodies import RequestBody
from chroma_supervisor.proxy.limits import RequestGate, TooMany
from chroma_supervisor.session.state import ADMIN_PREFIX, Phase, Session
from chroma_supervisor.session.tokens import TokenVerdict

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from aiohttp import ClientResponse

    from chroma_supervisor.proxy.admin import Admin

SMALL_BODY = 64 * 1024
"""Up to so many bytes a body is passed on in one piece, which saves a task a request."""

HEALTH_PATH = f"{ADMIN_PREFIX}health"


class Proxy:
    """Answers every request of the session's clients.

    Args:
        session: The state that decides what is answered.
        admin: Answers what is below /_session/.
    """

    def __init__(self, session: Session, admin: Admin) -> None:
        self._session = session
        self._admin = admin
        self._limits = session.settings.limits
        self._gate = RequestGate(self._limits)
        self._client: ClientSession | None = None

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request; the handler of the HTTP server."""
        try:
            answer = await self._answer(request)
        except Refusal as refusal:
            answer = refusal.response()
        answer.headers["Server"] = SERVER_NAME  # aiohttp would name its version
        self._session.answers[answer.status] += 1
        return answer

    def count(self, status: int) -> None:
        """Count an answer that another part gave."""
        self._session.answers[status] += 1

    async def close(self) -> None:
        """Close the connections to the server."""
        if self._client is not None:
            await self._client.close()
            self._client = None

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        target = request.raw_path
        if target == HEALTH_PATH and request.method == "GET":
            return self._admin.health()
        self._authorize(request)
        check_target(target)
        if request.method not in METHODS:
            raise Refusal(405, "MethodNotAllowed", f"Use one of {', '.join(sorted(METHODS))}.")
        check_headers(request.headers, request.content_length, self._limits.max_body_bytes)
        if target.startswith(ADMIN_PREFIX):
            return await self._admin.answer(request)
        return await self._admit(request, target)

    def _authorize(self, request: web.BaseRequest) -> None:
        token = self._session.token
        if token is None:
            raise unavailable("The session is still starting.")
        headers = request.headers.getall("Authorization", [])
        verdict = token.check(headers[0] if len(headers) == 1 else None, time.time())
        if verdict is TokenVerdict.MISSING:
            raise unauthorized(None)
        if verdict is TokenVerdict.WRONG:
            raise unauthorized("This is not the token of this session.")
        if verdict is TokenVerdict.EXPIRED:
            raise unauthorized("The token has expired.")

    async def _admit(self, request: web.BaseRequest, target: str) -> web.StreamResponse:
        session = self._session
        if session.phase is not Phase.SERVING:
            raise unavailable(f"The session is {session.phase.value}.")
        path = target.partition("?")[0]
        if session.full and grows_data(request.method, path):
            raise Refusal(
                507,
                "InsufficientStorage",
                "The data has reached the largest snapshot that this session accepts.",
                close=True,
            )
        try:
            async with self._gate:
                session.under_way = self._gate.under_way
                session.wrote = session.wrote or changes_data(request.method, path)
                return await self._forward(request, target)
        except TooMany as excess:
            raise too_many(str(excess), excess.retry_after) from None
        finally:
            session.under_way = self._gate.under_way
            session.last_request = time.monotonic()

    async def _forward(self, request: web.BaseRequest, target: str) -> web.StreamResponse:
        body = RequestBody(request, self._limits.max_body_bytes, self._limits.body_stall_seconds)
        answer = web.StreamResponse()
        try:
            async with asyncio.timeout(self._limits.request_seconds):
                return await self._exchange(request, target, body, answer)
        except TimeoutError:
            refusal = self._too_late(request, body)
        except ClientError as error:
            refusal = body.refusal or Refusal(
                502, "BadGateway", "The server closed the connection.", close=True
            )
            if body.refusal is None:
                event("upstream_failed", cause=type(error).__name__)
        if answer.prepared:
            # The status line has gone out; only a cut connection still says that it failed.
            if request.transport is not None:
                request.transport.abort()
            return answer
        raise refusal

    def _too_late(self, request: web.BaseRequest, body: RequestBody) -> Refusal:
        """408 if the client was still sending, 504 if the server was still working."""
        seconds = f"{self._limits.request_seconds:g} s"
        if request.body_exists and not body.complete:
            return Refusal(408, "RequestTimeout", f"The body took over {seconds}.", close=True)
        return Refusal(504, "Timeout", f"The server gave no answer in {seconds}.", close=True)

    async def _exchange(
        self, request: web.BaseRequest, target: str, body: RequestBody, answer: web.StreamResponse
    ) -> web.StreamResponse:
        if request.headers.get("Expect", "").lower() == "100-continue":
            await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        data: AsyncIterator[bytes] | bytes | None = None
        if request.body_exists:
            small = (request.content_length or SMALL_BODY + 1) <= SMALL_BODY
            data = await body.whole() if small else body.pieces()
        async with self._upstream().request(
            request.method,
            URL(self._session.upstream + target, encoded=True),
            headers=CIMultiDict(forwarded(request.headers.items())),
            data=data,
            allow_redirects=False,
        ) as source:
            return await _relay(request, source, answer)

    def _upstream(self) -> ClientSession:
        if self._client is None:
            self._client = ClientSession(
                connector=TCPConnector(limit=0, force_close=False),
                timeout=ClientTimeout(total=None, sock_connect=2),
                auto_decompress=False,
                skip_auto_headers=("Accept", "Accept-Encoding", "User-Agent", "Content-Type"),
            )
        return self._client


async def _relay(
    request: web.BaseRequest, source: ClientResponse, answer: web.StreamResponse
) -> web.StreamResponse:
    """Pass the server's answer on, in one piece where it is small."""
    headers = CIMultiDict(forwarded(source.headers.items()))
    headers["Server"] = SERVER_NAME
    if source.content_length is not None and source.content_length <= SMALL_BODY:
        return web.Response(status=source.status, headers=headers, body=await source.read())
    answer.set_status(source.status, source.reason)
    answer.headers.update(headers)
    await answer.prepare(request)
    async for piece in source.content.iter_any():
        await answer.write(piece)
    await answer.write_eof()
    return answer

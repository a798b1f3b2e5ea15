"""The listening socket of the proxy and the HTTP server behind it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Self

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from chroma_supervisor.logs import event
from chroma_supervisor.proxy.admin import Admin
from chroma_supervisor.proxy.answers import Refusal
from chroma_supervisor.proxy.forwarding import Proxy

if TYPE_CHECKING:
    import asyncio
    from types import TracebackType

    from chroma_supervisor.session.state import Session

MAX_HEADERS = 64
MAX_LINE_BYTES = 8 * 1024
"""Of the request line and of one header; aiohttp answers 400 beyond it."""

LINGER_SECONDS = 1.0
"""How long the rest of a refused body is read and dropped, so that the client sees the answer."""

SHUTDOWN_SECONDS = 1.0


class QuietHandler(RequestHandler):
    """Answers what is not HTTP in the proxy's own form, and logs none of it.

    aiohttp would log a traceback that quotes the line at fault, a token among them, for anyone
    who can connect, and answer with its version and that line.
    """

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002 -- it quotes the request
    ) -> web.StreamResponse:
        """The answer to a request that could not be read, or that met a bug."""
        if request.writer.output_size > 0:
            raise ConnectionError("a part of the answer has been sent already")
        if status >= 500:
            event("unexpected", level=logging.ERROR, cause=type(exc).__name__)
            refusal = Refusal(status, "InternalError", "The proxy failed.", close=True)
        else:
            refusal = Refusal(status, "BadRequest", "This is not a request of HTTP.", close=True)
        if isinstance(self._manager, BoundedServer):
            self._manager.proxy.count(status)
        return refusal.response()

    def log_exception(self, *_: object, **more: Any) -> None:
        """Log the kind of an exception; its text may quote what a stranger sent."""
        event("connection_failed", cause=type(more.get("exc_info")).__name__)


class BoundedServer(web.Server):
    """An HTTP server with an upper bound on open connections.

    Args:
        limit: Connections beyond it are closed as they come.
    """

    def __init__(self, proxy: Proxy, limit: int, header_seconds: float) -> None:
        super().__init__(
            proxy.handle,
            handler_cancellation=True,
            # aiohttp closes a connection without a whole request header after this time, whether
            # it is idle or sends its header byte by byte.
            keepalive_timeout=header_seconds,
            lingering_time=LINGER_SECONDS,
            auto_decompress=False,
            access_log=None,
            max_headers=MAX_HEADERS,
            max_line_size=MAX_LINE_BYTES,
            max_field_size=MAX_LINE_BYTES,
        )
        self._limit = limit
        self.proxy = proxy

    def __call__(self) -> RequestHandler:
        """A handler for a new connection."""
        return QuietHandler(self, loop=self._loop, **self._kwargs)

    def connection_made(self, handler: RequestHandler, transport: asyncio.Transport) -> None:
        """Count a new connection, and close it if there are too many."""
        super().connection_made(handler, transport)
        if len(self.connections) > self._limit:
            transport.abort()


class Listener:
    """Accepts connections for a session; an asynchronous context manager.

    Args:
        session: The state that its answers depend on.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._proxy = Proxy(session, Admin(session))
        self._runner: web.ServerRunner | None = None
        self.port = 0
        """The port it is bound to, which is the asked one unless that was 0."""

    async def __aenter__(self) -> Self:
        settings = self._session.settings
        server = BoundedServer(
            self._proxy, settings.limits.connections, settings.limits.header_seconds
        )
        self._runner = web.ServerRunner(server, shutdown_timeout=SHUTDOWN_SECONDS)
        await self._runner.setup()
        await web.TCPSite(self._runner, settings.listen_host, settings.listen_port).start()
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
        await self._proxy.close()

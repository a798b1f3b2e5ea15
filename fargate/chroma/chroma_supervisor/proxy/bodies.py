"""Bodies of requests: read piece by piece, counted and timed."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from chroma_supervisor.proxy.answers import Refusal, too_large

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from aiohttp import web


class RequestBody:
    """A request's body on its way to the server, counted and timed as it comes.

    Args:
        request: Whose body it is.
        limit: Most bytes it may have.
        stall: Longest wait for the next piece, in seconds.
    """

    def __init__(self, request: web.BaseRequest, limit: int, stall: float) -> None:
        self._content = request.content
        self._limit = limit
        self._stall = stall
        self.size = 0
        self.complete = False
        """Whether the client has sent all of it."""
        self.refusal: Refusal | None = None
        """Why it broke off: the HTTP client turns what is raised in here into its own error."""

    async def pieces(self) -> AsyncIterator[bytes]:
        """The body piece by piece.

        Raises:
            Refusal: 413 past the limit, 408 if the next piece is late.
        """
        while True:
            try:
                async with asyncio.timeout(self._stall):
                    piece = await self._content.readany()
            except TimeoutError:
                self.refusal = Refusal(
                    408, "RequestTimeout", f"The body paused for {self._stall:g} s.", close=True
                )
                raise self.refusal from None
            if not piece:
                self.complete = True
                return
            self.size += len(piece)
            if self.size > self._limit:
                self.refusal = too_large(self._limit)
                raise self.refusal
            yield piece

    async def whole(self) -> bytes:
        """The body in one piece, for one that is known to be small."""
        return b"".join([piece async for piece in self.pieces()])

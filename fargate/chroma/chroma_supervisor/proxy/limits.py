"""How much of the server one session's clients may use at once."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from aiolimiter import AsyncLimiter

if TYPE_CHECKING:
    from types import TracebackType

    from chroma_supervisor.settings import ClientLimits


class TooMany(Exception):  # it is an answer to a client, not a fault
    """A request beyond the limits.

    Args:
        reason: Which limit.
        retry_after: Whole seconds after which a repeat may pass.
    """

    def __init__(self, reason: str, retry_after: int) -> None:
        super().__init__(reason)
        self.retry_after = retry_after


class RequestGate:
    """Counts requests by rate and by number under way; used as ``async with gate``.

    The rate is a leaky bucket one second deep: as many requests may come at once as are allowed
    a second. It refuses and never queues: a queue would only move the wait out of the
    client's sight.
    """

    def __init__(self, limits: ClientLimits) -> None:
        self._rate = AsyncLimiter(limits.requests_per_second, 1)
        self._retry_after = max(1, math.ceil(1 / limits.requests_per_second))
        self._concurrent = limits.concurrent_requests
        self.under_way = 0
        self.refused = 0

    async def __aenter__(self) -> None:
        if self.under_way >= self._concurrent:
            self.refused += 1
            raise TooMany(f"{self._concurrent} requests are under way already", 1)
        if not self._rate.has_capacity():
            self.refused += 1
            raise TooMany(f"more than {self._rate.max_rate:g} requests a second", self._retry_after)
        await self._rate.acquire()
        self.under_way += 1

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.under_way -= 1

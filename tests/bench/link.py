"""A link between loopback and a server on it, as slow as one in a data centre: a relay.

    python link.py UPSTREAM_PORT MEGABYTES_PER_SECOND LATENCY_MILLISECONDS

Prints its own port. All connections share the rate; what a client sends arrives after the latency,
what comes back is only slowed to the rate.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys

STEP = 64 * 1024


class Link:
    """Connections to one upstream port."""

    def __init__(self, upstream: int, rate: float, latency: float) -> None:
        self._upstream = upstream
        self._rate = rate
        self._latency = latency
        self._free_at = 0.0

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Relay one connection until either side closes it."""
        there, back = await asyncio.open_connection("127.0.0.1", self._upstream)
        await asyncio.gather(self._pass(reader, back, late=True), self._pass(there, writer))

    async def _pass(
        self, source: asyncio.StreamReader, target: asyncio.StreamWriter, *, late: bool = False
    ) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await source.read(STEP):
                if late:
                    await asyncio.sleep(self._latency)
                else:
                    await self._take_turn(len(data))
                target.write(data)
                await target.drain()
        target.close()

    async def _take_turn(self, size: int) -> None:
        now = asyncio.get_running_loop().time()
        self._free_at = max(self._free_at, now) + size / self._rate
        if self._free_at - now > 0.001:  # shorter sleeps are mostly overhead
            await asyncio.sleep(self._free_at - now)


async def main(upstream: str, megabytes: str, milliseconds: str) -> None:
    """Relay until the process is ended."""
    link = Link(int(upstream), float(megabytes) * 1e6, float(milliseconds) / 1e3)
    server = await asyncio.start_server(link.accept, "127.0.0.1", 0, limit=STEP)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))

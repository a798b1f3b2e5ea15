"""Small deltas in S3, 20 ms away: a server of the fewest instructions, and what reads from it.

    python deltas.py serve COUNT    print a port, and serve so many deltas of one record each
    python deltas.py alone          fetch them all, unsigned and unchecked, and do nothing else
    python deltas.py read           read them all, as a replay does

``alone`` and ``read`` list first, with one client, and fetch with as many threads. moto's server
takes more processor time for a request than the client that is measured, so the server is its own:
it verifies no signature.
"""

from __future__ import annotations

import array
import asyncio
import bisect
import http.client
import os
import random
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from email.utils import formatdate
from urllib.parse import parse_qs, unquote, urlsplit

from chroma_store.deltas.log import AHEAD_THREADS, DeltaLog
from chroma_store.storage import open_storage
from vector_common.deltas import Delta, encode
from vector_common.ids import new_id
from vector_common.names import delta_key
from vector_common.records import CollectionSpec, VectorRecord

LATENCY = 0.02
PAGE = 1000
DIMENSION = 384


def deltas(count: int) -> dict[str, bytes]:
    """Make deltas of one record each, by key. They share a few vectors, which are slow to make."""
    spec, rng = CollectionSpec("receipts", DIMENSION), random.Random(1)
    vectors = [array.array("f", [rng.gauss(0, 1) for _ in range(DIMENSION)]) for _ in range(100)]
    made = {}
    for number in range(count):
        metadata = {"merchant": f"m{number % 500}"}
        record = VectorRecord("upsert", f"r{number}", vectors[number % 100], metadata)
        delta = Delta(new_id(), spec, [record])
        made[delta_key("db", delta.id)] = encode(delta)
    return made


class Bucket(asyncio.Protocol):
    """A connection to a bucket: lists and reads, one request after the other."""

    def __init__(self, objects: dict[str, bytes]) -> None:
        self._objects = objects
        self._keys = sorted(objects)
        self._data = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way back."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer a request that is whole, after the latency."""
        self._data += data
        if self._data.endswith(b"\r\n\r\n"):
            answer = self._answer(self._data.split(b" ", 2)[1].decode())
            self._data = b""
            asyncio.get_running_loop().call_later(LATENCY, self._transport.write, answer)

    def _answer(self, target: str) -> bytes:
        url = urlsplit(target)
        query, key = parse_qs(url.query), unquote(url.path).partition("/bucket/")[2]
        body = self._list(query) if "list-type" in query else self._objects[key]
        return (
            f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\nDate: {formatdate(usegmt=True)}\r\n"
            'ETag: "0"\r\nLast-Modified: Thu, 01 Jan 2026 00:00:00 GMT\r\n\r\n'
        ).encode() + body

    def _list(self, query: dict[str, list[str]]) -> bytes:
        start = bisect.bisect_right(self._keys, query.get("continuation-token", [""])[0])
        page = self._keys[start : start + PAGE]
        entries = "".join(
            f"<Contents><Key>{key}</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified>"
            f'<ETag>"0"</ETag><Size>{len(self._objects[key])}</Size></Contents>'
            for key in page
        )
        more = start + PAGE < len(self._keys)
        token = f"<NextContinuationToken>{page[-1]}</NextContinuationToken>" if more else ""
        return (
            f"<ListBucketResult><IsTruncated>{str(more).lower()}</IsTruncated>{token}{entries}"
            "</ListBucketResult>"
        ).encode()


async def serve(count: int) -> None:
    """Serve until the process is ended."""
    objects = deltas(count)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Bucket(objects), "127.0.0.1", 0)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await server.serve_forever()


def read() -> int:
    """Read what is pending, and return how many deltas it were."""
    log = DeltaLog(open_storage("s3://bucket"), "db")
    return sum(1 for _ in log.read_ahead(log.pending()))


def alone() -> int:
    """List and fetch the same objects; return how many they are."""
    host, mine = os.environ["AWS_ENDPOINT_URL"].removeprefix("http://"), threading.local()

    def fetch(key: str) -> int:
        if not hasattr(mine, "connection"):
            mine.connection = http.client.HTTPConnection(host)
        mine.connection.request("GET", f"/bucket/{key}")
        return len(mine.connection.getresponse().read())

    keys = [info.key for info in open_storage("s3://bucket").list("databases/db/deltas/")]
    with ThreadPoolExecutor(AHEAD_THREADS) as pool:
        return sum(1 for size in pool.map(fetch, keys) if size)


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        asyncio.run(serve(int(sys.argv[2])))
    else:
        sys.stdout.write(str(read() if sys.argv[1] == "read" else alone()))

"""Reads files on an index by HTTP range requests (RFC 9110, section 14), the end of them first.

A zip's directory stands at its end, so that a wheel of many megabytes tells what it holds for some
64 kB. An index that knows no ranges sends the whole file; that is counted and said.
"""

from __future__ import annotations

import io
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from layersmith.base import http
from layersmith.errors import BuildError

if TYPE_CHECKING:
    import httpx

TAIL = 64 * 1024
"""Bytes asked for at first; they hold the directory of nine wheels in ten."""

PARTIAL = 206
"""HTTP status of an answer to a range request."""


@dataclass
class Traffic:
    """What was read from an index; safe to share between threads.

    Attributes:
        requests: Number of answers.
        received: Bytes of all answers.
        whole: Names of the files that came as a whole, because the index knows no ranges.
    """

    requests: int = 0
    received: int = 0
    whole: list[str] = field(default_factory=list)
    _guard: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def count(self, filename: str, size: int, *, whole: bool) -> None:
        """Add one answer of ``size`` bytes."""
        with self._guard:
            self.requests += 1
            self.received += size
            if whole and filename not in self.whole:
                self.whole.append(filename)


class RemoteFile(io.RawIOBase):
    """A file on an index that can be read anywhere; only what is read is transferred.

    Args:
        client: HTTP client, shared by all files.
        url: Where the file is, ``https:`` or ``file:``; without a login.
        filename: Its name, for messages.
        traffic: Counts what is transferred.

    Raises:
        BuildError: The index does not answer, or not with this file.
    """

    def __init__(
        self, client: httpx.Client, url: str, filename: str, traffic: Traffic | None = None
    ) -> None:
        super().__init__()
        self._client = client
        self._url = url
        self._filename = filename
        self._traffic = traffic or Traffic()
        self._parts: dict[int, bytes] = {}
        self._position = 0
        self.length = self._open()

    @property
    def content(self) -> bytes | None:
        """The whole file, where it was transferred as a whole."""
        part = self._parts.get(0)
        return part if part is not None and len(part) == self.length else None

    def readable(self) -> bool:
        """Whether it can be read: yes."""
        return True

    def seekable(self) -> bool:
        """Whether it can be read anywhere: yes."""
        return True

    def tell(self) -> int:
        """Return the position in bytes."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a position and return it."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self.length}[whence]
        if base + offset < 0:
            raise OSError("a position before the start of the file")
        self._position = base + offset
        return self._position

    def read(self, size: int | None = -1) -> bytes:
        """Return up to ``size`` bytes from the position on."""
        end = self.length if size is None or size < 0 else self._position + size
        end = max(self._position, min(end, self.length))
        self.need(self._position, end)
        content = self._held(self._position, end) or b""
        self._position = end
        return content

    def need(self, start: int, end: int) -> None:
        """Transfer a range unless it is here; what is read next often stands right before it."""
        end = min(end, self.length)
        if start >= end or self._held(start, end) is not None:
            return
        tail = max(self._parts)
        if end > tail:
            # The directory of a large wheel: its METADATA and RECORD stand before it.
            start = max(0, start - max(TAIL, (end - start) // 2))
            self._parts[start] = self._get(start, tail) + self._parts.pop(tail)
            return
        self._parts[start] = self._get(start, end)

    def _held(self, start: int, end: int) -> bytes | None:
        for first, content in self._parts.items():
            if first <= start and end <= first + len(content):
                return content[start - first : end - first]
        return None

    def _open(self) -> int:
        if urlsplit(self._url).scheme == "file":
            content = Path(unquote(urlsplit(self._url).path)).read_bytes()
            self._parts[0] = content
            return len(content)
        answer = self._ask(f"bytes=-{TAIL}")
        if answer.status_code != PARTIAL:
            self._parts[0] = answer.content
            return len(answer.content)
        first, length = self._placed(answer)
        self._parts[first] = answer.content
        return length

    def _get(self, start: int, end: int) -> bytes:
        answer = self._ask(f"bytes={start}-{end - 1}")
        if answer.status_code == PARTIAL and self._placed(answer) != (start, self.length):
            raise self._failed("the index answered with another range than it was asked for")
        content = answer.content
        if answer.status_code != PARTIAL:
            content = content[start:end]
        if len(content) != end - start:
            raise self._failed("the file changed while it was read")
        return content

    def _placed(self, answer: httpx.Response) -> tuple[int, int]:
        """Return where an answer begins and how long the whole file is (Content-Range)."""
        unit, _, rest = answer.headers.get("content-range", "").partition(" ")
        span, _, length = rest.partition("/")
        first = span.partition("-")[0]
        if unit != "bytes" or not first.isdigit() or not length.isdigit():
            raise self._failed("the index sent a range without naming it")
        if int(first) + len(answer.content) > int(length):
            raise self._failed("the index sends more than the file holds")
        return int(first), int(length)

    def _ask(self, span: str) -> httpx.Response:
        headers = {"Range": span, "Accept-Encoding": "identity"}
        try:
            answer = http.get(self._client, self._url, headers)
        except http.RequestFailed as problem:
            raise self._failed(str(problem)) from problem
        whole = answer.status_code != PARTIAL
        self._traffic.count(self._filename, len(answer.content), whole=whole)
        return answer

    def _failed(self, why: str) -> BuildError:
        return BuildError(
            f"the directory of {self._filename} cannot be read: {why}",
            cause="the index is out of reach, or went away while it was read",
            hint="run the command again; what was read is kept",
        )

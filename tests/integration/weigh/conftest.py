"""An index on loopback that knows range requests, and that can be told to fail in several ways."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Literal

import pytest
from layersmith.base import runtimes
from layersmith.weigh import target as weigh

from tests.integration.lock.index import Handler, Index, serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from layersmith.weigh.target import Weighed

Behaviour = Literal["ranges", "no ranges", "cut off", "wrong range", "gone"]


class RangeHandler(Handler):
    """Serves files by ranges, over connections that are kept open."""

    protocol_version = "HTTP/1.1"
    behaviour: Behaviour
    broken: dict[str, bytes]
    log: list[tuple[str, str]]

    def do_GET(self) -> None:  # noqa: N802 -- http.server calls it so
        """Send a page, a file, or a part of one."""
        name = self.path.rpartition("/")[2]
        span = self.headers.get("Range")
        content, _ = self._content(self.path.strip("/").split("/"))
        # uv reads wheels, too, to find their METADATA: it gets what it asks for.
        ours = self.headers.get("User-Agent", "").startswith("python-httpx")
        if not ours or span is None or content is None:
            super().do_GET()
            return
        content = self.broken.get(name, content)
        self.log.append((name, span))
        if self.behaviour == "gone":
            self.send_error(503)
        elif self.behaviour == "no ranges":
            self._send(200, content, "")
        else:
            self._part(content, span)

    def _part(self, content: bytes, span: str) -> None:
        found = re.fullmatch(r"bytes=(\d*)-(\d*)", span)
        assert found
        start = int(found[1]) if found[1] else max(0, len(content) - int(found[2]))
        end = int(found[2]) + 1 if found[1] and found[2] else len(content)
        shown = start + 1 if self.behaviour == "wrong range" and found[1] else start
        where = f"bytes {shown}-{end - 1}/{len(content)}"
        self._send(206, content[start:end], where)

    def _send(self, status: int, content: bytes, where: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/octet-stream")
        self.send_header("Content-Length", str(len(content)))
        if where:
            self.send_header("Content-Range", where)
        self.end_headers()
        if self.behaviour == "cut off":
            self.wfile.write(content[: len(content) // 2])
            self.close_connection = True
        else:
            self.wfile.write(content)


class RangeIndex(Index):
    """An index whose requests for parts of files are remembered."""

    handler: type[RangeHandler]

    @property
    def asked(self) -> list[tuple[str, str]]:
        """File names and ranges, in the order in which they came."""
        return self.handler.log

    def behave(self, how: Behaviour) -> None:
        """Answer in another way from now on."""
        self.handler.behaviour = how

    def damage(self, name: str, content: bytes) -> None:
        """Send other bytes than those that uv saw."""
        self.handler.broken[name] = content

    def weigh(self, *requirements: str, runtime: str = "python3.13") -> Weighed:
        """Weigh requirements as `weigh` does."""
        chosen = runtimes.get(runtime)
        target = weigh.target_of("demo", requirements, chosen, "arm64")
        return weigh.weigh(target, self.folder)


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RangeIndex]:
    folder = tmp_path / "index"
    folder.mkdir()
    index = RangeIndex(folder)
    attributes: dict[str, Any] = {"behaviour": "ranges", "broken": {}, "log": []}
    index.handler = type("OneIndex", (RangeHandler,), attributes)
    with serving(index, index.handler, tmp_path, monkeypatch):
        yield index

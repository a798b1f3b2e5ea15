"""A package index on loopback (PEP 503), with packages that are made for a test."""

from __future__ import annotations

import base64
import hashlib
import html
import io
import json
import os
import re
import tarfile
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

from tests.support import servers, wheels

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator, Sequence
    from datetime import datetime
    from pathlib import Path

    import pytest

LOGIN = ("reader", "s3cr3t-passphrase")
"""What the index asks for below /private/."""


@dataclass
class Index:
    """The files of an index and the server that offers them."""

    folder: Path
    requires_python: dict[str, str] = field(default_factory=dict)
    yanked: set[str] = field(default_factory=set)
    """Names of files that are withdrawn (PEP 592)."""
    json: bool = False
    """Whether pages are JSON (PEP 691)."""
    uploaded: dict[str, datetime] = field(default_factory=dict)
    """Names of files to when they were uploaded (PEP 700), on pages that are JSON."""
    attested: dict[str, bytes] = field(default_factory=dict)
    """Names of files to their provenance (PEP 740)."""
    status: dict[str, str] = field(default_factory=dict)
    """Names of projects to their status (PEP 792)."""
    shown: dict[str, str] = field(default_factory=dict)
    """Names of projects to what their pages are for all but uv."""
    headers: dict[str, str] = field(default_factory=dict)
    """What pages are sent with, beside their type; an ETag is answered with 304."""
    ours: list[str] = field(default_factory=list)
    """Paths of the requests that were not by uv."""
    port: int = 0
    files: str = "files"
    """Name of the folder that pages point to; files of an older name are gone."""

    @property
    def url(self) -> str:
        """The index for everybody."""
        return f"http://127.0.0.1:{self.port}/simple"

    @property
    def closed_url(self) -> str:
        """The same index behind a login, which does not stand in the URL."""
        return f"http://127.0.0.1:{self.port}/private/simple"

    @property
    def private_url(self) -> str:
        """The same index behind a login, which stands in the URL."""
        name, password = LOGIN
        return f"http://{name}:{password}@127.0.0.1:{self.port}/private/simple"

    def wheel(
        self,
        name: str,
        version: str,
        *tags: str,
        requires: Sequence[str] = (),
        python: str = "",
    ) -> None:
        """Add the wheels of a version, one a tag."""
        for tag in tags or ("py3-none-any",):
            path = wheels.make(
                self.folder,
                name,
                {f"{name}.py": f"version = {version!r}, {tag!r}\n".encode()},
                version=version,
                tag=tag,
                requires=requires,
            )
            if python:
                self.requires_python[path.name] = python

    def remove(self, filename: str) -> None:
        """Offer a file no longer."""
        (self.folder / filename).unlink()

    def sdist(self, name: str, version: str, *, backend: str | None = None) -> None:
        """Add an sdist whose metadata is static, or known to a build backend alone."""
        dynamic = backend is not None
        metadata = f"Metadata-Version: 2.2\nName: {name}\nVersion: {version}\n"
        metadata += "Dynamic: Requires-Dist\n" if dynamic else ""
        system = '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
        project = f'[project]\nname = "{name}"\nversion = "{version}"\n'
        project += 'dynamic = ["dependencies"]\n' if dynamic else ""
        files = {
            "PKG-INFO": metadata,
            "pyproject.toml": system + project,
            "backend.py": backend or "",
        }
        with tarfile.open(self.folder / f"{name}-{version}.tar.gz", "w:gz") as archive:
            for path, text in files.items():
                info = tarfile.TarInfo(f"{name}-{version}/{path}")
                info.size = len(text)
                archive.addfile(info, io.BytesIO(text.encode()))

    def sha256(self, filename: str) -> str:
        """Return the hash of a file that is offered."""
        return hashlib.sha256((self.folder / filename).read_bytes()).hexdigest()

    def _of(self, name: str) -> list[Path]:
        return [
            path
            for path in sorted(self.folder.iterdir())
            if re.sub(r"[-_.]+", "-", path.name.split("-")[0]).lower() == name
        ]

    def json_page(self, name: str) -> str:
        """Return the page of a project as JSON; empty where there is none."""
        files = [
            {
                "filename": path.name,
                "url": f"../../{self.files}/{path.name}",
                "hashes": {"sha256": self.sha256(path.name)},
                "yanked": "broken" if path.name in self.yanked else False,
                **self._more(path.name),
            }
            for path in self._of(name)
        ]
        page: dict[str, Any] = {"meta": {"api-version": "1.4"}, "name": name, "files": files}
        if name in self.status:
            page["project-status"] = {"status": self.status[name], "reason": "no time"}
        return json.dumps(page) if files or name in self.status else ""

    def _more(self, filename: str) -> dict[str, str]:
        more = {}
        if filename in self.uploaded:
            more["upload-time"] = self.uploaded[filename].strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        if filename in self.attested:
            more["provenance"] = f"../../integrity/{filename}"
        return more

    def page(self, name: str) -> str:
        """Return the page of a project; empty where there is none."""
        rows = []
        for path in self._of(name):
            python = html.escape(self.requires_python.get(path.name, ""))
            asks = f' data-requires-python="{python}"' if python else ""
            asks += ' data-yanked="broken"' if path.name in self.yanked else ""
            if path.name in self.attested:
                asks += f' data-provenance="../../integrity/{path.name}"'
            href = f"../../{self.files}/{path.name}#sha256={self.sha256(path.name)}"
            rows.append(f'<a href="{href}"{asks}>{path.name}</a>')
        if name in self.status:
            rows.insert(0, f'<meta name="pypi:project-status" content="{self.status[name]}">')
        return "\n".join(rows)


class Handler(BaseHTTPRequestHandler):
    """Answers for one index."""

    index: Index

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def do_HEAD(self) -> None:
        """Answer as GET does."""
        self.do_GET()

    def do_GET(self) -> None:
        """Send a project's page or a file."""
        parts = self.path.strip("/").split("/")
        if parts[0] == "private":
            parts = parts[1:]
            wanted = base64.b64encode(":".join(LOGIN).encode()).decode()
            if self.headers.get("Authorization") != f"Basic {wanted}":
                self.send_response(401)
                self.send_header("WWW-Authenticate", "Basic")
                self.end_headers()
                return
        content, kind = self._content(parts)
        if not self.headers.get("User-Agent", "").startswith("uv/"):
            self.index.ours.append(self.path)
            if shown := self.index.shown.get(parts[-1]):
                content = shown.encode()
        if content is None:
            self.send_error(404)
            return
        headers = self.index.headers if parts[0] == "simple" else {}
        known = headers.get("ETag")
        if known and self.headers.get("If-None-Match") == known:
            self._begin(304, headers)
            self.end_headers()
            return
        self._begin(200, headers)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)

    def _begin(self, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key, value)

    def _content(self, parts: list[str]) -> tuple[bytes | None, str]:
        if parts[0] == "simple" and len(parts) == 2:
            as_json = self.index.json
            page = self.index.json_page(parts[1]) if as_json else self.index.page(parts[1])
            kind = "application/vnd.pypi.simple.v1+json" if as_json else "text/html"
            return (page.encode() if page else None), kind
        if parts[0] == "integrity":
            return self.index.attested.get(parts[-1]), "application/vnd.pypi.integrity.v1+json"
        path = self.index.folder / parts[-1]
        if parts[0] == self.index.files and path.is_file():
            return path.read_bytes(), "application/octet-stream"
        return None, ""


@contextmanager
def serving(
    index: Index,
    handler: type[Handler],
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    tls: ssl.SSLContext | None = None,
) -> Iterator[None]:
    """Serve an index on a free port; uv sees no other one, and no cache or configuration of ours.

    Args:
        index: Whose ``port`` is set.
        handler: A class of its own, whose ``index`` is set.
        folder: For caches.
        monkeypatch: Of the test.
        tls: Of the server, where it speaks TLS.
    """
    handler.index = index
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    if tls:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    server.daemon_threads = True
    index.port = server.server_address[1]
    for name in [name for name in os.environ if name.startswith(("UV_", "PIP_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("UV_DEFAULT_INDEX", index.url)
    monkeypatch.setenv("UV_CACHE_DIR", str(folder / "uv-cache"))
    monkeypatch.setenv("UV_NO_CONFIG", "1")
    monkeypatch.setenv("LAYERSMITH_CACHE", str(folder / "cache"))
    with servers.serving(server):
        yield

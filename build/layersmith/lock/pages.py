"""The page of a project on an index: what the index says of its files, and of the project.

Pages are JSON (PEP 691) or HTML (PEP 503). What is read of one is kept in the cache for as long as
the index allows (Cache-Control), and after that until it has another one (ETag).
"""

from __future__ import annotations

import functools
import json
import re
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any, Self, TypeVar
from urllib.parse import unquote, urljoin, urlsplit

from packaging.utils import canonicalize_name

from layersmith import cache, process
from layersmith.base import http
from layersmith.base.damage import RAISED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    import httpx

Found = TypeVar("Found")

ACCEPT = "application/vnd.pypi.simple.v1+json, text/html;q=0.1"
"""A project's page as JSON (PEP 691), or as HTML from an index that has no other (PEP 503)."""

LARGEST = 256_000_000
"""Bytes of the largest page that is read; nightly builds of large projects have tens of MB."""

AT_ONCE = 8
"""Pages asked for at once."""

TIMEOUT = 60.0
"""Seconds without an answer after which a request fails."""

ACTIVE = "active"
"""The status of a project of which nothing else is said (PEP 792)."""

_MAX_AGE = re.compile(r"max-age=(\d{1,6})(?!\d)")
_STATUS = re.compile(r"[a-z]{1,40}")


@dataclass(frozen=True)
class PageFile:
    """What a page says of one file.

    Attributes:
        yanked: Whether it is withdrawn (PEP 592).
        provenance: URL of who published it (PEP 740); empty where there is none.
    """

    yanked: bool
    provenance: str = ""


@dataclass(frozen=True)
class Page:
    """What an index says of a project.

    Attributes:
        files: Names of its files to what is said of them.
        status: ``active``, ``archived``, ``quarantined`` or ``deprecated`` (PEP 792).
        reason: Why it has that status, in one line; may be empty.
    """

    files: Mapping[str, PageFile] = field(default_factory=dict)
    status: str = ACTIVE
    reason: str = ""


class Pages:
    """Asks indexes, for each thing once, for several at once, while its block runs.

    Args:
        root: Folder in or above which uv's configuration is.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._client: httpx.Client | None = None
        self._pool = ThreadPoolExecutor(AT_ONCE)
        self._guard = threading.Lock()
        self._asked: dict[tuple[str, str], Future[Any]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)
        if self._client:
            self._client.close()

    @property
    def client(self) -> httpx.Client:
        """What reaches the indexes.

        Raises:
            ConfigError: uv's configuration cannot be read.
        """
        with self._guard:
            if self._client is None:
                from layersmith.base import routes  # noqa: PLC0415 -- start-up time

                self._client = routes.client(self._root, timeout=TIMEOUT)
            return self._client

    def once(self, key: tuple[str, str], ask: Callable[[], Found]) -> Future[Found]:
        """Begin to ask, unless that was begun under the same key."""
        with self._guard:
            if key not in self._asked:
                self._asked[key] = self._pool.submit(ask)
            return self._asked[key]

    def ask(self, projects: Iterable[tuple[str, str]]) -> list[Future[Page]]:
        """Begin to ask for the pages of projects, given by index and normalized name."""
        return [self.once(one, functools.partial(self._read, *one)) for one in projects]

    def of(self, index: str, name: str) -> Page:
        """Return a page; see :func:`read`."""
        return self.ask([(index, name)])[0].result()

    def _read(self, index: str, name: str) -> Page:
        return read(self.client, index, name)


def read(client: httpx.Client, index: str, name: str) -> Page:
    """Return the page of a project.

    Args:
        client: What reaches the index.
        index: URL of the index.
        name: Normalized name of the project.

    Raises:
        RequestFailed: The index does not answer, or not with a page of the project.
    """
    url = f"{index.rstrip('/')}/{name}/"
    place = cache.section("pages") / f"{cache.sha256_bytes(_clean(url).encode())}.json"
    etag, until, known = _kept(place)
    if known and time.time() < until:
        return known
    headers = {"Accept": ACCEPT, **({"If-None-Match": etag} if known and etag else {})}
    answer = http.get(client, url, headers, limit=LARGEST)
    page = known if known and answer.status_code == http.NOT_MODIFIED else _parsed(answer, name)
    lifetime = _MAX_AGE.search(answer.headers.get("cache-control", ""))
    etag = answer.headers.get("etag", etag)
    if etag or lifetime:
        until = time.time() + int(lifetime[1]) if lifetime else 0.0
        cache.write_text(place, json.dumps([etag, until, asdict(page)]))
    return page


def _kept(place: Path) -> tuple[str, float, Page | None]:
    """Return the mark of a page in the cache, until when it holds, and the page."""
    try:
        etag, until, said = json.loads(place.read_text("utf-8"))
        files = {str(file): PageFile(**one) for file, one in said.pop("files").items()}
        return str(etag), float(until), Page(files, **said)
    except (*RAISED, OSError):
        return "", 0.0, None


def _parsed(answer: httpx.Response, name: str) -> Page:
    try:
        if answer.headers.get("content-type", "").partition(";")[0].endswith("json"):
            return _from_json(answer.json(), str(answer.url), name)
        page = _Html(str(answer.url))
        page.feed(answer.text)
    except RAISED:
        raise http.RequestFailed("the index answered with a page that is not readable") from None
    return Page(page.files, page.status, page.reason)


def _from_json(said: Any, url: str, name: str) -> Page:
    if canonicalize_name(said["name"]) != name:
        raise http.RequestFailed("the index answered with the page of another project")
    files = {
        str(one["filename"]): PageFile(
            bool(one.get("yanked")), _clean(urljoin(url, one.get("provenance") or ""), url)
        )
        for one in said["files"]
    }
    status = said.get("project-status") or {}
    return Page(files, _status(status.get("status")), _line(status.get("reason")))


def _clean(url: str, page: str = "") -> str:
    """Return a URL without a login; nothing where it is that of the page itself."""
    return "" if url == page else process.without_logins(url)


def _status(value: str | None) -> str:
    return value if value and _STATUS.fullmatch(value) else ACTIVE


def _line(value: str | None) -> str:
    """Return text of an index in one line that a terminal can show."""
    return "".join(one for one in " ".join(str(value or "").split()) if one.isprintable())[:200]


class _Html(HTMLParser):
    """Reads a page in HTML.

    Args:
        url: Where it is.
    """

    def __init__(self, url: str) -> None:
        super().__init__()
        self.files: dict[str, PageFile] = {}
        self.status, self.reason = ACTIVE, ""
        self._url = url

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        if tag == "a" and (href := found.get("href")):
            filename = unquote(urlsplit(href).path).rpartition("/")[2]
            provenance = urljoin(self._url, found.get("data-provenance") or "")
            self.files[filename] = PageFile("data-yanked" in found, _clean(provenance, self._url))
        elif tag == "meta" and found.get("name") == "pypi:project-status":
            self.status = _status(found.get("content"))
        elif tag == "meta" and found.get("name") == "pypi:project-status-reason":
            self.reason = _line(found.get("content"))

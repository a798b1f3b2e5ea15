"""Lists what wheels and sdists would install, without having them; listings are kept by SHA-256.

Files on an index are read by HTTP range requests (RFC 9110, section 14), the end of them first. A
zip's directory stands at its end, so that a wheel of many megabytes tells what it holds for some
64 kB. An index that knows no ranges sends the whole file; that is counted and said.
"""

from __future__ import annotations

import io
import posixpath
import tarfile
import threading
import zipfile
import zlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple
from urllib.parse import unquote, urlsplit

from pydantic import BaseModel, ConfigDict, ValidationError

from layersmith import cache
from layersmith.assemble.tree import PREFIX, Entry
from layersmith.assemble.wheel import Wheel, installed_path
from layersmith.base import damage, http
from layersmith.errors import BuildError
from layersmith.lock import wheelstore

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

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


AT_ONCE = 24
"""Connections to the index; each is kept open for the next file (HTTP/1.1 keep-alive)."""

LOCAL_HEADER = 30
"""Bytes of a member's local header in a zip before its name (APPNOTE 4.3.7)."""

NOT_INSTALLED = {"setup.py", "conftest.py", "noxfile.py", "tasks.py"}
"""Files at the top of an sdist that are not modules."""


COMPRESSED_SHARE = 0.3
"""What is left of a Python file after compression, about; for local sources, which nobody
compressed yet. Over the wheels of chromadb 1.5.9 it is 0.24 to 0.38."""


class ListingRequest(NamedTuple):
    """A file to list."""

    name: str
    """Normalized name of its distribution."""
    filename: str
    sha256: str
    url: str


class Listing(BaseModel):
    """What a wheel's directory says; in the cache as JSON."""

    model_config = ConfigDict(frozen=True)

    format: Literal[1] = 1
    download: int
    """Bytes of the wheel or sdist itself."""
    files: list[tuple[str, int, int]]
    """Path below site-packages, bytes, bytes as compressed."""
    metadata: str
    """Its METADATA, or the PKG-INFO of an sdist."""


@dataclass(frozen=True)
class Listed:
    """A file that is known by its sizes; of METADATA the content is known, too.

    Attributes:
        size: Bytes, uncompressed.
        compressed_size: Bytes as the wheel holds them.
        content: Its bytes, where they were read.
    """

    size: int
    compressed_size: int
    content: bytes | None = None

    def read(self) -> bytes:
        """Return its bytes.

        Raises:
            BuildError: Only its place in the directory was read.
        """
        if self.content is None:
            raise BuildError("this file was listed and not read")
        return self.content


def listings(
    wanted: Iterable[ListingRequest], traffic: Traffic, root: Path | None = None
) -> list[Listing]:
    """Return the listing of every file, read in parallel from the cache or the index.

    Args:
        wanted: What to list.
        traffic: Counts what is transferred.
        root: Folder in or above which uv's configuration is; by default the current one.

    Raises:
        BuildError: An index does not answer, or a file is not what it should be.
    """
    files = list(wanted)
    found = [_known(file) for file in files]
    if all(found):
        return [listing for listing in found if listing]
    import httpx  # noqa: PLC0415 -- start-up time: nothing is asked where all is known

    from layersmith.base import routes  # noqa: PLC0415 -- see above

    limits = httpx.Limits(max_connections=AT_ONCE, max_keepalive_connections=AT_ONCE)
    with (
        routes.client(root, timeout=30.0, limits=limits) as client,
        ThreadPoolExecutor(AT_ONCE) as pool,
    ):
        waiting = [
            listing or pool.submit(_list, file, client, traffic)
            for file, listing in zip(files, found, strict=True)
        ]
        return [one if isinstance(one, Listing) else one.result() for one in waiting]


def as_wheel(listing: Listing, wanted: ListingRequest) -> Wheel:
    """Return a listing as a wheel whose files have sizes and no content."""
    metadata = listing.metadata.encode("utf-8")
    dist_info = f"{wanted.name}.dist-info"
    entries = []
    for path, size, compressed in listing.files:
        folder, _, name = path.partition("/")
        known = folder.endswith(".dist-info") and name == "METADATA"
        source = Listed(size, compressed, metadata if known else None)
        entries.append(Entry(PREFIX + path, source, wanted.name))
        dist_info = folder if known else dist_info
    if not any(entry.path == f"{PREFIX}{dist_info}/METADATA" for entry in entries):
        # An sdist has PKG-INFO in its place, which an installation turns into METADATA.
        source = Listed(len(metadata), round(len(metadata) * COMPRESSED_SHARE), metadata)
        entries.append(Entry(f"{PREFIX}{dist_info}/METADATA", source, wanted.name))
    return Wheel(Path(wanted.filename), wanted.name, entries, [], dist_info)


def zipped(entry: Entry) -> int:
    """Return the bytes of a file as compressed; estimated where nobody compressed it yet."""
    if isinstance(entry.source, Listed):
        return entry.source.compressed_size
    return round(entry.size * COMPRESSED_SHARE)


def _known(wanted: ListingRequest) -> Listing | None:
    try:
        return Listing.model_validate_json(_path(wanted).read_bytes())
    except (OSError, ValidationError):
        pass
    stored = wheelstore.path_of(wanted.sha256, wanted.filename)
    if not stored.is_file():
        return None
    with stored.open("rb") as stream:
        return _keep(wanted, _read(stream, wanted, stored.stat().st_size))


def _path(wanted: ListingRequest) -> Path:
    return cache.section("listings") / wanted.sha256[:2] / f"{wanted.sha256}.json"


def _keep(wanted: ListingRequest, listing: Listing) -> Listing:
    cache.write_text(_path(wanted), listing.model_dump_json())
    return listing


def _list(wanted: ListingRequest, client: httpx.Client, traffic: Traffic) -> Listing:
    remote = RemoteFile(client, wanted.url, wanted.filename, traffic)
    if not wanted.filename.endswith(".whl"):
        remote.need(0, remote.length)
    if remote.content is not None:
        # All of it is here: a build will not have to fetch it again.
        wheelstore.admit(wanted.sha256, wanted.filename, remote.content)
    return _keep(wanted, _read(remote, wanted, remote.length))


def _read(stream: RemoteFile | io.BufferedIOBase, wanted: ListingRequest, length: int) -> Listing:
    hint = f"ask for another version of {wanted.name}, or tell its authors"
    with damage.told(wanted.filename, hint=hint):
        if wanted.filename.endswith(".whl"):
            return _wheel(stream, length)
        return _sdist(stream.read(), length)


def _wheel(stream: RemoteFile | io.BufferedIOBase, length: int) -> Listing:
    with zipfile.ZipFile(stream) as archive:
        infos = [info for info in archive.infolist() if not info.is_dir()]
        files = [
            (path, info.file_size, info.compress_size)
            for info in infos
            if (path := installed_path(info.filename)) is not None
        ]
        if sum(size for _, _, size in files) > length:
            raise zipfile.BadZipFile("its directory lists more than it holds")
        metadata = _metadata(infos)
        if isinstance(stream, RemoteFile):
            end = metadata.header_offset + LOCAL_HEADER + len(metadata.filename)
            # An extra field may follow the name; 1 kB is more than any tool writes there.
            stream.need(metadata.header_offset, end + metadata.compress_size + 1024)
        text = archive.read(metadata).decode("utf-8", "replace")
    return Listing(download=length, files=files, metadata=text)


def _metadata(infos: list[zipfile.ZipInfo]) -> zipfile.ZipInfo:
    found = [
        info
        for info in infos
        if info.filename.endswith(".dist-info/METADATA") and info.filename.count("/") == 1
    ]
    if len(found) != 1:
        raise zipfile.BadZipFile(f"it has {len(found)} METADATA files")
    return found[0]


def _sdist(content: bytes, length: int) -> Listing:
    """List the modules of a source archive as an installation of pure Python would lay them."""
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        members = {
            member.name.partition("/")[2]: archive.extractfile(member)
            for member in archive.getmembers()
            if member.isfile()
        }
        contents = {path: stream.read() for path, stream in members.items() if stream}
    if "PKG-INFO" not in contents:
        raise tarfile.TarError("it has no PKG-INFO")
    base = "src/" if any(path.startswith("src/") for path in contents) else ""
    files = [
        (path, len(contents[base + path]), len(zlib.compress(contents[base + path], 6)))
        for path in _modules(
            [path.removeprefix(base) for path in contents if path.startswith(base)]
        )
    ]
    return Listing(
        download=length, files=files, metadata=contents["PKG-INFO"].decode("utf-8", "replace")
    )


def _modules(paths: list[str]) -> Iterator[str]:
    packages = {posixpath.dirname(path) for path in paths if path.endswith("/__init__.py")}
    for path in paths:
        top, _, rest = path.partition("/")
        if (rest and top in packages and top not in {"tests", "test", "docs"}) or (
            not rest and path.endswith(".py") and path not in NOT_INSTALLED
        ):
            yield path

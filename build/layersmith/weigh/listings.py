"""Lists what wheels and sdists would install, without having them; listings are kept by SHA-256."""

from __future__ import annotations

import io
import posixpath
import tarfile
import zipfile
import zlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, ValidationError

from layersmith import cache
from layersmith.assemble.tree import PREFIX, Entry
from layersmith.assemble.wheel import Wheel, installed_path
from layersmith.base import damage
from layersmith.errors import BuildError
from layersmith.lock import wheelstore
from layersmith.weigh.remote import RemoteFile, Traffic

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import httpx

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

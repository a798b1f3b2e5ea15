"""Reads a wheel's directory into entries of a layer (PEP 427), without unpacking it."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import mmap
import posixpath
import re
import stat
import struct
import zipfile
from dataclasses import dataclass
from email.parser import HeaderParser
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING

from packaging.requirements import InvalidRequirement

from layersmith.assemble.bill import licenses
from layersmith.assemble.tree import PREFIX, Bytes, Entry, Removed, Tree, WheelMember
from layersmith.base import damage, legacy
from layersmith.base.runtimes import marker_environment
from layersmith.errors import BuildError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from email.message import Message
    from pathlib import Path

    from packaging.requirements import Requirement

    from layersmith.plan import Target

LOCAL_HEADER = struct.Struct("<4s22xHH")
"""Local file header of a zip (APPNOTE 4.3.7): signature, then lengths of name and extra field."""

DATA_DIR = re.compile(r"^[^/]+\.data/(?P<kind>[^/]+)/(?P<rest>.+)$")
"""Files of a wheel that do not go to site-packages as they lie (PEP 427, .data)."""

DEFLATED = zipfile.ZIP_DEFLATED
STORED = zipfile.ZIP_STORED


@dataclass(frozen=True)
class Wheel:
    """A wheel on disk and where its members would be in a layer."""

    path: Path
    distribution: str
    entries: list[Entry]
    removed: list[Removed]
    dist_info: str
    """Folder of its metadata below python/, ``numpy-2.3.5.dist-info``."""

    @cached_property
    def metadata(self) -> Message:
        """Its METADATA."""
        return headers(self._text("METADATA"))

    @cached_property
    def hashes(self) -> dict[str, str]:
        """Its RECORD: path below python/ to ``sha256=...``."""
        with damage.told(self.path.name):
            rows = csv.reader(self._text("RECORD").splitlines())
            return {installed_path(row[0]) or row[0]: row[1] for row in rows if len(row) == 3}

    @cached_property
    def modules(self) -> list[str]:
        """The top-level names that it makes importable."""
        return top_level_modules(entry.inner for entry in self.entries)

    def requirements(
        self, target: Target, extras: frozenset[str] = frozenset()
    ) -> list[Requirement]:
        """Return what it needs on ``target``: markers are judged for the target, not the host."""
        environment = marker_environment(target.runtime, target.architecture)
        found = []
        for text in self.metadata.get_all("Requires-Dist") or []:
            requirement = self._requirement(text)
            marker = requirement.marker
            with damage.told(self.path.name):
                fits = marker is None or any(
                    marker.evaluate({**environment, "extra": extra}) for extra in ("", *extras)
                )
            if fits:
                found.append(requirement)
        return found

    def _requirement(self, text: str) -> Requirement:
        try:
            return legacy.requirement(text)
        except InvalidRequirement as problem:
            raise BuildError(
                f"{self.path.name} requires {text!r}, which is not a requirement (PEP 508)",
                cause=str(problem).splitlines()[0],
                hint=f"constrain {self.distribution} to another version",
            ) from problem

    @cached_property
    def license(self) -> licenses.License:
        """Its license."""
        return licenses.of(self.metadata)

    def _text(self, name: str) -> str:
        path = f"{PREFIX}{self.dist_info}/{name}"
        for entry in self.entries:
            if entry.path == path:
                with damage.told(self.path.name):
                    return legacy.decode(entry.source.read())
        raise BuildError(f"{self.path.name} has no {self.dist_info}/{name}")


@lru_cache(maxsize=1024)
def headers(text: str) -> Message:
    """Return the headers of METADATA or WHEEL, without the description below them.

    The parser goes through a README line by line, and collecting, audit and `weigh` each ask. What
    is returned is shared: read it only.
    """
    return HeaderParser().parsestr(re.split(r"\r?\n\r?\n", text, maxsplit=1)[0])


def read(path: Path, distribution: str) -> Wheel:
    """Read a wheel's directory.

    Raises:
        BuildError: It is not a wheel, or holds a path that leaves its folder.
    """
    infos = directory(path)
    members = locate(path, infos)
    links = {info.filename for info in infos if stat.S_ISLNK(info.external_attr >> 16)}
    entries, removed = [], []
    for info in infos:
        _refuse_unsafe(path, info.filename)
        member = members[_resolve(path, info.filename, members, links)]
        inner = installed_path(info.filename)
        if inner is None:
            removed.append(Removed(info.filename, info.file_size, distribution, "scripts"))
            continue
        executable = bool((info.external_attr >> 16) & 0o111)
        entries.append(Entry(PREFIX + inner, member, distribution, executable))
    return Wheel(path, distribution, entries, removed, _dist_info(path, infos))


LOADED = (".py", ".pyc", ".so")
"""Ends of what Python imports; bytecode stands for its sources where there are none."""


def top_level_modules(paths: Iterable[str]) -> list[str]:
    """Return the importable top-level names among paths below python/."""
    names = set()
    for path in paths:
        first, _, rest = path.partition("/")
        if rest:
            if first.isidentifier() and first != "__pycache__" and rest.endswith(LOADED):
                names.add(first)
        elif first.endswith(LOADED):
            stem = first.split(".", 1)[0]
            if stem.isidentifier():
                names.add(stem)
    return sorted(names)


def directory(path: Path) -> list[zipfile.ZipInfo]:
    """Return the files that a zip lists.

    Raises:
        BuildError: It is not a zip.
    """
    with damage.told(path.name), zipfile.ZipFile(path) as archive:
        return [info for info in archive.infolist() if not info.is_dir()]


def locate(path: Path, infos: list[zipfile.ZipInfo]) -> dict[str, WheelMember]:
    """Return where the bytes of every member lie.

    Raises:
        BuildError: A member is encrypted, compressed otherwise than by deflate, or missing.
    """
    members = {}
    with (
        damage.told(path.name),
        path.open("rb") as stream,
        mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as raw,
    ):
        for info in infos:
            if info.flag_bits & 1 or info.compress_type not in {STORED, DEFLATED}:
                raise BuildError(f"{path.name}: {info.filename} is encrypted or not deflated")
            header = raw[info.header_offset : info.header_offset + LOCAL_HEADER.size]
            signature, name, extra = LOCAL_HEADER.unpack(header)
            if signature != b"PK\x03\x04":
                raise BuildError(f"{path.name} is damaged: its directory points nowhere")
            members[info.filename] = WheelMember(
                wheel=path,
                offset=info.header_offset + LOCAL_HEADER.size + name + extra,
                compressed_size=info.compress_size,
                size=info.file_size,
                method=info.compress_type,
                crc=info.CRC,
            )
    return members


def _resolve(path: Path, name: str, members: dict[str, WheelMember], links: set[str]) -> str:
    """Follow a symbolic link inside a wheel; Lambda's zip would keep it as a text file."""
    seen: set[str] = set()
    while name in links:
        seen.add(name)
        target = members[name].read().decode("utf-8", "replace")
        name = posixpath.normpath(posixpath.join(posixpath.dirname(name), target))
        if name not in members or name in seen:
            raise BuildError(f"{path.name}: a link points to {target}, which is not in the wheel")
    return name


def installed_path(name: str) -> str | None:
    """Return where an installer puts a member, below site-packages; None for scripts.

    Scripts are left out: installers write the build machine's interpreter into them.
    """
    found = DATA_DIR.match(name)
    if not found:
        return name
    return None if found["kind"] in {"scripts", "headers"} else found["rest"]


def _refuse_unsafe(path: Path, name: str) -> None:
    if name.startswith("/") or "\\" in name or ".." in name.split("/"):
        raise BuildError(
            f"{path.name} holds the path {name!r}, which leaves the layer",
            cause="the wheel is broken or malicious",
        )


def _dist_info(path: Path, infos: list[zipfile.ZipInfo]) -> str:
    found = {
        info.filename.split("/", 1)[0]
        for info in infos
        if info.filename.endswith(".dist-info/METADATA") and info.filename.count("/") == 1
    }
    if len(found) != 1:
        raise BuildError(f"{path.name} is not a wheel: it has {len(found)} .dist-info folders")
    return found.pop()


def correct_records(tree: Tree, hashes: Mapping[str, str]) -> None:
    """Write the RECORD of every distribution in ``tree`` anew.

    Args:
        tree: The layer, in its final state.
        hashes: Path below python/ to ``sha256=...``, as the wheels' own RECORDs give them for
            files that are in the layer as the wheel holds them.
    """
    by_distribution: dict[str, list[Entry]] = {}
    for entry in tree.sorted():
        by_distribution.setdefault(entry.distribution, []).append(entry)
    for entries in by_distribution.values():
        for entry in entries:
            if entry.path.endswith(".dist-info/RECORD"):
                tree.replace(Entry(entry.path, Bytes(_rows(entries, hashes)), entry.distribution))


def _rows(entries: list[Entry], hashes: Mapping[str, str]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    for entry in entries:
        if entry.path.endswith((".dist-info/RECORD", ".pyc")):
            writer.writerow((entry.inner, "", ""))
        else:
            writer.writerow((entry.inner, _hash(entry, hashes), entry.size))
    return text.getvalue().encode("utf-8")


def _hash(entry: Entry, hashes: Mapping[str, str]) -> str:
    known = hashes.get(entry.path.removeprefix(PREFIX))
    if known and isinstance(entry.source, WheelMember):
        return known
    digest = hashlib.sha256(entry.source.read()).digest()
    return "sha256=" + base64.urlsafe_b64encode(digest).rstrip(b"=").decode("ascii")

"""The content of a layer before it is written: a virtual tree of entries.

No file is unpacked to make a layer. An entry knows where its bytes are (a member of a wheel, or
memory) and to which distribution it belongs; pruning, stubs, stripping and bytecode are functions
from tree to tree, and only the archive reads what is left.
"""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol

from layersmith.base import damage
from layersmith.errors import BuildError
from layersmith.plan import PACKAGES

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

PREFIX = f"{PACKAGES}/"
"""Where Lambda's Python runtimes look for packages below /opt. What is packaged for /var/task is
built there, too, and loses it when it is archived."""

_SHA256 = re.compile(r"[0-9a-f]{64}")


class Source(Protocol):
    """Where the bytes of an entry are."""

    @property
    def size(self) -> int:
        """Bytes, uncompressed."""

    def read(self) -> bytes:
        """Return the bytes."""


@dataclass(frozen=True)
class WheelMember:
    """A member of a wheel on disk.

    Attributes:
        wheel: Path of the wheel.
        offset: Where the member's compressed bytes begin in the wheel.
        compressed_size: Bytes as stored in the wheel.
        size: Bytes, uncompressed.
        method: 0 (stored) or 8 (deflated), as in a zip's directory.
        crc: CRC-32 of the uncompressed bytes.
    """

    wheel: Path
    offset: int
    compressed_size: int
    size: int
    method: int
    crc: int

    def read_compressed(self) -> bytes:
        """Return the bytes as the wheel holds them."""
        with damage.told(self.wheel.name), self.wheel.open("rb") as stream:
            stream.seek(self.offset)
            return stream.read(self.compressed_size)

    def read(self) -> bytes:
        """Return the uncompressed bytes.

        Raises:
            BuildError: They do not fit the wheel's own directory.
        """
        content = self.read_compressed()
        if self.method != 0:
            with damage.told(self.wheel.name):
                content = zlib.decompress(content, wbits=-15)
        if len(content) != self.size or zlib.crc32(content) != self.crc:
            raise BuildError(f"{self.wheel.name} is damaged: a member does not fit its CRC-32")
        return content


def stored_wheel(source: object) -> str:
    """Return the SHA-256 of the wheel that holds a source, empty where it is not in the store.

    The store keeps a wheel in a folder of that name. What follows from the bytes of a wheel can be
    cached under it.
    """
    folder = source.wheel.parent.name if isinstance(source, WheelMember) else ""
    return folder if _SHA256.fullmatch(folder) else ""


@dataclass(frozen=True)
class Bytes:
    """Content that was made or changed by the build."""

    content: bytes

    @property
    def size(self) -> int:
        """Bytes."""
        return len(self.content)

    def read(self) -> bytes:
        """Return the bytes."""
        return self.content


@dataclass(frozen=True)
class Entry:
    """One file of a layer.

    Attributes:
        path: Path in the zip, with forward slashes, ``python/PIL/Image.py``.
        source: Where its bytes are.
        distribution: Normalized name of the distribution that brings it.
        executable: Whether its mode is 0755 rather than 0644.
    """

    path: str
    source: Source
    distribution: str
    executable: bool = False

    @property
    def size(self) -> int:
        """Bytes, uncompressed."""
        return self.source.size

    @property
    def inner(self) -> str:
        """Path below python/, as sys.path sees it."""
        return self.path.removeprefix(PREFIX)

    def with_content(self, content: bytes) -> Entry:
        """Return the entry with other bytes."""
        return replace(self, source=Bytes(content))


@dataclass(frozen=True)
class Removed:
    """A file that was left out, and the rule that did it."""

    path: str
    size: int
    distribution: str
    rule: str


@dataclass(frozen=True)
class Exemption:
    """Why a file is in the layer although a built-in rule matches it."""

    rule: str
    reason: str


@dataclass
class Tree:
    """The files of a layer by path, and what was left out on the way.

    Attributes:
        entries: The file at every path: the first distribution that brings it owns it.
        rivals: Path to the files of further distributions there, judged after pruning.
        removed: What was left out.
        kept: Path to why it was not left out.
    """

    entries: dict[str, Entry] = field(default_factory=dict)
    rivals: dict[str, list[Entry]] = field(default_factory=dict)
    removed: list[Removed] = field(default_factory=list)
    kept: dict[str, Exemption] = field(default_factory=dict)

    def __iter__(self) -> Iterator[Entry]:
        return iter(self.entries.values())

    def __len__(self) -> int:
        return len(self.entries)

    def __contains__(self, path: str) -> bool:
        return path in self.entries

    @property
    def size(self) -> int:
        """Bytes of all files, uncompressed."""
        return sum(entry.size for entry in self)

    def add(self, entry: Entry) -> None:
        """Put a file in; where its path has an owner already, it is a rival."""
        if entry.path in self.entries:
            self.rivals.setdefault(entry.path, []).append(entry)
        else:
            self.entries[entry.path] = entry

    def replace(self, entry: Entry) -> None:
        """Put a file in the place of the one at its path."""
        self.entries[entry.path] = entry

    def remove(self, path: str, rule: str) -> tuple[Entry, ...]:
        """Leave out what is at a path, and remember that ``rule`` did it.

        Returns:
            The file of each distribution that has this path.
        """
        owners = (self.entries.pop(path), *self.rivals.pop(path, ()))
        self.removed += [Removed(path, one.size, one.distribution, rule) for one in owners]
        return owners

    def restore(self, owners: Sequence[Entry], kept: Exemption) -> None:
        """Put back what ``remove`` took away, and remember why."""
        path = owners[0].path
        self.removed = [one for one in self.removed if one.path != path]
        for entry in owners:
            self.add(entry)
        self.kept[path] = kept

    def sorted(self) -> list[Entry]:
        """Return the files in the order in which they are archived: by the bytes of the path."""
        return sorted(self, key=lambda entry: entry.path.encode("utf-8"))

"""The content of a layer before it is written: a virtual tree of entries.

No file is unpacked to make a layer. An entry knows where its bytes are (a member of a wheel, or
memory) and to which distribution it belongs; pruning, stubs, stripping and bytecode are functions
from tree to tree, and only the archive reads what is left.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol

from layersmith.base import damage
from layersmith.errors import BuildError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

PREFIX = "python/"
"""Where Lambda's Python runtimes look for packages below /opt."""


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


@dataclass
class Tree:
    """The files of a layer by path, and what was left out on the way.

    Raises:
        BuildError: On ``add``, where two distributions own one path.
    """

    entries: dict[str, Entry] = field(default_factory=dict)
    removed: list[Removed] = field(default_factory=list)

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
        """Put a file in; the same bytes from two distributions are one file."""
        other = self.entries.get(entry.path)
        if other is None:
            self.entries[entry.path] = entry
        elif other.source.read() != entry.source.read():
            raise BuildError(
                f"{entry.path} belongs to both {other.distribution} and {entry.distribution}",
                cause="two distributions install the same file with different content",
                hint="list one of them under `excludes`, or its file under `prune: add`",
            )

    def replace(self, entry: Entry) -> None:
        """Put a file in the place of the one at its path."""
        self.entries[entry.path] = entry

    def remove_where(self, rule: str, matches: Callable[[Entry], bool]) -> None:
        """Leave out every file that ``matches``, and remember that ``rule`` did it."""
        for entry in [entry for entry in self if matches(entry)]:
            self.remove(entry.path, rule)

    def remove(self, path: str, rule: str) -> None:
        """Leave out one file, and remember that ``rule`` did it."""
        entry = self.entries.pop(path)
        self.removed.append(Removed(path, entry.size, entry.distribution, rule))

    def sorted(self) -> list[Entry]:
        """Return the files in the order in which they are archived: by the bytes of the path."""
        return sorted(self, key=lambda entry: entry.path.encode("utf-8"))

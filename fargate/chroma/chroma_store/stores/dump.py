"""What a server holds, as files that every store can be fed from."""

from __future__ import annotations

import array
import json
import math
import mmap
import sqlite3
import struct
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vector_common.records import pack_floats, unpack_floats
from vector_common.stores.table import every, write_table

from chroma_store.server.client import ChromaHttp

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from vector_common.records import EmbeddingModel, Space

    from chroma_store.snapshots.manifest import CollectionInfo

_PAGE = 1000
_PAGE_NUMBERS = 1_000_000
"""Of the vectors of a page, which take about 30 bytes each as Python objects."""

_FLOAT = 4
_TOP = 2.0**15
"""What the largest number of a collection is scaled to; 16 bits hold 65,504."""
_SCALES = (2.0**-110, 2.0**24)


@dataclass(frozen=True, slots=True)
class Record:
    """A record as a server gave it."""

    id: str
    vector: array.array[float]
    metadata: dict[str, Any]
    document: str | None


@dataclass(frozen=True, slots=True)
class CollectionDump:
    """A collection, sorted by id.

    Attributes:
        name: Its name.
        dimension: Numbers in a vector; 0 if it never had a record.
        space: The distance.
        count: Records.
        table: Ids, metadata and documents, as `vector_common.stores.table` keeps them.
        vectors: 32-bit floats, in the order of the table.
        largest: The largest number of all vectors, without its sign.
        model: What the vectors come from; None if nobody said.
    """

    name: str
    dimension: int
    space: Space
    count: int
    table: Path
    vectors: Path
    largest: float
    model: EmbeddingModel | None = None

    @property
    def scale(self) -> float:
        """A power of two that brings the numbers to where 16 bits hold most of them."""
        if not self.largest:
            return 1.0
        low, high = _SCALES
        return min(high, max(low, 2.0 ** math.floor(math.log2(_TOP / self.largest))))

    def rows(self) -> Iterator[array.array[float]]:
        """The vectors, in order."""
        size = self.dimension * _FLOAT
        with self.vectors.open("rb") as file:
            for _ in range(self.count):
                yield unpack_floats(file.read(size))

    def records(self) -> Iterator[Record]:
        """The records, in order."""
        for vector, row in zip(self.rows(), every(self.table), strict=True):
            yield Record(row[0], vector, row[1], row[2])

    def write_half(self, path: Path) -> None:
        """Write the vectors as 16-bit floats, scaled."""
        scale, pattern = self.scale, struct.Struct(f"<{self.dimension}e")
        with path.open("wb") as out:
            for vector in self.rows():
                out.write(pattern.pack(*[number * scale for number in vector]))


def dump(base_url: str, folder: Path) -> list[CollectionDump]:
    """Read every collection of a server's default tenant and database into a folder.

    Raises:
        Unavailable: The server does not answer.
    """
    server = ChromaHttp(base_url)
    folder.mkdir(parents=True)
    return [
        _collection(server, info, folder / str(number))
        for number, info in enumerate(server.collections())
    ]


def _collection(server: ChromaHttp, info: CollectionInfo, folder: Path) -> CollectionDump:
    folder.mkdir()
    dimension, table, vectors = info.dimension or 0, folder / "table", folder / "vectors"
    size = max(1, min(_PAGE, _PAGE_NUMBERS // max(dimension, 1)))
    found, largest, count = server.find(info.name), 0.0, 0
    with closing(sqlite3.connect(folder / "unsorted", isolation_level=None)) as unsorted:
        unsorted.executescript(
            "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; CREATE TABLE records "
            "(id TEXT PRIMARY KEY, place INTEGER, metadata TEXT, document TEXT) WITHOUT ROWID;"
        )
        with (folder / "unsorted.vectors").open("w+b") as file:
            while (page := server.page(found, count, size))["ids"]:
                columns = (page["ids"], page["embeddings"], page["metadatas"], page["documents"])
                unsorted.execute("BEGIN")
                for identifier, numbers, metadata, document in zip(*columns, strict=True):
                    vector = array.array("f", numbers)
                    largest = max(largest, *map(abs, vector))
                    file.write(pack_floats(vector))
                    row = (identifier, count, json.dumps(_clean(metadata)), document)
                    unsorted.execute("INSERT INTO records VALUES (?, ?, ?, ?)", row)
                    count += 1
                unsorted.execute("COMMIT")
            _sort(unsorted, file, vectors, dimension * _FLOAT)
        select = "SELECT id, metadata, document FROM records ORDER BY id"
        write_table(table, ((i, json.loads(m), d) for i, m, d in unsorted.execute(select)))
    return CollectionDump(
        info.name,
        dimension,
        # Chroma's default for a collection that says nothing.
        info.space or "l2",  # type: ignore[arg-type]
        count,
        table,
        vectors,
        largest,
        server.model(info.name),
    )


def _sort(unsorted: sqlite3.Connection, file: Any, path: Path, size: int) -> None:
    file.flush()
    with path.open("wb") as out:
        if not file.tell():
            return
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            for (place,) in unsorted.execute("SELECT place FROM records ORDER BY id"):
                out.write(data[place * size : (place + 1) * size])


def _clean(metadata: dict[str, Any] | None) -> dict[str, Any]:
    # Chroma writes null for a key that was removed; it means the same as no key.
    return {key: value for key, value in (metadata or {}).items() if value is not None}

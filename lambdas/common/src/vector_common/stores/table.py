"""The records of a collection in one SQLite file: ids, metadata, documents, and an index to filter.

Rows are numbered from 0 in the order of the ids, as the vectors beside them are. The same records
always give the same bytes, so a file is named by its digest and stored once.
"""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from vector_common.errors import Damaged
from vector_common.stores.where import Filter, MetadataCombination, MetadataComparison

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

_SCHEMA = """
CREATE TABLE records (row INTEGER PRIMARY KEY, id TEXT NOT NULL, metadata TEXT, document TEXT);
CREATE TABLE metadata (
  key TEXT NOT NULL, kind TEXT NOT NULL, value NOT NULL, row INTEGER NOT NULL,
  PRIMARY KEY (key, kind, value, row)
) WITHOUT ROWID;
"""
_KINDS: dict[type, str] = {bool: "boolean", int: "integer", float: "float", str: "string"}
_SIGNS = {"$gt": ">", "$gte": ">=", "$lt": "<", "$lte": "<="}
_LEAST, _MOST = -(2**63), 2**63 - 1
_AT_ONCE = 500
"""Rows asked for in one statement."""


def write_table(
    path: Path, records: Iterable[tuple[str, Mapping[str, Any] | None, str | None]]
) -> None:
    """Make the file.

    Args:
        path: Where; there must be none.
        records: Id, metadata and document of each, sorted by id.
    """
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.executescript("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;" + _SCHEMA)
        database.execute("BEGIN")
        for row, (identifier, metadata, document) in enumerate(records):
            text = json.dumps(metadata, ensure_ascii=False, sort_keys=True) if metadata else None
            database.execute(
                "INSERT INTO records VALUES (?, ?, ?, ?)", (row, identifier, text, document)
            )
            database.executemany(
                "INSERT INTO metadata VALUES (?, ?, ?, ?)",
                # Other values, as Chroma's arrays, are in the record and match no comparison.
                [
                    (key, _KINDS[type(value)], value, row)
                    for key, value in sorted((metadata or {}).items())
                    if type(value) in _KINDS
                ],
            )
        database.execute("COMMIT")


def matching(path: Path, where: Filter) -> list[int]:
    """The rows that a filter finds, in order."""
    query, values = _sql(where)
    with closing(_open(path)) as database:
        return [row for (row,) in _rows(database, path, f"{query} ORDER BY row", values)]


def fetch(path: Path, rows: Sequence[int]) -> dict[int, tuple[str, dict[str, Any], str | None]]:
    """Id, metadata and document of rows, by row."""
    found: dict[int, tuple[str, dict[str, Any], str | None]] = {}
    with closing(_open(path)) as database:
        for start in range(0, len(rows), _AT_ONCE):
            some = rows[start : start + _AT_ONCE]
            marks = ", ".join("?" * len(some))
            query = f"SELECT row, id, metadata, document FROM records WHERE row IN ({marks})"  # noqa: S608
            for row, identifier, text, document in _rows(database, path, query, list(some)):
                found[row] = identifier, json.loads(text) if text else {}, document
    return found


def every(path: Path) -> Iterator[tuple[str, dict[str, Any], str | None]]:
    """Id, metadata and document of all rows, in order."""
    with closing(_open(path)) as database:
        query = "SELECT id, metadata, document FROM records ORDER BY row"
        for identifier, text, document in _rows(database, path, query, []):
            yield identifier, json.loads(text) if text else {}, document


def _open(path: Path) -> sqlite3.Connection:
    # Immutable: no locks, and no look for a journal, which a read-only file system would refuse.
    return sqlite3.connect(f"file:{quote(str(path))}?mode=ro&immutable=1", uri=True)


def _rows(
    database: sqlite3.Connection, path: Path, query: str, values: Sequence[Any]
) -> Iterator[Any]:
    try:
        yield from database.execute(query, values)
    except sqlite3.DatabaseError as error:
        raise Damaged(f"{path.name}: {error}") from error


def _sql(where: Filter) -> tuple[str, list[Any]]:
    """A statement that selects rows, and its values."""
    if isinstance(where, MetadataCombination):
        word = " INTERSECT " if where.operator == "$and" else " UNION "
        parts = [_sql(part) for part in where.parts]
        query = word.join(f"SELECT row FROM ({part})" for part, _ in parts)  # noqa: S608
        return query, [value for _, values in parts for value in values]
    return _compared(where)


def _compared(where: MetadataComparison) -> tuple[str, list[Any]]:
    values = where.values
    if isinstance(values[0], bool | str):
        kinds: list[tuple[str, list[Any]]] = [(_KINDS[type(values[0])], list(values))]
    else:
        # As Chroma does: it compares integers with the whole part of a number, so that 2.5 finds 2.
        whole = [min(_MOST, max(_LEAST, int(number))) for number in where.numbers]
        kinds = [("integer", list(whole)), ("float", [float(n) for n in where.numbers])]
    test = f"value {_SIGNS.get(where.operator, 'IN')} "
    test += "?" if where.operator in _SIGNS else f"({', '.join('?' * len(values))})"
    query = " UNION ALL ".join(
        f"SELECT row FROM metadata WHERE key = ? AND kind = ? AND {test}"  # noqa: S608
        for _ in kinds
    )
    given = [value for kind, numbers in kinds for value in (where.key, kind, *numbers)]
    if where.operator in {"$ne", "$nin"}:
        query = f"SELECT row FROM records WHERE row NOT IN ({query})"  # noqa: S608
    return query, given

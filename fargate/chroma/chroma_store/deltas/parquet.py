"""Records to and from Parquet: a way in and out that is not Chroma's own format.

Columns: ``id`` (string), ``embedding`` (fixed-size list of 32-bit floats), ``metadata`` (a JSON
object as string) and ``document`` (string). The file's metadata names the collection's space and,
where it is known, the embedding model.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]
from vector_common.embedding.writing import check_texts, with_vectors
from vector_common.errors import BadRequest, Conflict
from vector_common.records import SPACES, CollectionSpec, parse_change, parse_model

from chroma_store.server.client import ChromaHttp

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from vector_common.records import EmbeddingModel

    from chroma_store.deltas.log import DeltaLog

_PAGE = 1000
_SPACE = b"chroma.space"
_MODEL, _VERSION = b"embedding.model", b"embedding.version"


def export_collection(base_url: str, name: str, path: Path) -> tuple[int, list[str]]:
    """Write a collection of a running server to a file.

    The file appears under its name when it is whole.

    Returns:
        The number of its records, and why `import_collection` will refuse some of them: clients
        may write through a session what deltas may not hold.

    Raises:
        NotFound: There is no such collection.
        Conflict: It changed while it was read.
    """
    server = ChromaHttp(base_url)
    info = next((c for c in server.collections() if c.name == name), None)
    collection = server.find(name)
    dimension = (info.dimension if info else None) or 0
    schema = _schema(dimension, (info.space if info else None) or "l2")
    partial = path.with_name(f".{path.name}.partial")
    written = 0
    problems: list[str] = []
    # A collection that never had a record has no dimension, and no record to check.
    spec = _known_spec(name, dimension or 1, (info.space if info else None) or "l2")
    if model := server.model(name):
        schema = schema.with_metadata({**schema.metadata, **_model_bytes(model)})
    try:
        with pq.ParquetWriter(partial, schema, compression="zstd") as writer:
            for table in _pages(server, collection, schema):
                problems += _refused(table, spec)
                writer.write_table(table)
                written += table.num_rows
        if written != server.count(collection):
            raise Conflict(f"collection {name}: changed while it was exported")
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return written, problems


def import_collection(
    log: DeltaLog, name: str, path: Path, *, space: str | None = None, embed: bool = False
) -> int:
    """Append the records of a file as deltas; return their number.

    Nothing is written unless every record of the file is good.

    Args:
        log: The database's deltas.
        name: The collection that they go to.
        path: The file.
        space: Of the collection; the file's own if None.
        embed: Whether to make the vectors of the documents anew, by the embedder that EMBEDDER
            names; those of the file, if it has any, are not read.

    Raises:
        BadRequest: The file is not one, or a record is refused.
        Conflict: The collection is there with another dimension or space.
        ModelMismatch: It is there with another model.
        EmbedderFailed, Unavailable: The embedder did not do it.
    """
    try:
        file = pq.ParquetFile(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise BadRequest(f"{path}: is not a Parquet file that can be read: {error}") from None
    with file:
        if not file.metadata.num_rows:
            return 0
        spec = None if embed else _spec(file, name, space)
        wanted = {"name": name, "space": space or _file_space(file)}
        for checking in (True, False):
            rows = 0
            for records in _records(file, embed=embed):
                if spec is not None:
                    log.check(records, spec) if checking else log.append(records, spec)
                elif checking:
                    changes, settled, _ = check_texts(records, wanted)
                    log.check(changes, settled)
                else:
                    log.append(*with_vectors(records, wanted))
                rows += len(records)
    return rows


def _schema(dimension: int, space: str) -> pa.Schema:
    return pa.schema(
        [
            pa.field("id", pa.string(), nullable=False),
            pa.field("embedding", pa.list_(pa.float32(), dimension), nullable=False),
            pa.field("metadata", pa.string()),
            pa.field("document", pa.string()),
        ],
        metadata={_SPACE: space.encode()},
    )


def _pages(server: ChromaHttp, collection: str, schema: pa.Schema) -> Iterator[pa.Table]:
    offset = 0
    while True:
        page = server.page(collection, offset, _PAGE)
        if not page["ids"]:
            return
        columns = [
            page["ids"],
            page["embeddings"],
            [None if m is None else json.dumps(m, allow_nan=False) for m in page["metadatas"]],
            page["documents"],
        ]
        arrays = [pa.array(c, type=f.type) for c, f in zip(columns, schema, strict=True)]
        yield pa.Table.from_arrays(arrays, schema=schema)
        offset += len(page["ids"])


def _spec(file: pq.ParquetFile, name: str, space: str | None) -> CollectionSpec:
    schema = file.schema_arrow
    missing = {"id", "embedding"} - set(schema.names)
    if missing:
        raise BadRequest(f"file: has no column {', '.join(sorted(missing))}")
    kind = schema.field("embedding").type
    if pa.types.is_fixed_size_list(kind):
        dimension = kind.list_size
    else:
        first = next(iter(file.iter_batches(1, columns=["embedding"])), None)
        dimension = len(first.column(0)[0]) if first is not None and len(first) else 0
    space = space or _file_space(file)
    model = _model(schema.metadata or {})
    return replace(_known_spec(name, dimension, space), model=model)


def _file_space(file: pq.ParquetFile) -> str:
    return str((file.schema_arrow.metadata or {}).get(_SPACE, b"cosine").decode())


def _model_bytes(model: EmbeddingModel) -> dict[bytes, bytes]:
    return {_MODEL: model.name.encode(), _VERSION: model.version.encode()}


def _model(metadata: Mapping[bytes, bytes]) -> EmbeddingModel | None:
    if not (name := metadata.get(_MODEL)):
        return None
    return parse_model({"name": name.decode(), "version": metadata.get(_VERSION, b"").decode()})


def _known_spec(name: str, dimension: int, space: str) -> CollectionSpec:
    known = next((s for s in SPACES if s == space), None)
    if known is None or not dimension:
        raise BadRequest(f"file: {dimension} dimensions in space {space!r} make no collection")
    return CollectionSpec(name, dimension, known)


def _refused(table: pa.Table, spec: CollectionSpec) -> list[str]:
    found = []
    for row in table.to_pylist():
        try:
            parse_change(_record(row), spec)
        except BadRequest as error:
            what = str(error).removeprefix("records[0]").lstrip(".: ")
            found.append(f"record {row['id'][:80]!a}: {what}")
    return found


def _records(file: pq.ParquetFile, *, embed: bool = False) -> Iterator[list[dict[str, Any]]]:
    wanted = (
        ("id", "metadata", "document") if embed else ("id", "embedding", "metadata", "document")
    )
    if missing := ({"id", "document"} if embed else set()) - set(file.schema_arrow.names):
        raise BadRequest(f"file: has no column {', '.join(sorted(missing))}")
    columns = [c for c in wanted if c in file.schema_arrow.names]
    for batch in file.iter_batches(_PAGE, columns=columns):
        records = [_record(row) for row in batch.to_pylist()]
        if embed:
            for record in records:
                if not record["document"]:
                    raise BadRequest(f"record {record['id']}: has no document to embed")
                record["text"] = record.pop("document")
        yield records


def _record(row: dict[str, Any]) -> dict[str, Any]:
    metadata = row.get("metadata")
    if isinstance(metadata, str):
        try:
            metadata = json.loads(metadata)
        except ValueError as error:
            raise BadRequest(f"record {row['id']}: metadata is not JSON: {error}") from None
    # Chroma writes null for a key that was removed; it means the same as no key.
    clean = {k: v for k, v in (metadata or {}).items() if v is not None}
    return {
        "id": row["id"],
        "embedding": row.get("embedding"),
        "metadata": clean or None,
        "document": row.get("document"),
    }

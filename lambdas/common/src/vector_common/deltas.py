"""Deltas: changes as immutable objects, written without a server.

A delta is a text file. Its first line is a JSON header, each line after it one change; vectors
are base64 of little-endian 32-bit floats. The header carries the SHA-256 of itself without that
and of the lines after it.
docs/vectors-format.md is the specification.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from vector_common.errors import (
    BadRequest,
    Conflict,
    Contended,
    Damaged,
    ModelMismatch,
    NotFound,
    PreconditionFailed,
    Refused,
)
from vector_common.ids import new_id
from vector_common.names import (
    check_database,
    claim_key,
    collection_key,
    delta_key,
    delta_prefix,
    is_delta,
)
from vector_common.records import (
    CollectionSpec,
    VectorRecord,
    pack_floats,
    parse_change,
    parse_records,
    parse_spec,
    unpack_floats,
)

if TYPE_CHECKING:
    import array
    from collections.abc import Iterator, Mapping, Sequence

    from vector_common.storage import Storage

FORMAT = 1
# Under Chroma's largest batch (5,461 records), and small enough to hold many in memory.
MAX_RECORDS = 2000
MAX_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class RefusedChange:
    """A change as it was written, and why it cannot be applied."""

    line: bytes
    reason: str


@dataclass(frozen=True, slots=True)
class Delta:
    """A delta as it was read.

    Attributes:
        id: Its id.
        spec: What its collection demands.
        records: The changes in order.
        refused: Changes of an earlier version's writer that break today's rules; not in
            ``records``.
        size: Bytes of its object.
    """

    id: str
    spec: CollectionSpec
    records: list[VectorRecord]
    refused: tuple[RefusedChange, ...] = ()
    size: int = field(default=0, compare=False)


def encode(delta: Delta) -> bytes:
    """The bytes of a delta; the same delta always gives the same bytes."""
    lines = [encode_record(record) for record in delta.records]
    return _assemble(delta.id, delta.spec, lines)


def encode_lines(delta_id: str, spec: CollectionSpec, lines: list[bytes]) -> bytes:
    """The bytes of a delta of changes that are lines already."""
    return _assemble(delta_id, spec, lines)


def decode(data: bytes, delta_id: str) -> Delta:
    """Read a delta back, checking everything.

    A change that breaks a rule does not keep the others from being read; it is in ``refused``.

    Args:
        data: The object.
        delta_id: The id in its key, which the header must repeat.

    Raises:
        Damaged: It is not what its writer wrote.
        Refused: Its format is newer than this reader.
    """
    head, _, body = data.partition(b"\n")
    try:
        header = json.loads(head)
        if header.get("format") != FORMAT:
            raise Refused(f"delta {delta_id}: format {header.get('format')!r}, known is {FORMAT}")
        digest = header.pop("sha256")
        if _digest(header, body) != digest or header["id"] != delta_id:
            raise Damaged(f"delta {delta_id}: checksum or id does not fit")
        spec = parse_spec(header["collection"])
    except (ValueError, KeyError, AttributeError, TypeError, BadRequest) as error:
        raise Damaged(f"delta {delta_id}: {error}") from error
    lines = body.splitlines(keepends=True)
    if len(lines) != header.get("count"):
        raise Damaged(f"delta {delta_id}: {len(lines)} records, header says otherwise")
    records: list[VectorRecord] = []
    refused: list[RefusedChange] = []
    for line in lines:
        try:
            records.append(parse_change(_decode_record(line), spec))
        except (ValueError, TypeError, binascii.Error, BadRequest) as error:
            refused.append(RefusedChange(line, str(error).removeprefix("records[0]")))
    return Delta(delta_id, spec, records, tuple(refused), len(data))


class DeltaWriter:
    """Appends changes to a database in a store.

    Args:
        storage: Where the database lies.
        database: Its name.
    """

    def __init__(self, storage: Storage, database: str) -> None:
        self._storage = storage
        self._database = check_database(database)
        self._specs: dict[str, CollectionSpec] = {}

    def append(
        self,
        raw: Sequence[Mapping[str, Any]],
        spec: CollectionSpec,
        *,
        idempotency_key: str | None = None,
        content: bytes | None = None,
    ) -> list[str]:
        """Check changes and write them; when this returns, they are kept.

        A batch that does not fit one object becomes several, in order. If a write fails, the
        objects before it stay: sending the whole batch again is safe, for every change is
        idempotent.

        Args:
            raw: Changes as `records.parse_records` takes them.
            spec: The collection; its first writer settles dimension and space.
            idempotency_key: Names the batch. Sent again within a day, the same key gives the
                same deltas, so that no late copy undoes what was written after the first.
            content: What the key stands for, if not these very changes: a model may give a text
                another vector the next time.

        Returns:
            The ids of the deltas, in order; none for an empty batch.

        Raises:
            BadRequest: A change is not allowed; nothing was written.
            Conflict: The collection has another dimension or space, or the idempotency key
                was used for another batch.
            ModelMismatch: The collection's vectors come from another model.
            StoreError: The store failed.
        """
        records = parse_records(raw, spec)
        if not records:
            return []
        spec = self.settle(spec)
        parts = list(_split([encode_record(record) for record in records]))
        ids = [new_id() for _ in parts]
        if idempotency_key is not None:
            ids = self._claim(idempotency_key, spec, content or b"".join(map(b"".join, parts)), ids)
        for delta_id, lines in zip(ids, parts, strict=True):
            data = _assemble(delta_id, spec, lines)
            try:
                self._storage.put(delta_key(self._database, delta_id), data, if_none_match=True)
            except PreconditionFailed:
                # The claim says that it is the same batch, which was written with other vectors.
                if content is None:
                    raise
        return ids

    def spec(self, collection: str) -> CollectionSpec | None:
        """What a collection's first writer settled; None if nobody has written."""
        if collection not in self._specs:
            settled = read_settings(self._storage, self._database, collection)
            if settled is None:
                return None
            self._specs[collection] = settled
        return self._specs[collection]

    def settle(self, spec: CollectionSpec) -> CollectionSpec:
        """Write a collection's specification, or check it against the one that is there.

        A collection without a model takes the first one that a writer names.

        Returns:
            The one that is there now.

        Raises:
            Conflict: It is there and differs.
            ModelMismatch: It differs in the model, or in the dimension of the model's vectors.
        """
        known = self.spec(spec.name)
        if known is None:
            try:
                key = collection_key(self._database, spec.name)
                self._storage.put(key, _settings(spec), if_none_match=True)
            except PreconditionFailed:
                known = self.spec(spec.name)
            else:
                self._specs[spec.name] = known = spec
        if known is None:
            raise Contended(f"collection {spec.name}: its settings were removed just now")
        known.check_model(spec.model)
        if known != spec:
            other = spec.model and known.dimension != spec.dimension
            kind = ModelMismatch if other else Conflict
            raise kind(
                f"collection {spec.name}: is {known.dimension} dimensions in space "
                f"{known.space}, not {spec.dimension} in {spec.space}"
            )
        if spec.model and known.model is None:
            return self._name_model(spec)
        return known

    def _name_model(self, spec: CollectionSpec) -> CollectionSpec:
        """Add a model to settings that have none, unless another writer was faster."""
        key = collection_key(self._database, spec.name)
        etag = self._storage.get(key).etag
        self._specs.pop(spec.name, None)
        known = self.spec(spec.name)
        if known == spec and known.model is None:
            try:
                self._storage.put(key, _settings(spec), if_match=etag)
            except PreconditionFailed:
                self._specs.pop(spec.name, None)
            else:
                self._specs[spec.name] = spec
        return self.settle(spec)

    def _claim(self, key: str, spec: CollectionSpec, batch: bytes, ids: list[str]) -> list[str]:
        """The ids of the first batch that came with ``key``; ``ids`` if this is the first."""
        content = hashlib.sha256(_json([spec.name, spec.dimension, spec.space]) + batch)
        claim = _json({"ids": ids, "sha256": content.hexdigest()})
        where = claim_key(self._database, hashlib.sha256(key.encode()).hexdigest())
        try:
            self._storage.put(where, claim, if_none_match=True)
        except PreconditionFailed:
            first = json.loads(self._storage.get(where).data)
            if first["sha256"] != content.hexdigest():
                raise Conflict("idempotencyKey: was used for another batch") from None
            return [str(delta_id) for delta_id in first["ids"]]
        return ids


def _assemble(delta_id: str, spec: CollectionSpec, lines: list[bytes]) -> bytes:
    body = b"".join(lines)
    header = {
        "format": FORMAT,
        "id": delta_id,
        "collection": spec.document(),
        "count": len(lines),
    }
    return _json({**header, "sha256": _digest(header, body)}) + b"\n" + body


def _digest(header: Mapping[str, Any], body: bytes) -> str:
    return hashlib.sha256(_json(header) + b"\n" + body).hexdigest()


def _split(lines: list[bytes]) -> Iterator[list[bytes]]:
    part: list[bytes] = []
    size = 0
    for line in lines:
        if part and (len(part) == MAX_RECORDS or size + len(line) > MAX_BYTES):
            yield part
            part, size = [], 0
        part.append(line)
        size += len(line)
    yield part


def read_settings(storage: Storage, database: str, collection: str) -> CollectionSpec | None:
    """The settings of a collection; None if none were written.

    Raises:
        Damaged: They are not what their writer wrote.
    """
    try:
        blob = storage.get(collection_key(database, collection))
    except NotFound:
        return None
    try:
        value = json.loads(blob.data)
        spec = parse_spec(value)
    except (ValueError, RecursionError, BadRequest) as error:
        raise Damaged(f"specification of {collection}: {error}") from error
    # Earlier writers gave no checksum.
    if spec.name != collection or value.get("sha256", _settings_digest(spec)) != _settings_digest(
        spec
    ):
        raise Damaged(f"specification of {collection}: checksum or name does not fit")
    return spec


def write_settings(storage: Storage, database: str, spec: CollectionSpec) -> None:
    """Replace the settings of a collection; for a rebuild, which holds the lease."""
    storage.put(collection_key(database, spec.name), _settings(spec))


def drop_settings(storage: Storage, database: str, collection: str) -> None:
    """Remove the settings of a collection, so that the next writer settles new ones."""
    storage.delete([collection_key(database, collection)])


def _settings(spec: CollectionSpec) -> bytes:
    return _json({**spec.document(), "sha256": _settings_digest(spec)})


def _settings_digest(spec: CollectionSpec) -> str:
    return hashlib.sha256(_json(spec.document())).hexdigest()


def encode_record(record: VectorRecord) -> bytes:
    """The line of a change; the same change always gives the same line."""
    value: dict[str, object] = {"op": record.op, "id": record.id}
    if record.embedding is not None:
        value["embedding"] = base64.b64encode(pack_floats(record.embedding)).decode()
    if record.metadata is not None:
        value["metadata"] = dict(record.metadata)
    if record.document is not None:
        value["document"] = record.document
    return _json(value) + b"\n"


def _decode_record(line: bytes) -> dict[str, object]:
    value: dict[str, object] = json.loads(line)
    if "embedding" in value:
        value["embedding"] = _decode_embedding(value["embedding"])
    return value


def _decode_embedding(text: object) -> array.array[float]:
    if not isinstance(text, str):
        raise TypeError("an embedding must be base64")
    return unpack_floats(base64.b64decode(text, validate=True))


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":"), allow_nan=False, ensure_ascii=True).encode()


def has_deltas(storage: Storage, database: str) -> bool:
    """Whether any delta of a database is in the store, consumed or not."""
    return any(is_delta(info.key) for info in storage.list(delta_prefix(database)))

"""A snapshot's manifest: what files there are and which compressed chunks they are made of.

A manifest may come from a bucket that somebody else can write to, so reading one trusts nothing:
`SnapshotManifest.parse` either returns a manifest that can be restored safely or raises.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, field, replace
from typing import Any

from vector_common.errors import BadRequest, Damaged, Refused
from vector_common.ids import is_id
from vector_common.names import check_database

from chroma_store.snapshots.checks import (
    check_names,
    check_path,
    identifier,
    integer,
    matching,
    text,
)

FORMAT = 1
APART_FORMAT = 2
"""Of a manifest whose consumed deltas are listed in another object. A reader that does not know of
that object would apply them twice, and refuses the format."""

MAX_LISTED = 256
"""Consumed deltas that a manifest lists itself: at most 14 KB of it."""

CHUNK_BYTES = 1024 * 1024
"""Uncompressed bytes of a chunk.

Measured with 100,000 vectors of which 1 % changed: patches against the chunk before take 2 % of
the bytes at 1 MiB as at 8 MiB, but zstd's default tables do not see back further than 1 MiB, and
bigger ones take three to eight times as long.
"""

MAX_LAYERS = 8
MAX_FILES = 100_000
MAX_MANIFEST_BYTES = 256 * 1024 * 1024
_SHA256 = re.compile(r"[0-9a-f]{64}")
_PACK = re.compile(r"([0-9a-f-]{36})/([0-9]{6})")
_VERSION = re.compile(r"[0-9]+(\.[0-9]+){1,3}([A-Za-z0-9.+-]{0,40})")


@dataclass(frozen=True, slots=True)
class ChunkLayer:
    """A zstd frame inside a pack: at ``offset``, ``length`` bytes long."""

    pack: str
    offset: int
    length: int


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of a file.

    Attributes:
        size: Uncompressed bytes, at most `CHUNK_BYTES`.
        sha256: Of the uncompressed bytes, in hex.
        layers: A whole frame first, then patches, each against the result of those before.
    """

    size: int
    sha256: str
    layers: tuple[ChunkLayer, ...]

    @property
    def stored(self) -> int:
        """Compressed bytes of all layers."""
        return sum(layer.length for layer in self.layers)


@dataclass(frozen=True, slots=True)
class FileEntry:
    """A regular file: ``size`` bytes from ``offset`` in chunk ``chunk`` on.

    A file of a chunk's size or more begins a chunk and ends one. Smaller ones share chunks, and
    none of them spans two.
    """

    path: str
    size: int
    chunk: int
    offset: int


@dataclass(frozen=True, slots=True)
class CollectionInfo:
    """A collection as the server reported it when the snapshot was taken."""

    name: str
    dimension: int | None
    count: int
    space: str | None = None


@dataclass(frozen=True)
class SnapshotManifest:
    """What a snapshot holds.

    Attributes:
        snapshot_id: A UUIDv7, made when the snapshot was begun.
        database: The database that it belongs to.
        parent: The snapshot that it was made from, if any.
        created_at: ISO 8601, UTC.
        chroma_version: Of the server that wrote the files.
        collections: What it contains, by name.
        consumed: Ids of the deltas that it contains, with the Unix second of their consumption.
            Those whose objects are long gone are left out.
        files: In the order of their chunks.
        chunks: In the order of their bytes.
        counted: False if the server could not say what it held; ``collections`` is empty then.
        consumed_sha256: Of the object that lists ``consumed``, if it does not lie in the manifest.
    """

    snapshot_id: str
    database: str
    parent: str | None
    created_at: str
    chroma_version: str
    collections: tuple[CollectionInfo, ...] = ()
    consumed: dict[str, int] = field(default_factory=dict)
    files: tuple[FileEntry, ...] = ()
    chunks: tuple[Chunk, ...] = ()
    counted: bool = True
    consumed_sha256: str | None = None

    @property
    def total_bytes(self) -> int:
        """Uncompressed bytes of all files."""
        return sum(entry.size for entry in self.files)

    @property
    def stored_bytes(self) -> int:
        """Compressed bytes that a restore transfers."""
        return sum(chunk.stored for chunk in self.chunks)

    @property
    def packs(self) -> frozenset[str]:
        """Every pack that some chunk needs."""
        return frozenset(layer.pack for chunk in self.chunks for layer in chunk.layers)

    def consumed_list(self) -> bytes:
        """What the object that lists the consumed deltas holds: JSON."""
        return json.dumps(self.consumed, separators=(",", ":")).encode()

    def apart(self) -> SnapshotManifest:
        """The manifest as it is published: with a long list of consumed deltas in another object.

        A day's deltas may be hundreds of thousands, and a manifest is kept for a week.
        """
        many = len(self.consumed) > MAX_LISTED
        digest = hashlib.sha256(self.consumed_list()).hexdigest() if many else None
        return replace(self, consumed_sha256=digest)

    def with_consumed(self, data: bytes) -> SnapshotManifest:
        """The manifest with what the object that lists its consumed deltas holds.

        Raises:
            Refused: It is too large.
            Damaged: It is not the one that the manifest names.
        """
        what = f"consumed deltas of {self.snapshot_id}"
        if len(data) > MAX_MANIFEST_BYTES:
            raise Refused(f"{what}: {len(data)} bytes are more than {MAX_MANIFEST_BYTES}")
        if hashlib.sha256(data).hexdigest() != self.consumed_sha256:
            raise Damaged(f"{what}: is not the list that the manifest names")
        try:
            return replace(self, consumed=_consumed(json.loads(data)))
        except (AttributeError, TypeError, ValueError, RecursionError, BadRequest) as error:
            raise Damaged(f"{what}: {type(error).__name__}: {error}") from None

    def serialize(self) -> bytes:
        """The manifest as JSON; without the consumed deltas if another object lists them."""
        packs = sorted(self.packs)
        number = {pack: i for i, pack in enumerate(packs)}
        value = {
            "format": APART_FORMAT if self.consumed_sha256 else FORMAT,
            "snapshot_id": self.snapshot_id,
            "database": self.database,
            "parent": self.parent,
            "created_at": self.created_at,
            "chroma_version": self.chroma_version,
            "collections": [
                {"name": c.name, "dimension": c.dimension, "count": c.count, "space": c.space}
                for c in self.collections
            ],
            "consumed": {} if self.consumed_sha256 else self.consumed,
            "packs": packs,
            "files": [[f.path, f.size, f.chunk, f.offset] for f in self.files],
            "chunks": [
                [c.size, c.sha256, [[number[y.pack], y.offset, y.length] for y in c.layers]]
                for c in self.chunks
            ],
        }
        if self.consumed_sha256:
            value["consumed_sha256"] = self.consumed_sha256
        if not self.counted:
            value["counted"] = False
        return json.dumps(value, separators=(",", ":"), allow_nan=False).encode()

    @classmethod
    def parse(cls, data: bytes) -> SnapshotManifest:
        """Read a manifest, trusting nothing.

        Raises:
            Refused: Its format is unknown, or it asks for something unsafe.
            Damaged: It is not a manifest, or contradicts itself.
        """
        if len(data) > MAX_MANIFEST_BYTES:
            raise Refused(f"manifest: {len(data)} bytes are more than {MAX_MANIFEST_BYTES}")
        try:
            raw = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise Damaged(f"manifest: is not JSON: {error}") from None
        if not isinstance(raw, dict):
            raise Damaged("manifest: is not an object")
        if (known := raw.get("format")) not in (FORMAT, APART_FORMAT):
            raise Refused(
                f"manifest: format {known!r} is unknown, known are {FORMAT} and {APART_FORMAT}"
            )
        try:
            manifest = _build(raw)
        except (AttributeError, KeyError, TypeError, ValueError, IndexError, BadRequest) as error:
            raise Damaged(f"manifest: {type(error).__name__}: {error}") from None
        _check_layout(manifest)
        return manifest


def _build(raw: dict[str, Any]) -> SnapshotManifest:
    packs = [_pack(pack) for pack in raw["packs"]]
    chunks = tuple(
        Chunk(
            integer(size, 1, CHUNK_BYTES),
            matching(_SHA256, sha256),
            _layers(layers, packs),
        )
        for size, sha256, layers in raw["chunks"]
    )
    if len(raw["files"]) > MAX_FILES:
        raise Refused(f"manifest: more than {MAX_FILES} files")
    parent = raw["parent"]
    return SnapshotManifest(
        snapshot_id=identifier(raw["snapshot_id"]),
        database=check_database(raw["database"]),
        parent=None if parent is None else identifier(parent),
        created_at=text(raw["created_at"]),
        chroma_version=matching(_VERSION, raw["chroma_version"]),
        collections=tuple(_collection(item) for item in raw["collections"]),
        consumed=_consumed(raw["consumed"]),
        files=tuple(
            FileEntry(check_path(text(path)), integer(size), integer(chunk), integer(offset))
            for path, size, chunk, offset in raw["files"]
        ),
        chunks=chunks,
        counted=raw.get("counted") is not False,
        consumed_sha256=(
            matching(_SHA256, raw["consumed_sha256"]) if raw["format"] == APART_FORMAT else None
        ),
    )


def _consumed(raw: Any) -> dict[str, int]:
    return {identifier(key): integer(value, 0, 2**53) for key, value in raw.items()}


def _check_layout(manifest: SnapshotManifest) -> None:
    """Raise unless the files cover every byte of every chunk once, in order, under unlike names."""
    chunk, offset = 0, 0
    sizes = [c.size for c in manifest.chunks]
    for entry in manifest.files:
        if entry.size == 0:
            continue
        if offset and offset == sizes[chunk]:
            chunk, offset = chunk + 1, 0
        if (entry.chunk, entry.offset) != (chunk, offset) or chunk >= len(sizes):
            raise Damaged(f"manifest: {entry.path} does not begin where the file before it ends")
        left = entry.size
        while left:
            if chunk >= len(sizes) or (offset and left > sizes[chunk] - offset):
                raise Damaged(f"manifest: {entry.path} is longer than its chunks")
            step = min(left, sizes[chunk] - offset)
            offset += step
            left -= step
            if left:
                chunk, offset = chunk + 1, 0
    if manifest.chunks and (chunk, offset) != (len(sizes) - 1, sizes[-1]):
        raise Damaged("manifest: some chunks belong to no file")
    check_names([entry.path for entry in manifest.files])


def _layers(raw: Any, packs: list[str]) -> tuple[ChunkLayer, ...]:
    if not 1 <= len(raw) <= MAX_LAYERS:
        raise ValueError(f"a chunk has {len(raw)} layers, not 1 to {MAX_LAYERS}")
    return tuple(_layer(layer, packs) for layer in raw)


def _layer(raw: Any, packs: list[str]) -> ChunkLayer:
    number, offset, length = raw
    return ChunkLayer(packs[integer(number)], integer(offset), integer(length, 1, 2 * CHUNK_BYTES))


def _collection(raw: dict[str, Any]) -> CollectionInfo:
    dimension, space = raw["dimension"], raw["space"]
    return CollectionInfo(
        text(raw["name"]),
        None if dimension is None else integer(dimension),
        integer(raw["count"]),
        None if space is None else text(space),
    )


def _pack(raw: Any) -> str:
    match = _PACK.fullmatch(text(raw))
    if not match or not is_id(match[1]):
        raise ValueError("a pack's name is not one")
    return match[0]

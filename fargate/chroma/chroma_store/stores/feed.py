"""Feeding: a database's current snapshot into the stores beside it.

The snapshot is the truth and a store a copy of it, so every step may be repeated. A server's
records are read while it runs (`Feed.read`), and published once the pointer names their snapshot
(`Feed.publish`). Killed anywhere, the record in ``stores.json`` still names what was fed before, or
says that an index is being fed; the next compaction finds the store behind and feeds it again.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from vector_common.errors import BadRequest, Conflict, Damaged, NotFound
from vector_common.names import export_key, export_prefix, index_name
from vector_common.stores.state import (
    FedCollection,
    FedStore,
    StoredFile,
    StoreState,
    read_stores,
    write_stores,
)

from chroma_store.stores.dump import dump
from chroma_store.stores.index import IndexContent, VectorIndex, pack, unfit, unpack

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from vector_common.stores.state import StoreName

    from chroma_store.storage import Storage
    from chroma_store.stores.dump import CollectionDump
    from chroma_store.stores.index import Digests

MAX_FILE_BYTES = 1024**3
"""Of a collection's vectors as a file: what a function can load and search in a second or two."""

_MAX_REASONS = 100


def verify(storage: Storage, database: str) -> int:
    """Read every file of a database's exports and compare its checksum; return how many there are.

    Raises:
        Damaged: One is not what was exported.
        NotFound: One is missing.
    """
    files = {
        file
        for fed in read_stores(storage, database).stores.values()
        for one in fed.collections.values()
        for file in (one.records, one.vectors)
        if file is not None
    }
    for file in files:
        key = export_key(database, file.sha256)
        if hashlib.sha256(storage.get(key).data).hexdigest() != file.sha256:
            raise Damaged(f"{key}: is not what was exported; migrate to its store again")
    return len(files)


@dataclass
class Feed:
    """The feeding of one database.

    Args:
        storage: Where it lies.
        database: Its name.
        wanted: Stores to feed beside those that ``stores.json`` has; for ``s3vectors`` with the
            name of its vector bucket.
        say: Called with each step as it begins.

    Attributes:
        dumps: What `read` read.
    """

    storage: Storage
    database: str
    wanted: Mapping[StoreName, str] = field(default_factory=dict)
    say: Callable[[str], None] = lambda _: None

    def __post_init__(self) -> None:
        if "s3vectors" in self.wanted and not self.wanted["s3vectors"]:
            raise BadRequest("S3 Vectors needs the name of a vector bucket")
        self._state = read_stores(self.storage, self.database)
        fed = self._state.stores.get("s3vectors")
        if fed and self.wanted.get("s3vectors", fed.bucket) != fed.bucket:
            raise Conflict(
                f"database {self.database}: is fed to the vector bucket {fed.bucket}, not to "
                f"{self.wanted['s3vectors']}; migrate it to a session first"
            )
        self.dumps: list[CollectionDump] = []

    @property
    def stores(self) -> dict[StoreName, FedStore]:
        """Those that are fed, as they are now."""
        there = dict(self._state.stores)
        for name, bucket in self.wanted.items():
            there.setdefault(name, FedStore(bucket=bucket))
        return there

    def behind(self, snapshot: str | None) -> bool:
        """Whether a store has not been fed a snapshot; never without one."""
        return snapshot is not None and any(
            one.snapshot != snapshot or one.feeding for one in self.stores.values()
        )

    def read(self, base_url: str, folder: Path) -> None:
        """Read what a server holds, if there is a store to feed."""
        if self.stores:
            self.say("read")
            self.dumps = dump(base_url, folder)

    def publish(self, snapshot: str, folder: Path) -> None:
        """Feed every store what `read` read, which is what a snapshot holds.

        Raises:
            NotFound: There is no such vector bucket.
            PreconditionFailed: Somebody else wrote ``stores.json``.
            ServerBusy, StoreError: A store did not answer; run it again.
        """
        for name, former in self.stores.items():
            self.say(f"feed {name}")
            fed = self._files(folder) if name == "file" else self._indexes(former)
            self._write({name: replace(fed, snapshot=snapshot)})
            if name == "s3vectors":
                self._drop_indexes(former, fed)
        self._sweep()

    def distrust(self, name: StoreName) -> None:
        """Let the next compaction feed a store anew, whatever it holds."""
        if name in self._state.stores:
            self._write({name: replace(self._state.stores[name], feeding=True)})

    def drop(self, name: StoreName) -> None:
        """Feed a store no more, and delete what it was fed."""
        former = self._state.stores.get(name)
        if former is None:
            return
        rest = {other: fed for other, fed in self._state.stores.items() if other != name}
        if name == "s3vectors":
            # First: a run that is killed here finds it in the record, and feeds or drops it again.
            self._write({name: replace(former, feeding=True)})
            self._drop_indexes(former, FedStore())
        self._state = write_stores(self.storage, self.database, rest, self._state)
        self._sweep()

    def _write(self, changed: Mapping[StoreName, FedStore]) -> StoreState:
        stores = {**self._state.stores, **changed}
        self._state = write_stores(self.storage, self.database, stores, self._state)
        return self._state

    def _files(self, folder: Path) -> FedStore:
        former = self._state.stores.get("file", FedStore())
        collections: dict[str, FedCollection] = {}
        left_out: list[str] = []
        count = 0
        for source in self.dumps:
            size = 2 * source.dimension * source.count
            if size > MAX_FILE_BYTES:
                left_out.append(
                    f"collection {source.name}: its vectors take {size} bytes as a file, more than "
                    f"{MAX_FILE_BYTES}"
                )
                count += source.count
                continue
            half = folder / "half"
            source.write_half(half)
            collections[source.name] = FedCollection(
                source.dimension,
                source.space,
                source.count,
                self._put(source.table.read_bytes()),
                self._put(half.read_bytes()),
                source.scale,
                model=source.model,
            )
            half.unlink()
        fed = FedStore(
            collections=collections, left_out=tuple(left_out[:_MAX_REASONS]), left_out_count=count
        )
        return replace(fed, before=tuple(sorted(former.files - fed.files)))

    def _indexes(self, former: FedStore) -> FedStore:
        fits = [source for source in self.dumps if not unfit(source)]
        names = {
            source.name: index_name(self.database, source.name, source.dimension, source.space)
            for source in fits
            if source.dimension
        }
        # Also of a run that was killed: what it made is deleted at the end, if nothing needs it.
        made = {*names.values(), *former.before, *(c.index for c in former.collections.values())}
        self._write({"s3vectors": replace(former, feeding=True, before=tuple(sorted(made - {""})))})
        collections: dict[str, FedCollection] = {}
        left_out = [reason for source in self.dumps if (reason := unfit(source))]
        count = sum(source.count for source in self.dumps if unfit(source))
        for source in fits:
            content = IndexContent()
            if source.dimension:
                index = VectorIndex(former.bucket, names[source.name])
                held = self._held(former, source.name, index, names[source.name])
                index.create(source.dimension, source.space)
                content = index.feed(source, held)
                left_out += content.left_out
                count += len(content.left_out)
            collections[source.name] = FedCollection(
                source.dimension,
                source.space,
                len(content.digests),
                self._put(pack(content.digests)),
                index=names.get(source.name, ""),
                integers=content.integers,
                floats=content.floats,
                model=source.model,
            )
        return FedStore(
            collections=collections,
            bucket=former.bucket,
            left_out=tuple(left_out[:_MAX_REASONS]),
            left_out_count=count,
            # Dropped once this is the record; by the next feed if this run is killed before.
            before=tuple(sorted(made - {"", *names.values()})),
        )

    def _held(self, former: FedStore, name: str, index: VectorIndex, index_name_: str) -> Digests:
        """What an index holds: as recorded, or as it says where a run may have been killed."""
        fed = former.collections.get(name)
        if fed and fed.index == index_name_ and not former.feeding and index.exists():
            try:
                return unpack(self.storage.get(export_key(self.database, fed.records.sha256)).data)
            except NotFound:
                pass
        return {one["key"]: "" for one in index.vectors(metadata=False)} if index.exists() else {}

    def _drop_indexes(self, former: FedStore, fed: FedStore) -> None:
        needed = {one.index for one in fed.collections.values()}
        indexes = {*former.before, *(one.index for one in former.collections.values())}
        for name in sorted(indexes - needed - {""}):
            VectorIndex(former.bucket, name).drop()

    def _put(self, content: bytes) -> StoredFile:
        digest = hashlib.sha256(content).hexdigest()
        self.storage.put(export_key(self.database, digest), content)
        return StoredFile(digest, len(content))

    def _sweep(self) -> None:
        """Delete files that neither the current feed names nor the one before it."""
        stores = self._state.stores.values()
        needed = {digest for one in stores for digest in (*one.files, *one.before)}
        prefix = export_prefix(self.database)
        self.storage.delete(
            info.key
            for info in self.storage.list(prefix)
            if info.key.removeprefix(prefix) not in needed
        )

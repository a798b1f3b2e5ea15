"""Snapshots: take one, restore one, list them, keep some."""

from __future__ import annotations

import hashlib
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from vector_common.errors import Damaged, NotFound, Refused
from vector_common.ids import is_id, new_id
from vector_common.names import base, check_database, manifest_key

from chroma_store import restoring, retention, uploading
from chroma_store.layout import scan
from chroma_store.limits import Limits
from chroma_store.manifest import Manifest
from chroma_store.packs import PackWriter
from chroma_store.pointer import Pointer, PointerMoved, flip_pointer, read_pointer
from chroma_store.versions import check_version

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from chroma_store.manifest import Chunk, CollectionInfo
    from chroma_store.storage import Storage

__all__ = ["Limits", "Pointer", "PointerMoved", "RestoreReport", "SnapshotReport", "SnapshotStore"]


@dataclass(frozen=True, slots=True)
class RestoreReport:
    """What a restore did; ``pointer`` and ``manifest`` are None for an empty start.

    Attributes:
        pointer: The pointer as it was read; the ``parent`` of the next snapshot.
        manifest: Of the snapshot that was restored.
        bytes: Written to disk.
        seconds: It took.
    """

    pointer: Pointer | None
    manifest: Manifest | None
    bytes: int
    seconds: float

    @property
    def consumed(self) -> frozenset[str]:
        """Ids of the deltas that the restored data contains already."""
        return frozenset(self.manifest.consumed) if self.manifest else frozenset()


@dataclass(frozen=True, slots=True)
class SnapshotReport:
    """What a snapshot cost.

    Attributes:
        pointer: Which now names it.
        manifest: Of the new snapshot.
        bytes_uploaded: Compressed, the manifest included.
        bytes_total: Uncompressed, of all files.
        chunks_new: Uploaded whole or as patches.
        chunks_reused: Not uploaded again.
        seconds: It took.
    """

    pointer: Pointer
    manifest: Manifest
    bytes_uploaded: int
    bytes_total: int
    chunks_new: int
    chunks_reused: int
    seconds: float


class SnapshotStore:
    """The snapshots of one database.

    Args:
        storage: Where they lie.
        database: Whose they are.
        limits: What transfers may cost.
    """

    def __init__(self, storage: Storage, database: str, *, limits: Limits | None = None) -> None:
        self.storage = storage
        self.database = check_database(database)
        self.limits = limits or Limits()

    def head(self) -> Pointer | None:
        """The current pointer; None for a database without a snapshot."""
        return read_pointer(self.storage, self.database)

    def manifest(self, snapshot: Pointer | str) -> Manifest:
        """Read and check the manifest of a snapshot, given by pointer or by id.

        Raises:
            NotFound: There is no such snapshot (any more).
            Damaged, Refused: It is not one that can be used.
        """
        identifier = snapshot if isinstance(snapshot, str) else snapshot.snapshot_id
        if not is_id(identifier):
            raise NotFound(f"snapshot {identifier[:80]!r}: is not an id")
        data = self.storage.get(manifest_key(self.database, identifier)).data
        if isinstance(snapshot, Pointer):
            digest = hashlib.sha256(data).hexdigest()
            if digest != snapshot.manifest_sha256:
                raise Damaged(f"manifest of {identifier}: is not the one that the pointer names")
        manifest = Manifest.parse(data)
        if (manifest.snapshot_id, manifest.database) != (identifier, self.database):
            raise Damaged(f"manifest of {identifier}: belongs to another snapshot or database")
        return manifest

    def ids(self) -> list[str]:
        """The ids of all snapshots that have a manifest, oldest first."""
        prefix = f"{base(self.database)}/snapshots/"
        names = [info.key.removeprefix(prefix) for info in self.storage.list(prefix)]
        return sorted(i for name in names if is_id(i := name.removesuffix(".json")))

    def restore(
        self,
        data_dir: Path,
        snapshot_id: str | None = None,
        *,
        chroma_version: str | None = None,
        migrate: bool = False,
    ) -> RestoreReport:
        """Write a snapshot's files into an empty or missing folder.

        Args:
            data_dir: A restore that was killed is cleared first. While the folder
                `layout.STAGING` is in it, it is not whole.
            snapshot_id: The current one if None; an empty folder if there is none.
            chroma_version: Of the server that will use the files; not checked if None.
            migrate: Accept files of an older Chroma: the server migrates this copy.

        Raises:
            Refused: ``data_dir`` has files; or the snapshot is unsafe, too large, or of a
                Chroma that does not fit.
            Damaged: Stored bytes are not what they should be; no file of it is left.
            NotFound: The snapshot, or a part of it, is gone.
            StoreError: The store failed, or the disk is full.
        """
        started = time.monotonic()
        pointer = self.head()
        manifest = None
        if snapshot_id is not None and (pointer is None or snapshot_id != pointer.snapshot_id):
            manifest = self.manifest(snapshot_id)
        elif pointer:
            manifest = self.manifest(pointer)
        if manifest and chroma_version:
            check_version(manifest.chroma_version, chroma_version, migrate=migrate)
        written = restoring.restore(self.storage, manifest, data_dir, self.limits)
        return RestoreReport(pointer, manifest, written, time.monotonic() - started)

    def snapshot(
        self,
        data_dir: Path,
        *,
        parent: Pointer | None,
        chroma_version: str,
        collections: Iterable[CollectionInfo],
        consumed: Iterable[str] = (),
        snapshot_id: str | None = None,
    ) -> SnapshotReport:
        """Upload a data folder whose server has been stopped, and make it the current snapshot.

        Whole chunks, then the manifest, then the pointer: at every moment the pointer names a
        snapshot of which every byte is in the store.

        Args:
            data_dir: Chroma's folder.
            parent: The pointer as it was when ``data_dir`` was restored.
            chroma_version: Of the server that wrote the files.
            collections: What the server said that it holds.
            consumed: Ids of the deltas that were replayed since the restore.
            snapshot_id: From `vector_common.ids.new_id`, for a caller who must recognise its own
                flip after a crash; a new one for every call.

        Raises:
            PointerMoved: Another writer was first; nothing that is current changed.
            Refused: The files changed meanwhile, or it took longer than retention allows.
            StoreError: The store failed; nothing that is current changed.
        """
        started = time.monotonic()
        snapshot_id = snapshot_id or new_id()
        former = self.manifest(parent) if parent else None
        layout = scan(data_dir)
        total = sum(entry.size for entry in layout.files)
        if total > self.limits.max_bytes:
            raise Refused(f"{data_dir}: {total} bytes are more than {self.limits.max_bytes}")
        writer = PackWriter(self.storage, self.database, snapshot_id)
        source = uploading.Source(data_dir, layout, former)
        chunks = uploading.upload(self.storage, self.database, source, writer, self.limits.threads)
        if scan(data_dir).state != layout.state:
            raise Refused(f"{data_dir}: changed while it was read; stop the server first")
        manifest = Manifest(
            snapshot_id=snapshot_id,
            database=self.database,
            parent=parent.snapshot_id if parent else None,
            created_at=_now(),
            chroma_version=chroma_version,
            collections=tuple(sorted(collections, key=lambda c: c.name)),
            consumed=retention.consumed(self.storage, self.database, former, consumed),
            files=layout.files,
            chunks=tuple(chunks),
        )
        if former:
            self._check_reused(manifest)
        pointer, size = self._publish(manifest, parent, started)
        new = sum(chunk.layers[-1].pack.startswith(snapshot_id) for chunk in chunks)
        return SnapshotReport(
            pointer=pointer,
            manifest=manifest,
            bytes_uploaded=writer.uploaded + size,
            bytes_total=total,
            chunks_new=new,
            chunks_reused=len(chunks) - new,
            seconds=time.monotonic() - started,
        )

    def promote(self, snapshot_id: str) -> Pointer:
        """Make a snapshot with the content of a kept one, and make it the current one.

        It shares all packs, and its parent is the one that was current. Deltas that are in the
        store and not in it become pending again; those that later snapshots consumed and dropped
        are not in it.

        Raises:
            NotFound, Damaged: There is no such snapshot, or it is not complete.
            PointerMoved: Another writer flipped the pointer at the same time.
        """
        started = time.monotonic()
        head = self.head()
        manifest = replace(
            self.manifest(snapshot_id),
            snapshot_id=new_id(),
            parent=head.snapshot_id if head else None,
            created_at=_now(),
        )
        self._check_reused(manifest)
        return self._publish(manifest, head, started)[0]

    def retain(
        self, rule: retention.RetentionRule | None = None, *, dry_run: bool = False
    ) -> retention.RetentionReport:
        """Delete the snapshots that a rule does not keep, and packs that none needs."""
        return retention.retain(self, rule or retention.RetentionRule(), dry_run=dry_run)

    def verify(self, snapshot: Pointer | str) -> Manifest:
        """Read a snapshot whole and compare every checksum, writing nothing.

        Raises:
            Damaged, NotFound, Refused: The first thing that is wrong.
        """
        manifest = self.manifest(snapshot)
        groups = restoring.groups(manifest, self.limits.threads)
        with ThreadPoolExecutor(self.limits.threads) as pool:
            for _ in pool.map(lambda g: self._verify_group([c for c, _ in g]), groups):
                pass
        return manifest

    def _verify_group(self, chunks: list[Chunk]) -> None:
        for _ in restoring.decompress_chunks(self.storage, self.database, chunks):
            pass

    def _check_reused(self, manifest: Manifest) -> None:
        """Raise NotFound unless every pack that a manifest needs is there, and long enough."""
        sizes = retention.pack_sizes(self.storage, self.database)
        for chunk in manifest.chunks:
            for layer in chunk.layers:
                if sizes.get(layer.pack, -1) < layer.offset + layer.length:
                    raise NotFound(f"pack {layer.pack}: is gone or cut off; restore again")

    def _publish(
        self, manifest: Manifest, parent: Pointer | None, started: float
    ) -> tuple[Pointer, int]:
        data = manifest.serialize()
        key = manifest_key(self.database, manifest.snapshot_id)
        self.storage.put(key, data, if_none_match=True)
        # Retention spares unfinished snapshots for a time; past it their packs may be gone.
        if time.monotonic() - started > retention.MAX_SNAPSHOT_SECONDS:
            raise Refused(f"snapshot {manifest.snapshot_id}: took too long to be safe")
        digest = hashlib.sha256(data).hexdigest()
        pointer = flip_pointer(self.storage, self.database, parent, manifest.snapshot_id, digest)
        return pointer, len(data)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")

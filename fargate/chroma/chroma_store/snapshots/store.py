"""Snapshots: take one, restore one, list them, keep some."""

from __future__ import annotations

import hashlib
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from vector_common.errors import BadRequest, Damaged, NotFound, Refused
from vector_common.ids import is_id, made_at, new_id
from vector_common.names import (
    base,
    check_database,
    consumed_key,
    consumed_prefix,
    delta_key,
    delta_prefix,
    manifest_key,
    retired_key,
)

from chroma_store.snapshots import restoring, uploading
from chroma_store.snapshots.layout import scan
from chroma_store.snapshots.manifest import SnapshotManifest
from chroma_store.snapshots.packs import PackWriter, pack_key
from chroma_store.snapshots.pointer import (
    Pointer,
    PointerMoved,
    begin_pointer,
    flip_pointer,
    has_pointer,
    read_pointer,
)
from chroma_store.snapshots.versions import check_version
from chroma_store.storage import TransferLimits

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from chroma_store.snapshots.manifest import Chunk, CollectionInfo
    from chroma_store.storage import Storage

__all__ = [
    "Pointer",
    "PointerMoved",
    "RestoreReport",
    "SnapshotReport",
    "SnapshotStore",
    "TransferLimits",
]


GRACE = timedelta(hours=24)
"""Nothing younger is deleted: it may belong to a snapshot that is being uploaded."""

MAX_SNAPSHOT_SECONDS = GRACE.total_seconds() / 2
"""A snapshot that took longer is not made current; the other half is for clocks that differ."""

REMEMBER_SECONDS = 24 * 3600
"""How long a dropped delta stays listed as consumed. A write whose answer was lost may be sent
again after its first copy was consumed and dropped; a Lambda function lives 15 minutes at most.
"""


@dataclass(frozen=True, slots=True)
class RetentionRule:
    """What to keep besides the current snapshot and what is younger than `GRACE`.

    Attributes:
        keep_last: So many of the current one's ancestors.
        keep_days: Every snapshot of so many days.
        keep_versions: The newest ancestor of every Chroma minor version, so that a migration
            can be taken back.
    """

    keep_last: int = 7
    keep_days: int = 7
    keep_versions: bool = True

    def __post_init__(self) -> None:
        if self.keep_last < 0 or self.keep_days < 0:
            raise BadRequest(
                "retention: the numbers of snapshots and days to keep must not be negative"
            )


@dataclass(frozen=True, slots=True)
class RetentionReport:
    """What was done, or would be.

    Attributes:
        kept: Ids of the snapshots that stay.
        deleted: Ids of those that were put away.
        packs: How many packs were deleted, of snapshots that earlier runs put away.
        bytes: Their size.
    """

    kept: tuple[str, ...]
    deleted: tuple[str, ...]
    packs: int
    bytes: int


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
    manifest: SnapshotManifest | None
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
        seconds: It took.
    """

    pointer: Pointer
    manifest: SnapshotManifest
    bytes_uploaded: int
    bytes_total: int
    seconds: float


class SnapshotStore:
    """The snapshots of one database.

    Args:
        storage: Where they lie.
        database: Whose they are.
        limits: What transfers may cost.
    """

    def __init__(
        self, storage: Storage, database: str, *, limits: TransferLimits | None = None
    ) -> None:
        self.storage = storage
        self.database = check_database(database)
        self.limits = limits or TransferLimits()

    def head(self) -> Pointer | None:
        """The current pointer; None for a database without a snapshot.

        Raises:
            Damaged: There are snapshots and no pointer, which is written before the first of them.
        """
        pointer = read_pointer(self.storage, self.database)
        if pointer is None and (kept := self.ids()):
            # The first snapshot may have been made between the two looks.
            if not has_pointer(self.storage, self.database):
                raise Damaged(
                    f"database {self.database}: its pointer is missing, but it has {len(kept)} "
                    f"snapshots, the newest of them {kept[-1]}; `vectors promote --snapshot ID` "
                    "makes one the current snapshot"
                )
            pointer = read_pointer(self.storage, self.database)
        return pointer

    def manifest(self, snapshot: Pointer | str, *, consumed: bool = True) -> SnapshotManifest:
        """Read and check the manifest of a snapshot, given by pointer or by id.

        Args:
            snapshot: Which.
            consumed: Whether to read the consumed deltas too where another object lists them.

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
        manifest = SnapshotManifest.parse(data)
        if (manifest.snapshot_id, manifest.database) != (identifier, self.database):
            raise Damaged(f"manifest of {identifier}: belongs to another snapshot or database")
        if consumed and manifest.consumed_sha256:
            listed = self.storage.get(consumed_key(self.database, identifier)).data
            return manifest.with_consumed(listed)
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
        collections: Iterable[CollectionInfo] | None,
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
            collections: What the server said that it holds; None if it could not say.
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
        source = uploading.UploadSource(data_dir, layout, former)
        chunks = uploading.upload(self.storage, self.database, source, writer, self.limits.threads)
        if scan(data_dir).state != layout.state:
            raise Refused(f"{data_dir}: changed while it was read; stop the server first")
        manifest = SnapshotManifest(
            snapshot_id=snapshot_id,
            database=self.database,
            parent=parent.snapshot_id if parent else None,
            created_at=_now(),
            chroma_version=chroma_version,
            collections=tuple(sorted(collections or (), key=lambda c: c.name)),
            counted=collections is not None,
            consumed=still_consumed(self.storage, self.database, former, consumed),
            files=layout.files,
            chunks=tuple(chunks),
        ).apart()
        if former:
            self._check_reused(manifest)
        pointer, size = self._publish(manifest, parent, started)
        return SnapshotReport(
            pointer=pointer,
            manifest=manifest,
            bytes_uploaded=writer.uploaded + size,
            bytes_total=total,
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
        # Not `head`: this is what helps where the pointer is missing.
        head = read_pointer(self.storage, self.database)
        manifest = replace(
            self.manifest(snapshot_id),
            snapshot_id=new_id(),
            parent=head.snapshot_id if head else None,
            created_at=_now(),
        ).apart()
        self._check_reused(manifest)
        return self._publish(manifest, head, started)[0]

    def retain(
        self, rule: RetentionRule | None = None, *, dry_run: bool = False
    ) -> RetentionReport:
        """Delete the snapshots that a rule does not keep, and packs that none needs."""
        return _retain(self, rule or RetentionRule(), dry_run=dry_run)

    def verify(self, snapshot: Pointer | str) -> SnapshotManifest:
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

    def _check_reused(self, manifest: SnapshotManifest) -> None:
        """Raise NotFound unless every pack that a manifest needs is there, and long enough."""
        sizes = _pack_sizes(self.storage, self.database)
        for chunk in manifest.chunks:
            for layer in chunk.layers:
                if sizes.get(layer.pack, -1) < layer.offset + layer.length:
                    raise NotFound(f"pack {layer.pack}: is missing or too short; restore again")

    def _publish(
        self, manifest: SnapshotManifest, parent: Pointer | None, started: float
    ) -> tuple[Pointer, int]:
        data = manifest.serialize()
        if parent is None:
            begin_pointer(self.storage, self.database)
        if manifest.consumed_sha256:
            listed = consumed_key(self.database, manifest.snapshot_id)
            self.storage.put(listed, manifest.consumed_list(), if_none_match=True)
        key = manifest_key(self.database, manifest.snapshot_id)
        self.storage.put(key, data, if_none_match=True)
        # Retention spares unfinished snapshots for a time; past it their packs may be gone.
        if time.monotonic() - started > MAX_SNAPSHOT_SECONDS:
            raise Refused(f"snapshot {manifest.snapshot_id}: took too long to be safe")
        digest = hashlib.sha256(data).hexdigest()
        pointer = flip_pointer(self.storage, self.database, parent, manifest.snapshot_id, digest)
        return pointer, len(data)


def _retain(store: SnapshotStore, rule: RetentionRule, *, dry_run: bool) -> RetentionReport:
    """Apply a rule; claims of idempotency keys go after `GRACE` too.

    In two steps, so that nobody who is at work on a snapshot loses what it needs: a run puts
    manifests away, and a run after `GRACE` deletes the packs that only those needed. Killed
    anywhere, the next run goes on.

    Raises:
        Damaged, Refused: A manifest cannot be read. What it needs is unknown, so nothing goes.
    """
    now = datetime.now(UTC)
    head = store.head()
    manifests = {name: store.manifest(name, consumed=False) for name in store.ids()}
    if head and head.snapshot_id not in manifests:
        raise Damaged(f"database {store.database}: the current snapshot has no manifest")
    kept = _kept(manifests, head.snapshot_id if head else None, rule, now)
    going = [manifests[identifier] for identifier in manifests if identifier not in kept]
    young, old = _retired(store, now)
    holders = [*(manifests[identifier] for identifier in kept), *going, *young]
    needed = {pack for manifest in holders for pack in manifest.packs}
    lists = {consumed_key(store.database, manifest.snapshot_id) for manifest in holders}
    unused = {
        pack: size
        for pack, size in _pack_sizes(store.storage, store.database).items()
        if pack not in needed and now - made_at(pack.partition("/")[0]) > GRACE
    }
    if not dry_run:
        _put_away(store, going)
        store.storage.delete(pack_key(store.database, pack) for pack in unused)
        store.storage.delete([*old, *_old_claims(store, now), *_old_lists(store, now, lists)])
    return RetentionReport(
        tuple(sorted(kept)),
        tuple(manifest.snapshot_id for manifest in going),
        len(unused),
        sum(unused.values()),
    )


def _pack_sizes(storage: Storage, database: str) -> dict[str, int]:
    """Bytes of every pack in the store."""
    prefix = f"{base(database)}/packs/"
    found = ((info.key.removeprefix(prefix), info.size) for info in storage.list(prefix))
    return {pack: size for pack, size in found if is_id(pack.partition("/")[0])}


def still_consumed(
    storage: Storage, database: str, former: SnapshotManifest | None, new: Iterable[str]
) -> dict[str, int]:
    """The consumed deltas that a new manifest must list.

    Those of the parent stay while their object is in the store (a clean-up was killed, say) and
    for `REMEMBER_SECONDS` after that.
    """
    now = int(time.time())
    old = former.consumed if former else {}
    young = {delta: second for delta, second in old.items() if now - second < REMEMBER_SECONDS}
    aged = len(old) > len(young)
    present = {info.key for info in storage.list(delta_prefix(database))} if aged else set()
    kept = {
        delta: second
        for delta, second in old.items()
        if delta in young or delta_key(database, delta) in present
    }
    return kept | dict.fromkeys(sorted(new), now)


def _put_away(store: SnapshotStore, manifests: Iterable[SnapshotManifest]) -> None:
    for manifest in manifests:
        key = retired_key(store.database, manifest.snapshot_id)
        store.storage.put(key, manifest.serialize())
        store.storage.delete([manifest_key(store.database, manifest.snapshot_id)])


def _retired(store: SnapshotStore, now: datetime) -> tuple[list[SnapshotManifest], list[str]]:
    """Manifests put away within `GRACE`, and the keys of those put away before."""
    young, old = [], []
    for info in store.storage.list(f"{base(store.database)}/retired/"):
        if now - info.modified > GRACE:
            old.append(info.key)
        else:
            young.append(SnapshotManifest.parse(store.storage.get(info.key).data))
    return young, old


def _old_claims(store: SnapshotStore, now: datetime) -> list[str]:
    claims = store.storage.list(f"{base(store.database)}/claims/")
    return [info.key for info in claims if now - info.modified > GRACE]


def _old_lists(store: SnapshotStore, now: datetime, needed: set[str]) -> list[str]:
    """Lists of consumed deltas that no snapshot needs and none that is being made."""
    lists = store.storage.list(consumed_prefix(store.database))
    return [info.key for info in lists if info.key not in needed and now - info.modified > GRACE]


def _kept(
    manifests: dict[str, SnapshotManifest], head: str | None, rule: RetentionRule, now: datetime
) -> set[str]:
    line = []
    current = head
    while current in manifests and current not in line:
        line.append(current)
        current = manifests[current].parent
    young = max(GRACE, timedelta(days=rule.keep_days))
    kept = {i for i in manifests if now - made_at(i) <= young}
    kept |= set(line[: 1 + rule.keep_last])
    if rule.keep_versions:
        newest: dict[str, str] = {}
        for identifier in line:
            minor = ".".join(manifests[identifier].chroma_version.split(".")[:2])
            newest.setdefault(minor, identifier)
        kept |= set(newest.values())
    return kept


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")

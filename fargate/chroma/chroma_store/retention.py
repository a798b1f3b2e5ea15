"""Which snapshots and packs stay, and for how long a consumed delta is remembered."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from vector_common.errors import BadRequest, Damaged
from vector_common.ids import is_id, made_at
from vector_common.names import base, manifest_key, retired_key

from chroma_store.manifest import Manifest
from chroma_store.packs import pack_key

if TYPE_CHECKING:
    from collections.abc import Iterable

    from chroma_store.snapshots import SnapshotStore
    from chroma_store.storage import Storage

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
            raise BadRequest("retention: keeps a number of snapshots and days, not fewer than 0")


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


def retain(store: SnapshotStore, rule: RetentionRule, *, dry_run: bool) -> RetentionReport:
    """Apply a rule; claims of idempotency keys go after `GRACE` too.

    In two steps, so that nobody who is at work on a snapshot loses what it needs: a run puts
    manifests away, and a run after `GRACE` deletes the packs that only those needed. Killed
    anywhere, the next run goes on.

    Raises:
        Damaged, Refused: A manifest cannot be read. What it needs is unknown, so nothing goes.
    """
    now = datetime.now(UTC)
    head = store.head()
    manifests = {identifier: store.manifest(identifier) for identifier in store.ids()}
    if head and head.snapshot_id not in manifests:
        raise Damaged(f"database {store.database}: the current snapshot has no manifest")
    kept = _kept(manifests, head.snapshot_id if head else None, rule, now)
    going = [manifests[identifier] for identifier in manifests if identifier not in kept]
    young, old = _retired(store, now)
    holders = [*(manifests[identifier] for identifier in kept), *going, *young]
    needed = {pack for manifest in holders for pack in manifest.packs}
    unused = {
        pack: size
        for pack, size in pack_sizes(store.storage, store.database).items()
        if pack not in needed and now - made_at(pack.partition("/")[0]) > GRACE
    }
    if not dry_run:
        _put_away(store, going)
        store.storage.delete(pack_key(store.database, pack) for pack in unused)
        store.storage.delete([*old, *_old_claims(store, now)])
    return RetentionReport(
        tuple(sorted(kept)),
        tuple(manifest.snapshot_id for manifest in going),
        len(unused),
        sum(unused.values()),
    )


def pack_sizes(storage: Storage, database: str) -> dict[str, int]:
    """Bytes of every pack in the store."""
    prefix = f"{base(database)}/packs/"
    found = ((info.key.removeprefix(prefix), info.size) for info in storage.list(prefix))
    return {pack: size for pack, size in found if is_id(pack.partition("/")[0])}


def consumed(
    storage: Storage, database: str, former: Manifest | None, new: Iterable[str]
) -> dict[str, int]:
    """The consumed deltas that a new manifest must list.

    Those of the parent stay while their object is in the store (a clean-up was killed, say) and
    for `REMEMBER_SECONDS` after that.
    """
    now = int(time.time())
    prefix = f"{base(database)}/deltas/"
    old = former.consumed if former else {}
    present = {info.key for info in storage.list(prefix)} if old else set()
    kept = {
        delta: second
        for delta, second in old.items()
        if now - second < REMEMBER_SECONDS or f"{prefix}{delta}.jsonl" in present
    }
    return kept | dict.fromkeys(sorted(new), now)


def _put_away(store: SnapshotStore, manifests: Iterable[Manifest]) -> None:
    for manifest in manifests:
        key = retired_key(store.database, manifest.snapshot_id)
        store.storage.put(key, manifest.serialize())
        store.storage.delete([manifest_key(store.database, manifest.snapshot_id)])


def _retired(store: SnapshotStore, now: datetime) -> tuple[list[Manifest], list[str]]:
    """Manifests put away within `GRACE`, and the keys of those put away before."""
    young, old = [], []
    for info in store.storage.list(f"{base(store.database)}/retired/"):
        if now - info.modified > GRACE:
            old.append(info.key)
        else:
            young.append(Manifest.parse(store.storage.get(info.key).data))
    return young, old


def _old_claims(store: SnapshotStore, now: datetime) -> list[str]:
    claims = store.storage.list(f"{base(store.database)}/claims/")
    return [info.key for info in claims if now - info.modified > GRACE]


def _kept(
    manifests: dict[str, Manifest], head: str | None, rule: RetentionRule, now: datetime
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

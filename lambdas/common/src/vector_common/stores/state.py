"""What compaction feeds beside a database's snapshots, and what it fed last: ``stores.json``.

The snapshots stay the database's truth. A store is behind when it was fed another snapshot than the
current one; the next compaction feeds it again.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Literal, cast

from vector_common import conditional
from vector_common.errors import BadRequest, Damaged, NotFound, Refused
from vector_common.names import check_database, pointer_key, stores_key
from vector_common.records import EmbeddingModel

if TYPE_CHECKING:
    from vector_common.conditional import VersionedObject
    from vector_common.records import Space
    from vector_common.storage import Storage

StoreName = Literal["session", "file", "s3vectors"]
STORES: tuple[StoreName, ...] = ("session", "file", "s3vectors")
FED: tuple[StoreName, ...] = ("file", "s3vectors")
"""Those that compaction feeds; a session reads the snapshot itself."""

FORMAT = 1


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file of an export: the SHA-256 of its bytes, which names it, and how many they are."""

    sha256: str
    size: int


@dataclass(frozen=True, slots=True)
class FedCollection:
    """A collection as a store has it.

    Attributes:
        dimension: Numbers in a vector.
        space: The distance.
        count: Records.
        records: Ids, metadata and documents (SQLite), or the digests of what an index holds.
        vectors: Float16 numbers in the order of the records; None for an index.
        scale: What the numbers of ``vectors`` were multiplied with.
        index: Name of the S3 vector index; empty for a file.
        integers: Metadata keys of an index under which there are integers.
        floats: Those under which there are other numbers.
        model: What the vectors come from; None if nobody said.
    """

    dimension: int
    space: Space
    count: int
    records: StoredFile
    vectors: StoredFile | None = None
    scale: float = 1.0
    index: str = ""
    integers: tuple[str, ...] = ()
    floats: tuple[str, ...] = ()
    model: EmbeddingModel | None = None


@dataclass(frozen=True, slots=True)
class FedStore:
    """What a store was fed last.

    Attributes:
        snapshot: Of this snapshot; empty if it has not been fed yet.
        collections: What of each collection.
        bucket: The S3 vector bucket; empty for files.
        feeding: Whether a run is at it, or was killed there: an index may hold anything.
        left_out: Records that the store cannot hold, with the reason; the first hundred.
        left_out_count: How many those are.
        before: Digests of files that the feed before this one named, for readers that still
            have it.
    """

    snapshot: str = ""
    collections: dict[str, FedCollection] = field(default_factory=dict)
    bucket: str = ""
    feeding: bool = False
    left_out: tuple[str, ...] = ()
    left_out_count: int = 0
    before: tuple[str, ...] = ()

    @property
    def files(self) -> set[str]:
        """Digests of the files that it names."""
        return {
            file.sha256
            for one in self.collections.values()
            for file in (one.records, one.vectors)
            if file is not None
        }


@dataclass(frozen=True, slots=True)
class StoreState:
    """``stores.json`` as it was read; ``seen`` is what a write must find unchanged."""

    stores: dict[StoreName, FedStore]
    seen: VersionedObject | None = field(default=None, compare=False)

    @property
    def version(self) -> str:
        """Opaque; another one means that something was fed."""
        return self.seen.version if self.seen else ""


def read_stores(storage: Storage, database: str) -> StoreState:
    """Read what a database's stores were fed; nothing if it has none.

    Raises:
        Damaged: The object is not such a record.
        Refused: It is of a newer version.
    """
    seen = conditional.read(storage, stores_key(database))
    if seen is None:
        return StoreState({})
    try:
        raw = json.loads(seen.data)
        if raw["format"] != FORMAT:
            raise Refused(f"stores of {database}: format {raw['format']!r}, known is {FORMAT}")
        return StoreState({name: _store(raw["stores"][name]) for name in raw["stores"]}, seen)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Damaged(f"stores of {database}: {type(error).__name__}: {error}") from None


def write_stores(
    storage: Storage, database: str, stores: dict[StoreName, FedStore], over: StoreState
) -> StoreState:
    """Write it over what was read.

    Raises:
        PreconditionFailed: Somebody else wrote since.
    """
    value = {"format": FORMAT, "stores": {name: asdict(one) for name, one in stores.items()}}
    conditional.write(
        storage, stores_key(database), json.dumps(value, indent=1).encode(), over.seen
    )
    return read_stores(storage, database)


def is_behind(storage: Storage, database: str) -> bool:
    """Whether a store was fed another snapshot than the current one."""
    state = read_stores(storage, database)
    if not state.stores:
        return False
    try:
        current = json.loads(storage.get(pointer_key(database)).data).get("snapshot_id")
    except NotFound:
        return False
    except (ValueError, AttributeError):
        raise Damaged(f"pointer of {database}: is not JSON") from None
    return current is not None and any(
        one.snapshot != current or one.feeding for one in state.stores.values()
    )


def parse_choice(text: str) -> dict[str, StoreName]:
    """Read which database is asked in which store: ``receipts=file,merchants=s3vectors``.

    Raises:
        BadRequest: It is not of that form.
    """
    chosen: dict[str, StoreName] = {}
    for part in filter(None, text.split(",")):
        database, equals, store = part.partition("=")
        if not equals or store not in STORES:
            raise BadRequest(
                f"VECTOR_STORES: {part[:80]!r} is not of the form database=STORE with one of "
                f"{', '.join(STORES)}"
            )
        chosen[check_database(database)] = store
    return chosen


def _store(raw: dict[str, object]) -> FedStore:
    collections = cast("dict[str, dict[str, object]]", raw["collections"])
    return FedStore(
        **{  # type: ignore[arg-type]
            **raw,
            "collections": {name: _collection(one) for name, one in collections.items()},
            "left_out": tuple(cast("list[str]", raw["left_out"])),
            "before": tuple(cast("list[str]", raw["before"])),
        }
    )


def _collection(raw: dict[str, object]) -> FedCollection:
    files = {
        name: StoredFile(**cast("dict[str, str]", raw[name])) if raw[name] else None  # type: ignore[arg-type]
        for name in ("records", "vectors")
    }
    keys = {name: tuple(cast("list[str]", raw[name])) for name in ("integers", "floats")}
    model = cast("dict[str, str] | None", raw["model"])
    named = EmbeddingModel(**model) if model else None
    return FedCollection(**{**raw, **files, **keys, "model": named})  # type: ignore[arg-type]

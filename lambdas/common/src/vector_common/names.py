"""Names that become parts of keys and paths, and the keys made of them.

The layout below ``databases/<database>/``::

    pointer.json                   names the current snapshot; the only object ever overwritten
    snapshots/<snapshot id>.json   one manifest a snapshot
    consumed/<snapshot id>.json    ids of the deltas that this snapshot contains, if they are many
    retired/<snapshot id>.json     manifests that retention has put away, for a day
    packs/<snapshot id>/<number>   compressed chunks that this snapshot uploaded
    lease.json                     who writes the database now, and for how long that counts
    deltas/<delta id>.jsonl        changes that no snapshot holds yet
    collections/<name>.json        dimension and space of a collection, set by its first delta
    quarantine/<delta id>.jsonl    changes that Chroma does not take, as they were written
    quarantine/<delta id>.json     why
    claims/<digest>.json           ids of the deltas of a batch that came with an idempotency key
    stores.json                    the stores that compaction feeds beside the snapshots
    exports/<sha256>               what they were fed: vectors and records of one collection
"""

from __future__ import annotations

import hashlib
import re

from vector_common.errors import BadRequest
from vector_common.ids import is_id

# Chroma's own rule for collections: 3 to 512 of these characters, a letter or digit at both ends.
_COLLECTION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,510}[A-Za-z0-9]")
# It answers 400 to what it reads as an address of IPv4, whose numbers have no zeros in front.
_BYTE = r"(?:0|[1-9][0-9]?|1[0-9]{2}|2[0-4][0-9]|25[0-5])"
_ADDRESS = re.compile(rf"{_BYTE}(?:\.{_BYTE}){{3}}")
_DATABASE = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9])?")
_SEGMENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._=-]*")

# S3's limit for a key; file systems allow 255 bytes a segment.
_MAX_KEY = 1024
_MAX_SEGMENT = 255


def check_collection(name: str) -> str:
    """Return ``name``, or raise BadRequest if Chroma or a file system would refuse it."""
    # A key's segment is the name and ".json".
    if not _COLLECTION.fullmatch(name) or ".." in name or len(name) > _MAX_SEGMENT - 5:
        raise BadRequest(
            f"collection: {name[:80]!r} must be 3 to 250 of A-Z a-z 0-9 . _ - without '..', "
            "with a letter or digit at both ends"
        )
    if _ADDRESS.fullmatch(name):
        raise BadRequest(f"collection: {name!r} is an IP address, which Chroma refuses as a name")
    return name


def check_database(name: str) -> str:
    """Return ``name``, or raise BadRequest: it becomes part of keys and paths."""
    if not _DATABASE.fullmatch(name):
        raise BadRequest(
            f"database: {name[:80]!r} must be 1 to 63 of A-Z a-z 0-9 _ -, "
            "with a letter or digit at both ends"
        )
    return name


def check_key(key: str) -> str:
    """Return ``key``, or raise BadRequest: no key may leave the store's prefix or folder."""
    segments = key.split("/")
    bad = [s for s in segments if not _SEGMENT.fullmatch(s) or len(s) > _MAX_SEGMENT]
    if bad or len(key) > _MAX_KEY:
        raise BadRequest(f"key: {key[:120]!r} is not a plain relative key")
    return key


def base(database: str) -> str:
    """The prefix of everything that belongs to a database."""
    return f"databases/{check_database(database)}"


def pointer_key(database: str) -> str:
    """The key of a database's pointer."""
    return f"{base(database)}/pointer.json"


def manifest_key(database: str, snapshot_id: str) -> str:
    """The key of a snapshot's manifest."""
    return f"{base(database)}/snapshots/{snapshot_id}.json"


def consumed_prefix(database: str) -> str:
    """The prefix of the lists of consumed deltas."""
    return f"{base(database)}/consumed/"


def consumed_key(database: str, snapshot_id: str) -> str:
    """The key of the list of the deltas that a snapshot contains."""
    return f"{consumed_prefix(database)}{snapshot_id}.json"


def retired_key(database: str, snapshot_id: str) -> str:
    """The key of the manifest of a snapshot that retention has put away."""
    return f"{base(database)}/retired/{snapshot_id}.json"


def lease_key(database: str) -> str:
    """The key of the lease of a database's writer."""
    return f"{base(database)}/lease.json"


def delta_prefix(database: str) -> str:
    """The prefix of a database's deltas, which holds nothing else."""
    return f"{base(database)}/deltas/"


def delta_key(database: str, delta_id: str) -> str:
    """The key of a delta."""
    return f"{delta_prefix(database)}{delta_id}.jsonl"


def delta_id_of(key: str) -> str | None:
    """The id in a delta's key, or None if the key is not that of a delta."""
    name = key.rpartition("/")[2].removesuffix(".jsonl")
    return name if is_id(name) else None


def quarantine_prefix(database: str) -> str:
    """The prefix of what compaction has set aside."""
    return f"{base(database)}/quarantine/"


def quarantine_key(database: str, delta_id: str, suffix: str) -> str:
    """The key of what was set aside of a delta (``.jsonl``), or of the reasons (``.json``)."""
    return f"{quarantine_prefix(database)}{delta_id}{suffix}"


def is_delta(key: str) -> bool:
    """Whether a key is that of a delta."""
    return delta_id_of(key) is not None


def collection_key(database: str, collection: str) -> str:
    """The key of a collection's specification."""
    return f"{base(database)}/collections/{check_collection(collection)}.json"


def claim_key(database: str, digest: str) -> str:
    """The key of the claim of an idempotency key, given by the hex digest of that."""
    return f"{base(database)}/claims/{digest}.json"


def stores_key(database: str) -> str:
    """The key of the record of what compaction feeds beside the snapshots."""
    return f"{base(database)}/stores.json"


def export_prefix(database: str) -> str:
    """The prefix of the files of exports, named by the SHA-256 of their content."""
    return f"{base(database)}/exports/"


def export_key(database: str, digest: str) -> str:
    """The key of a file of an export."""
    return f"{export_prefix(database)}{digest}"


def index_prefix(database: str) -> str:
    """How the names of a database's S3 vector indexes begin, and those of no other database.

    Names of indexes have small letters only, so a digest keeps ``A`` and ``a`` apart. Permissions
    are given for this prefix.
    """
    return f"{_slug(check_database(database), 20)}-{_digest(database)}-"


def index_name(database: str, collection: str, dimension: int, space: str) -> str:
    """The name of a collection's S3 vector index, which fits its settings alone."""
    prefix = index_prefix(database)
    digest = _digest(f"{check_collection(collection)}/{dimension}/{space}")
    return f"{prefix}{_slug(collection, 63 - len(prefix) - len(digest) - 1)}-{digest}"


def _slug(name: str, length: int) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower())[:length].strip("-") or "x"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:10]

"""delta_writer: keep changes without a server; compaction applies them later.

Event::

    {"database": "receipts", "collection": {"name": ..., "dimension": 384, "space": "cosine"},
     "records": [{"op": "upsert", "id", "embedding", "metadata"?, "document"?}, ...],
     "idempotencyKey": "..."?}

Answer: ``{"deltas": [ids], "records": n}``; when it comes, the changes are kept. STORAGE_URL says
where. A batch with an idempotency key may be sent again for a day without another effect.
"""

from __future__ import annotations

import functools
import os
from typing import TYPE_CHECKING, Any

from vector_common.deltas import DeltaWriter
from vector_common.errors import BadRequest
from vector_common.events import Fields, entrypoint
from vector_common.names import check_database
from vector_common.records import parse_spec
from vector_common.storage import open_storage

if TYPE_CHECKING:
    from collections.abc import Mapping


@functools.lru_cache(maxsize=32)
def _writer(url: str, database: str) -> DeltaWriter:
    return DeltaWriter(open_storage(url), database)


@entrypoint
def handler(event: Mapping[str, Any]) -> dict[str, Any]:
    """Append one batch."""
    fields = Fields(event)
    database = fields.text("database")
    key = fields.text("idempotencyKey", "")
    spec, records = fields.raw("collection"), fields.raw("records")
    if not isinstance(records, list) or not records:
        fields.problem("records", "must be an array of at least one change")
    fields.check()
    url = os.environ.get("STORAGE_URL")
    if not url:
        raise BadRequest("STORAGE_URL: is not set for this function")
    writer = _writer(url, check_database(database))
    ids = writer.append(records, parse_spec(spec), idempotency_key=key or None)
    return {"deltas": ids, "records": len(records)}

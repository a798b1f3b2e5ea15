"""delta_writer: keep changes without a server; compaction applies them later.

Event::

    {"database": "receipts", "collection": {"name": ..., "dimension": 384, "space": "cosine"},
     "records": [{"op": "upsert", "id", "embedding" or "text", "metadata"?, "document"?}, ...],
     "idempotencyKey": "..."?}

Answer: ``{"deltas": [ids], "records": n}``; when it comes, the changes are kept. STORAGE_URL says
where. A batch with an idempotency key may be sent again for a day without another effect.

``text`` needs an embedder. It is kept as the document, its vector comes from the embedder, whose
dimension and model become the collection's: ``dimension`` may be left out then. With vectors of
one's own, ``"model": {"name", "version"?}`` in the collection says what they come from.
"""

from __future__ import annotations

import functools
import json
import os
from typing import TYPE_CHECKING, Any

from vector_common.deltas import DeltaWriter
from vector_common.embedding.writing import with_vectors
from vector_common.errors import BadRequest
from vector_common.events import Fields, entrypoint
from vector_common.names import check_database
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
    changes, settled = with_vectors(records, spec)
    # What was sent is what the key stands for: a text's vector may differ the next time.
    content = json.dumps(records, sort_keys=True).encode() if settled.model else None
    ids = writer.append(changes, settled, idempotency_key=key or None, content=content)
    return {"deltas": ids, "records": len(records)}

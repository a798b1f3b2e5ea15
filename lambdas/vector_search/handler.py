"""vector_search: the records most similar to a vector, while a receipt is processed.

Event::

    {"collection": "receipts", "embedding": [...] or "text": "...", "limit": 10, "cursor": null,
     "minSimilarity": 0.5, "where": {...}, "documents": false,
     "session": {"address": ..., "tokenReference": ...} or "database": "receipts"}

Answer: ``{"results": [{"id", "similarity", "distance", "metadata", "document"?}], "next"}``.
``next`` is the ``cursor`` of the next page; null where nothing follows.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from vector_common.events import Fields, entrypoint
from vector_common.names import check_collection
from vector_common.search.embedder import read_embedding
from vector_common.search.neighbours import PageCursor, find_neighbours, require_cosine
from vector_common.stores import open_store

if TYPE_CHECKING:
    from collections.abc import Mapping


@entrypoint
def handler(event: Mapping[str, Any]) -> dict[str, Any]:
    """Search one collection."""
    fields = Fields(event)
    collection = fields.text("collection")
    limit = fields.integer("limit", 10, low=1, high=300)
    cursor = fields.text("cursor", "", limit=8192)
    least = fields.number("minSimilarity", -math.inf, low=-1, high=1)
    where, session = fields.mapping("where"), fields.mapping("session")
    documents = fields.flag("documents", default=False)
    database = fields.text("database", "")
    embed = read_embedding(fields)
    fields.check()
    check_collection(collection)
    start = PageCursor.decode(cursor)
    neighbours = find_neighbours(
        open_store(session, database),
        collection,
        embed(),
        start.rank + limit,
        where=where,
        documents=documents,
        model=embed.model,
    )
    if least > -math.inf:
        require_cosine("minSimilarity", ((collection, n) for n in neighbours))
    page, following = start.page(neighbours, limit)
    near = [n for n in page if n.similarity >= least]
    return {
        "results": [
            {
                "id": n.id,
                "similarity": n.similarity,
                "distance": n.distance,
                "metadata": dict(n.metadata),
                **({"document": n.document} if documents else {}),
            }
            for n in near
        ],
        "next": following if len(near) == len(page) else None,
    }

"""vector_search: the records most similar to a vector, while a receipt is processed.

Event::

    {"collection": "receipts", "embedding": [...] or "text": "...", "limit": 10,
     "minSimilarity": -1, "where": {...}, "documents": false,
     "session": {"address": ..., "tokenReference": ...} or "database": "receipts"}

Answer: ``{"results": [{"id", "similarity", "distance", "metadata", "document"?}]}``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vector_common.events import Fields, entrypoint
from vector_common.names import check_collection
from vector_common.search.embedder import read_embedding
from vector_common.search.neighbours import find_neighbours
from vector_common.stores import open_store

if TYPE_CHECKING:
    from collections.abc import Mapping


@entrypoint
def handler(event: Mapping[str, Any]) -> dict[str, Any]:
    """Search one collection."""
    fields = Fields(event)
    collection = fields.text("collection")
    limit = fields.integer("limit", 10, low=1, high=300)
    least = fields.number("minSimilarity", -1.0, low=-1, high=1)
    where, session = fields.mapping("where"), fields.mapping("session")
    documents = fields.flag("documents", default=False)
    database = fields.text("database", "")
    embed = read_embedding(fields)
    fields.check()
    check_collection(collection)
    neighbours = find_neighbours(
        open_store(session, database),
        collection,
        embed(),
        limit,
        where=where,
        documents=documents,
    )
    return {
        "results": [
            {
                "id": n.id,
                "similarity": n.similarity,
                "distance": n.distance,
                "metadata": dict(n.metadata),
                **({"document": n.document} if documents else {}),
            }
            for n in neighbours
            if n.similarity >= least
        ]
    }

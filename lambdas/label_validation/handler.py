"""label_validation: do the nearest labelled records agree with a label?

Event::

    {"collection": "labels", "label": "groceries", "embedding": [...] or "text": "...",
     "labelKey": "label", "neighbours": 10, "minSimilarity": 0.7, "minNeighbours": 3,
     "accept": 0.6, "margin": 0.1, "exactLabels": false, "session": {...} or "database": "receipts"}

Answer: ``{"verdict": "accept" | "review" | "reject", "score", "reasons", "suggestion", "shares",
"votes", "neighbours"}``; `vector_common.search.labels` defines them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vector_common.events import Fields, entrypoint
from vector_common.names import check_collection
from vector_common.search.embedder import read_embedding
from vector_common.search.labels import LabelRule, judge_label
from vector_common.search.neighbours import find_neighbours, require_cosine, widened
from vector_common.stores import open_store

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vector_common.search.neighbours import Neighbour


@entrypoint
def handler(event: Mapping[str, Any]) -> dict[str, Any]:
    """Judge one label."""
    fields = Fields(event)
    collection, label = fields.text("collection"), fields.text("label")
    key = fields.text("labelKey", "label")
    count = fields.integer("neighbours", 10, low=1, high=300)
    rule = LabelRule(
        min_similarity=fields.number("minSimilarity", LabelRule.min_similarity, low=0, high=1),
        min_neighbours=fields.integer("minNeighbours", LabelRule.min_neighbours, low=1, high=300),
        accept=fields.number("accept", LabelRule.accept, low=0, high=1),
        margin=fields.number("margin", LabelRule.margin, low=0, high=1),
        exact=fields.flag("exactLabels", default=LabelRule.exact),
    )
    session = fields.mapping("session")
    database = fields.text("database", "")
    embed = read_embedding(fields)
    fields.check()
    check_collection(collection)
    store, vector = open_store(session, database), embed()

    def nearest(most: int) -> list[Neighbour]:
        return find_neighbours(store, collection, vector, most, model=embed.model)

    neighbours = widened(nearest, count)
    require_cosine("label_validation", ((collection, n) for n in neighbours))
    judgement = judge_label(label, neighbours, key, rule)
    return {
        "verdict": judgement.verdict,
        "score": judgement.score,
        "reasons": list(judgement.reasons),
        "suggestion": judgement.suggestion,
        "shares": dict(judgement.shares),
        "votes": judgement.votes,
        "neighbours": [
            {"id": n.id, "similarity": n.similarity, "label": n.metadata.get(key)}
            for n in neighbours
        ],
    }

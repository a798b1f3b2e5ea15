"""merchant_match: which merchant does a vector belong to?

Event::

    {"collections": ["merchants"], "embedding": [...] or "text": "...", "merchantKey": "merchant",
     "neighbours": 20, "match": 0.9, "candidate": 0.7, "margin": 0.02, "limit": 5,
     "where": {...}, "session": {...} or "database": "receipts"}

Answer: ``{"outcome": "match" | "ambiguous" | "candidates" | "no_match", "merchant",
"candidates", "reasons"}``; `vector_common.search.merchants` defines them.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from vector_common.events import Fields, entrypoint
from vector_common.names import check_collection
from vector_common.search.embedder import read_embedding
from vector_common.search.merchants import MatchRule, match_merchant
from vector_common.search.neighbours import find_neighbours, require_cosine, widened
from vector_common.stores import open_store

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vector_common.search.neighbours import Neighbour


@entrypoint
def handler(event: Mapping[str, Any]) -> dict[str, Any]:
    """Match one vector."""
    fields = Fields(event)
    collections = fields.texts("collections", most=10)
    key = fields.text("merchantKey", "merchant")
    count = fields.integer("neighbours", 20, low=1, high=300)
    rule = MatchRule(
        match=fields.number("match", MatchRule.match, low=0, high=1),
        candidate=fields.number("candidate", MatchRule.candidate, low=0, high=1),
        margin=fields.number("margin", MatchRule.margin, low=0, high=1),
        most=fields.integer("limit", MatchRule.most, low=1, high=100),
    )
    if rule.candidate > rule.match:
        fields.problem("candidate", "must not be more than match")
    where, session = fields.mapping("where"), fields.mapping("session")
    database = fields.text("database", "")
    embed = read_embedding(fields)
    fields.check()
    names = list(dict.fromkeys(map(check_collection, collections)))
    store, vector = open_store(session, database), embed()

    def nearest(name: str) -> list[Neighbour]:
        def find(most: int) -> list[Neighbour]:
            return find_neighbours(store, name, vector, most, where=where, model=embed.model)

        return widened(find, count)

    found = [(name, neighbour) for name in names for neighbour in nearest(name)]
    require_cosine("merchant_match", found)
    result = match_merchant(found, key, rule)
    return {
        "outcome": result.outcome,
        "merchant": result.merchant,
        "candidates": [asdict(candidate) for candidate in result.candidates],
        "reasons": list(result.reasons),
    }

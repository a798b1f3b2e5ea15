"""Nearest neighbours as similarities."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vector_common.errors import BadRequest

if TYPE_CHECKING:
    import array
    from collections.abc import Mapping

    from vector_common.stores import VectorStore


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A record near a vector.

    Attributes:
        id: The record's id.
        distance: As Chroma gives it for the collection's space; smaller is nearer.
        similarity: 1 for the same direction or place, and smaller with distance.
        metadata: The record's.
        document: The record's text, if asked for.
    """

    id: str
    distance: float
    similarity: float
    metadata: Mapping[str, Any]
    document: str | None = None


def similarity(distance: float, space: str) -> float:
    """A number that grows with nearness.

    ``cosine`` and ``ip``: 1 - distance, which is the cosine and the inner product. ``l2``, whose
    distance is the squared Euclidean one: 1 / (1 + distance).
    """
    return 1 / (1 + distance) if space == "l2" else 1 - distance


def find_neighbours(
    store: VectorStore,
    collection: str,
    vector: array.array[float],
    limit: int,
    *,
    where: Mapping[str, Any] | None = None,
    documents: bool = False,
) -> list[Neighbour]:
    """The nearest records of a collection, nearest first, equal ones by id.

    Args:
        store: From `stores.open_store`.
        collection: Its name.
        vector: The query.
        limit: How many at most.
        where: Chroma's filter on metadata.
        documents: Whether to fetch the texts.

    Raises:
        NotFound: There is no such collection.
        BadRequest: Another dimension, or a filter that the store refuses.
        ServerBusy: The server did not answer.
    """
    found = store.query(collection, vector, limit, where=where or None, documents=documents)
    neighbours = []
    for row in found.rows:
        if row.distance is None:
            raise BadRequest(
                f"collection {collection}: the distance to a record is not finite in 32 bits; the "
                "embedding or the record is too long for the space, scale them"
            )
        near = similarity(row.distance, found.space)
        neighbours.append(Neighbour(row.id, row.distance, near, row.metadata, row.document))
    return sorted(neighbours, key=lambda n: (n.distance, n.id))

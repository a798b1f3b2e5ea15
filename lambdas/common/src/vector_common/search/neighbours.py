"""Nearest neighbours as similarities."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vector_common.chroma import chroma_errors
from vector_common.errors import BadRequest, Conflict

if TYPE_CHECKING:
    import array
    from collections.abc import Callable, Iterable, Mapping

    from chromadb.api import ClientAPI


MOST = 300
"""Records that Chroma Cloud and the functions return at most; the widest that a tie makes a cut."""

_EQUAL = 1e-6
"""Two distances that differ by no more are one: Chroma calculates in 32 bits."""


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A record near a vector.

    Attributes:
        id: The record's id.
        distance: As Chroma gives it for the collection's space; smaller is nearer.
        similarity: 1 for the same direction or place, and smaller with distance.
        metadata: The record's.
        document: The record's text, if asked for.
        space: Of the collection; similarities of two spaces are not comparable.
    """

    id: str
    distance: float
    similarity: float
    metadata: Mapping[str, Any]
    document: str | None = None
    space: str = "cosine"


def similarity(distance: float, space: str) -> float:
    """A number that grows with nearness.

    ``cosine`` and ``ip``: 1 - distance, which is the cosine and the inner product. ``l2``, whose
    distance is the squared Euclidean one: 1 / (1 + distance).
    """
    return 1 / (1 + distance) if space == "l2" else 1 - distance


def find_neighbours(
    client: ClientAPI,
    collection: str,
    vector: array.array[float],
    limit: int,
    *,
    where: Mapping[str, Any] | None = None,
    documents: bool = False,
) -> list[Neighbour]:
    """The nearest records of a collection, nearest first, equal ones by id.

    Args:
        client: From `chroma.chroma_client`.
        collection: Its name.
        vector: The query.
        limit: How many at most.
        where: Chroma's filter on metadata.
        documents: Whether to fetch the texts.

    Raises:
        NotFound: There is no such collection.
        BadRequest: Another dimension, or a filter that Chroma refuses.
        ServerBusy: The server did not answer.
    """
    include: Any = ["metadatas", "distances", *(["documents"] if documents else [])]
    with chroma_errors(f"collection {collection}"):
        found = client.get_collection(collection, embedding_function=None)
        queries: Any = [list(vector)]
        answer: Any = found.query(
            query_embeddings=queries,
            n_results=limit,
            where=dict(where) if where else None,
            include=include,
        )
    space = _space(found)
    if None in answer["distances"][0]:
        raise BadRequest(
            f"collection {collection}: the distance to a record is not finite in 32 bits; the "
            "embedding or the record is too long for the space, scale them"
        )
    texts = answer["documents"][0] if documents else [None] * len(answer["ids"][0])
    neighbours = [
        Neighbour(identifier, distance, similarity(distance, space), metadata or {}, text, space)
        for identifier, distance, metadata, text in zip(
            answer["ids"][0], answer["distances"][0], answer["metadatas"][0], texts, strict=True
        )
    ]
    return sorted(neighbours, key=lambda n: (n.distance, n.id))


def widened(find: Callable[[int], list[Neighbour]], count: int) -> list[Neighbour]:
    """The nearest records, and all that are as near as the last of them.

    Which of several equally near records come before the cut is chance, and must decide nothing.

    Args:
        find: Gives so many of the nearest, nearest first.
        count: How many are wanted.

    Returns:
        At least ``count`` of them if there are so many, and at most 300.
    """
    asked = min(count + 1, MOST)
    while True:
        found = find(asked)
        if len(found) <= count:
            return found
        last = found[count - 1].distance
        within = [n for n in found if n.distance <= last + _EQUAL * max(1.0, abs(last))]
        if len(within) < len(found) or len(found) < asked or asked == MOST:
            return within
        asked = min(4 * asked, MOST)


def require_cosine(what: str, found: Iterable[tuple[str, Neighbour]]) -> None:
    """Refuse to compare similarities with thresholds where they are not cosines.

    An inner product has no bound, and how far Euclidean distances go depends on the vectors: a
    threshold of 0 to 1 says nothing of them.

    Args:
        what: Is compared with the thresholds; for the message.
        found: Collections, and records of them.

    Raises:
        Conflict: A collection has another space than cosine.
    """
    spaces = {collection: neighbour.space for collection, neighbour in found}
    wrong = {name: space for name, space in spaces.items() if space != "cosine"}
    if wrong:
        listed = ", ".join(f"{name} calculates {space}" for name, space in sorted(wrong.items()))
        raise Conflict(
            f"{what}: needs collections of space cosine, and {listed}; thresholds mean nothing "
            "there, and similarities of different spaces are not compared. Give the collection "
            "that space: `vectors rebuild --space cosine`"
        )


def _space(collection: Any) -> str:
    configuration = collection.configuration_json or {}
    # Chroma's default for a collection that says nothing.
    return str((configuration.get("hnsw") or {}).get("space") or "l2")

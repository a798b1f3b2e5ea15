"""Nearest neighbours as similarities."""

from __future__ import annotations

import base64
import json
import math
from dataclasses import astuple, dataclass
from typing import TYPE_CHECKING, Any

from vector_common.chroma import chroma_errors
from vector_common.errors import BadRequest, Conflict

if TYPE_CHECKING:
    import array
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from chromadb.api import ClientAPI

    from vector_common.records import EmbeddingModel
    from vector_common.stores import VectorStore


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


MAX_RANK = 10_000
"""How far pages go. What lies before a page is found again, so its time grows with its rank."""


@dataclass(frozen=True, slots=True)
class PageCursor:
    """Where a page of neighbours begins: after a record, and not at a number.

    An approximate index finds a few other records when it is asked for more of them; by numbers,
    they would shift what follows, and records would come twice.

    Attributes:
        rank: How many neighbours had been asked for.
        distance: Of the last one shown; what follows is further away, or as far with a later id.
        id: Its id.
    """

    rank: int = 0
    distance: float = -math.inf
    id: str = ""

    def encode(self) -> str:
        """It as text that fits an event."""
        return base64.urlsafe_b64encode(json.dumps([*astuple(self)]).encode()).decode()

    @classmethod
    def decode(cls, text: str) -> PageCursor:
        """The inverse of `encode`; empty text is the beginning.

        Raises:
            BadRequest: The text is not that of a cursor.
        """
        if not text:
            return cls()
        try:
            rank, distance, identifier = json.loads(base64.urlsafe_b64decode(text.encode("ascii")))
            fits = type(rank) is int and 0 < rank <= MAX_RANK and isinstance(identifier, str)
            if fits and isinstance(distance, float) and math.isfinite(distance):
                return cls(rank, distance, identifier)
        except (ValueError, TypeError, RecursionError):
            pass
        raise BadRequest("cursor: is not the `next` of an answer")

    def page(self, found: Sequence[Neighbour], limit: int) -> tuple[list[Neighbour], str | None]:
        """The neighbours of a page, and the cursor of the next one; None where nothing follows.

        Args:
            found: The nearest ``rank + limit`` records, nearest first.
            limit: How many of them at most.
        """
        after = [n for n in found if (n.distance, n.id) > (self.distance, self.id)][:limit]
        asked = self.rank + limit
        if len(found) < asked or asked + limit > MAX_RANK:
            return after, None
        last = (after[-1].distance, after[-1].id) if after else (self.distance, self.id)
        return after, PageCursor(asked, *last).encode()


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
    model: EmbeddingModel | None = None,
) -> list[Neighbour]:
    """The nearest records of a collection, nearest first, equal ones by id.

    Args:
        store: From `stores.open_store`.
        collection: Its name.
        vector: The query.
        limit: How many at most.
        where: Chroma's filter on metadata.
        documents: Whether to fetch the texts.
        model: What the query comes from, if an embedder made it.

    Raises:
        ModelMismatch: The collection's vectors come from another model, or the embedder's have
            another dimension.
        NotFound: There is no such collection.
        BadRequest: Another dimension, or a filter that the store refuses.
        ServerBusy: The server did not answer.
    """
    found = store.query(
        collection, vector, limit, where=where or None, documents=documents, model=model
    )
    neighbours = []
    for row in found.rows:
        if row.distance is None:
            raise BadRequest(
                f"collection {collection}: the distance to a record is not finite in 32 bits; the "
                "embedding or the record is too long for the space, scale them"
            )
        near = similarity(row.distance, found.space)
        neighbours.append(
            Neighbour(row.id, row.distance, near, row.metadata, row.document, found.space)
        )
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
    asked = max(count, min(count + 1, MOST))
    while True:
        found = find(asked)
        if len(found) <= count:
            return found
        last = found[count - 1].distance
        within = [n for n in found if n.distance <= last + _EQUAL * max(1.0, abs(last))]
        if len(within) < len(found) or len(found) < asked or asked >= MOST:
            return within
        asked = min(4 * asked, MOST)


def require_cosine(what: str, found: Iterable[tuple[str, Neighbour]]) -> None:
    """Refuse to compare similarities with thresholds where they are not cosines.

    An inner product has no bound, and how far Euclidean distances go depends on the vectors: a
    threshold of 0 to 1 means nothing for them.

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


def iterate_records(
    client: ClientAPI, collection: str, *, where: Mapping[str, Any] | None = None, page: int = 300
) -> Iterator[dict[str, Any]]:
    """Every record of a collection, or those that a filter lets through, page by page.

    In Chroma's order, which is that of their first writing. What is written meanwhile may be
    missing, or come twice where records are deleted.

    Args:
        client: From `chroma.chroma_client`.
        collection: Its name.
        where: Chroma's filter on metadata.
        page: Records per request.

    Yields:
        ``{"id", "embedding", "metadata", "document"}``.

    Raises:
        NotFound, BadRequest, ServerBusy: As `find_neighbours`.
    """
    offset = 0
    while True:
        with chroma_errors(f"collection {collection}"):
            found = client.get_collection(collection, embedding_function=None).get(
                where=dict(where) if where else None,
                limit=page,
                offset=offset,
                include=["embeddings", "metadatas", "documents"],
            )
        columns: Any = (found["embeddings"], found["metadatas"], found["documents"])
        for identifier, vector, metadata, document in zip(found["ids"], *columns, strict=True):
            yield {
                "id": identifier,
                "embedding": [float(value) for value in vector],
                "metadata": dict(metadata or {}),
                "document": document,
            }
        if len(found["ids"]) < page:
            return
        offset += page

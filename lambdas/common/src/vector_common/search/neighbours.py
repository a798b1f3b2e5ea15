"""Nearest neighbours as similarities."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vector_common.chroma import chroma_errors
from vector_common.errors import BadRequest, ModelMismatch
from vector_common.records import model_of, require_same_model

if TYPE_CHECKING:
    import array
    from collections.abc import Mapping

    from chromadb.api import ClientAPI

    from vector_common.records import EmbeddingModel


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
    client: ClientAPI,
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
        client: From `chroma.chroma_client`.
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
        BadRequest: Another dimension, or a filter that Chroma refuses.
        ServerBusy: The server did not answer.
    """
    include: Any = ["metadatas", "distances", *(["documents"] if documents else [])]
    with chroma_errors(f"collection {collection}"):
        found = client.get_collection(collection, embedding_function=None)
        _check_model(found, len(vector), model)
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
        Neighbour(identifier, distance, similarity(distance, space), metadata or {}, text)
        for identifier, distance, metadata, text in zip(
            answer["ids"][0], answer["distances"][0], answer["metadatas"][0], texts, strict=True
        )
    ]
    return sorted(neighbours, key=lambda n: (n.distance, n.id))


def _check_model(collection: Any, dimension: int, model: EmbeddingModel | None) -> None:
    if model is None:
        return
    require_same_model(collection.name, model_of(collection.metadata or {}), model)
    held = collection.get_model().dimension
    if held not in {None, dimension}:
        raise ModelMismatch(
            f"collection {collection.name}: has {held} dimensions, the embedder's model {model} "
            f"gives {dimension}"
        )


def _space(collection: Any) -> str:
    configuration = collection.configuration_json or {}
    # Chroma's default for a collection that says nothing.
    return str((configuration.get("hnsw") or {}).get("space") or "l2")

"""A session's Chroma server as a store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vector_common.chroma import chroma_errors
from vector_common.errors import ModelMismatch
from vector_common.records import model_of, require_same_model
from vector_common.stores.rows import Row, StoreAnswer

if TYPE_CHECKING:
    import array
    from collections.abc import Mapping

    from chromadb.api import ClientAPI

    from vector_common.records import EmbeddingModel


class SessionStore:
    """The server that a client of `chroma.chroma_client` speaks to."""

    def __init__(self, client: ClientAPI) -> None:
        self._client = client

    def query(
        self,
        collection: str,
        vector: array.array[float],
        limit: int,
        *,
        where: Mapping[str, Any] | None = None,
        documents: bool = False,
        model: EmbeddingModel | None = None,
    ) -> StoreAnswer:
        """Ask the server."""
        include: Any = ["metadatas", "distances", *(["documents"] if documents else [])]
        with chroma_errors(f"collection {collection}"):
            found = self._client.get_collection(collection, embedding_function=None)
            _check_model(found, len(vector), model)
            queries: Any = [list(vector)]
            answer: Any = found.query(
                query_embeddings=queries,
                n_results=limit,
                where=dict(where) if where else None,
                include=include,
            )
        texts = answer["documents"][0] if documents else [None] * len(answer["ids"][0])
        rows = [
            Row(identifier, distance, metadata or {}, text)
            for identifier, distance, metadata, text in zip(
                answer["ids"][0], answer["distances"][0], answer["metadatas"][0], texts, strict=True
            )
        ]
        return StoreAnswer(_space(found), rows)


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

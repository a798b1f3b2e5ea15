"""A session's Chroma server as a store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vector_common.chroma import chroma_errors
from vector_common.stores.rows import Row, StoreAnswer

if TYPE_CHECKING:
    import array
    from collections.abc import Mapping

    from chromadb.api import ClientAPI


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
    ) -> StoreAnswer:
        """Ask the server."""
        include: Any = ["metadatas", "distances", *(["documents"] if documents else [])]
        with chroma_errors(f"collection {collection}"):
            found = self._client.get_collection(collection, embedding_function=None)
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


def _space(collection: Any) -> str:
    configuration = collection.configuration_json or {}
    # Chroma's default for a collection that says nothing.
    return str((configuration.get("hnsw") or {}).get("space") or "l2")

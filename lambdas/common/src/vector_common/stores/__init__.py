"""Where a database's vectors are asked: a session, a file in the function, or S3 Vectors.

Each store answers the same question in the same way: distances are Chroma's (cosine and inner
product as 1 minus it, l2 as the squared Euclidean one), filters mean what they mean in Chroma, and
what a store cannot do is an error of this package, never another answer.
"""

from __future__ import annotations

import functools
import os
from typing import TYPE_CHECKING, Any, Protocol

from vector_common.errors import BadRequest

if TYPE_CHECKING:
    import array
    from collections.abc import Mapping

    from vector_common.records import EmbeddingModel
    from vector_common.stores.rows import StoreAnswer
    from vector_common.stores.state import StoreName


class VectorStore(Protocol):
    """One database as functions ask it; may be shared by threads."""

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
        """The nearest records of a collection.

        Args:
            collection: Its name.
            vector: The query.
            limit: How many at most.
            where: Chroma's filter on metadata.
            documents: Whether to fetch the texts.
            model: What the query comes from, if an embedder made it.

        Raises:
            ModelMismatch: The collection's vectors come from another model.
            NotFound: There is no such collection.
            BadRequest: Another dimension, or a filter or limit that the store does not take.
            ServerBusy, StorageBusy: It did not answer.
        """


def open_store(session: Mapping[str, Any] | None, database: str = "") -> VectorStore:
    """The store that an event names.

    Args:
        session: The event's ``session``; if there is one, it is asked.
        database: The event's ``database``; VECTOR_STORES says in which store it is asked, in a
            session if nothing. Empty as without one.

    Raises:
        BadRequest: The event or the function's environment is wrong.
        ServerBusy: It has no session, and no server is configured.
    """
    from vector_common.stores.state import parse_choice  # noqa: PLC0415 -- a session needs none

    store: StoreName = "session"
    if database and session is None:
        store = parse_choice(os.environ.get("VECTOR_STORES", "")).get(database, "session")
    if store == "session":
        from vector_common.chroma import chroma_client  # noqa: PLC0415
        from vector_common.stores.session import SessionStore  # noqa: PLC0415

        return SessionStore(chroma_client(session))
    url = os.environ.get("STORAGE_URL")
    if not url:
        raise BadRequest("STORAGE_URL: is not set for this function")
    return _opened(store, url, database)


@functools.lru_cache(maxsize=8)
def _opened(store: StoreName, url: str, database: str) -> VectorStore:
    """What an execution environment keeps from one invocation to the next."""
    from vector_common.storage import open_storage  # noqa: PLC0415

    storage = open_storage(url)
    if store == "file":
        from vector_common.stores.file import FileStore  # noqa: PLC0415

        return FileStore(storage, database)
    from vector_common.stores.s3vectors import S3VectorsStore  # noqa: PLC0415

    return S3VectorsStore(storage, database)

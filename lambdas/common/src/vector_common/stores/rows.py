"""Records as a store returns them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vector_common.errors import BadRequest, ModelMismatch
from vector_common.records import require_same_model

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from vector_common.records import EmbeddingModel
    from vector_common.stores.state import FedCollection


@dataclass(frozen=True, slots=True)
class Row:
    """A record as a store found it; ``distance`` is None where it is not finite in 32 bits."""

    id: str
    distance: float | None
    metadata: Mapping[str, Any]
    document: str | None = None


@dataclass(frozen=True, slots=True)
class StoreAnswer:
    """What a store found, in any order, and the space that the collection calculates."""

    space: str
    rows: Sequence[Row]


def check_query(
    collection: str, fed: FedCollection, dimension: int, model: EmbeddingModel | None
) -> None:
    """Refuse a query that does not fit what a store was fed.

    Raises:
        ModelMismatch: It comes from another model than the collection's vectors.
        BadRequest: It has another dimension.
    """
    require_same_model(collection, fed.model, model)
    if not fed.count or dimension == fed.dimension:
        return
    if model is not None:
        raise ModelMismatch(
            f"collection {collection}: has {fed.dimension} dimensions, the embedder's model "
            f"{model} gives {dimension}"
        )
    raise BadRequest(
        f"collection {collection}: expects embeddings of {fed.dimension} dimensions, got "
        f"{dimension}"
    )

"""Records as a store returns them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


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

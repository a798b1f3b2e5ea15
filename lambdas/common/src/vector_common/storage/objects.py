"""Objects as a store returns them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime


@dataclass(frozen=True, slots=True)
class Blob:
    """An object as it was read; ``etag`` is opaque and fits ``put(if_match=...)``."""

    data: bytes
    etag: str


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """An object as a listing shows it; ``size`` in bytes, ``modified`` by the store's clock."""

    key: str
    size: int
    etag: str
    modified: datetime

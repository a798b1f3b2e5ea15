"""The store's interface; it lives in vector_common, because the functions write deltas with it."""

from __future__ import annotations

from vector_common.objects import Blob, ObjectInfo
from vector_common.storage import Storage, open_storage

__all__ = ["Blob", "ObjectInfo", "Storage", "open_storage"]

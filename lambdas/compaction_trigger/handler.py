"""compaction_trigger: which databases need a compaction, for deltas or for a store behind.

Event: ``{"databases": ["receipts"]}``; all databases of STORAGE_URL without it.
Answer: ``{"pending": [...], "later": n}``. The state machine `compaction` asks, and starts itself
for each: the function changes nothing, and needs no way to Step Functions where it is in a VPC to
mount a file system. `later` counts those that one run of the state machine could not take.
"""

from __future__ import annotations

import functools
import os
from typing import TYPE_CHECKING, Any

from vector_common.deltas import has_deltas
from vector_common.errors import BadRequest
from vector_common.events import Fields, entrypoint
from vector_common.names import check_database
from vector_common.storage import open_storage
from vector_common.stores.state import is_behind

if TYPE_CHECKING:
    from collections.abc import Mapping

MOST = 1000
"""Databases of an answer: a map takes about eight events for each of the 25,000 that a history may
have, and a state 256 KiB (Step Functions, service quotas)."""


@entrypoint
def handler(event: Mapping[str, Any]) -> dict[str, Any]:
    """Look at the databases."""
    # A schedule's own event has fields that say nothing here.
    fields = Fields({k: v for k, v in event.items() if k == "databases"})
    asked = fields.texts("databases", [], most=MOST)
    fields.check()
    url = os.environ.get("STORAGE_URL")
    if not url:
        raise BadRequest("STORAGE_URL: is not set for this function")
    storage = _storage(url)
    pending = [
        database
        for database in asked or storage.folders("databases/")
        if has_deltas(storage, check_database(database)) or is_behind(storage, database)
    ]
    return {"pending": pending[:MOST], "later": len(pending[MOST:])}


@functools.cache
def _storage(url: str) -> Any:
    return open_storage(url)

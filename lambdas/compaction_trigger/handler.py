"""compaction_trigger: start the compaction of every database that has deltas.

Event: ``{"databases": ["receipts"]}``; all databases of STORAGE_URL without it.
Answer: ``{"started": [...], "running": [...], "idle": [...], "failed": {database: error}}``.
STATE_MACHINE_ARN says what to start; its input is ``{"database": ...}``.
"""

from __future__ import annotations

import functools
import json
import os
import time
from typing import TYPE_CHECKING, Any

from vector_common.deltas import has_deltas
from vector_common.errors import BadRequest
from vector_common.events import Fields, entrypoint
from vector_common.names import check_database
from vector_common.storage import open_storage

if TYPE_CHECKING:
    from collections.abc import Mapping

WINDOW_SECONDS = 300
"""Triggers within one window are one execution: its name says which."""


@entrypoint
def handler(event: Mapping[str, Any]) -> dict[str, Any]:
    """Start what is needed."""
    # A schedule's own event has fields that say nothing here.
    fields = Fields({k: v for k, v in event.items() if k == "databases"})
    asked = fields.texts("databases", [], most=1000)
    fields.check()
    url, machine = os.environ.get("STORAGE_URL"), os.environ.get("STATE_MACHINE_ARN")
    if not url or not machine:
        raise BadRequest("STORAGE_URL, STATE_MACHINE_ARN: must both be set for this function")
    storage = _storage(url)
    result: dict[str, Any] = {"started": [], "running": [], "idle": [], "failed": {}}
    for database in asked or storage.folders("databases/"):
        if not has_deltas(storage, check_database(database)):
            result["idle"].append(database)
            continue
        outcome = _start(machine, database)
        if outcome in {"started", "running"}:
            result[outcome].append(database)
        else:
            result["failed"][database] = outcome
    return result


@functools.cache
def _storage(url: str) -> Any:
    return open_storage(url)


@functools.cache
def _states() -> Any:
    from vector_common import aws  # noqa: PLC0415 -- not needed when nothing is pending

    config = {"connect_timeout": 3, "read_timeout": 10, "retries": {"mode": "standard"}}
    return aws.client("stepfunctions", config)


def _start(machine: str, database: str) -> str:
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415

    window = int(time.time()) // WINDOW_SECONDS
    try:
        _states().start_execution(
            stateMachineArn=machine,
            name=f"{database}-{window}",
            input=json.dumps({"database": database}),
        )
    except ClientError as error:
        code = str(error.response.get("Error", {}).get("Code"))
        return "running" if code == "ExecutionAlreadyExists" else code
    except BotoCoreError as error:
        return type(error).__name__
    return "started"

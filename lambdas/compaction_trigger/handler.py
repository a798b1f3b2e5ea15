"""compaction_trigger: start the compaction of every database with deltas, or with a store behind.

Event: ``{"databases": ["receipts"]}``; all databases of STORAGE_URL without it.
Answer: ``{"started": [...], "running": [...], "idle": [...], "failed": {database: error}}``.
STATE_MACHINE_ARN says what to start; its input is ``{"database": ...}``. A database is `running`
while a compaction of it runs, whoever started it here and when; it is then not started again.
"""

from __future__ import annotations

import functools
import json
import os
import uuid
from typing import TYPE_CHECKING, Any

from vector_common.deltas import has_deltas
from vector_common.errors import BadRequest
from vector_common.events import Fields, entrypoint
from vector_common.names import check_database
from vector_common.storage import open_storage
from vector_common.stores.state import is_behind

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

SUFFIX_LENGTH = 13
"""Of an execution's name after its database: a hyphen and 12 hex digits."""


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
    storage, starter = _storage(url), _Starter(machine)
    result: dict[str, Any] = {"started": [], "running": [], "idle": [], "failed": {}}
    for database in asked or storage.folders("databases/"):
        if not has_deltas(storage, check_database(database)) and not is_behind(storage, database):
            result["idle"].append(database)
            continue
        outcome = starter.start(database)
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


class _Starter:
    """Starts compactions of one state machine, each database once at a time."""

    def __init__(self, machine: str) -> None:
        self._machine = machine
        self._running: set[str] | None = None

    def start(self, database: str) -> str:
        """Start a compaction; return ``started``, ``running`` or the name of an error."""
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415

        try:
            if self._running is None:
                # StartExecution answers the same for a new execution and for one that runs under
                # its name, and ExecutionAlreadyExists for one that has ended: it cannot tell.
                self._running = set(_databases(self._machine))
            if database in self._running:
                return "running"
            _states().start_execution(
                stateMachineArn=self._machine,
                name=f"{database}-{uuid.uuid4().hex[: SUFFIX_LENGTH - 1]}",
                input=json.dumps({"database": database}),
            )
        except ClientError as error:
            return str(error.response.get("Error", {}).get("Code"))
        except BotoCoreError as error:
            return type(error).__name__
        return "started"


def _databases(machine: str) -> Iterator[str]:
    """Yield the databases whose compactions run, as the executions' names say."""
    more: dict[str, str] = {}
    while True:
        page = _states().list_executions(
            stateMachineArn=machine, statusFilter="RUNNING", maxResults=1000, **more
        )
        yield from (one["name"][:-SUFFIX_LENGTH] for one in page["executions"])
        if not page.get("nextToken"):
            return
        more = {"nextToken": page["nextToken"]}

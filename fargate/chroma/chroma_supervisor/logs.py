"""One JSON object a line on stdout, as CloudWatch Logs Insights reads it."""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from chroma_store.deltas.quarantine import SetAside
    from chroma_store.server.index import Recall

LOGGER = logging.getLogger("chroma_supervisor")


class JsonFormatter(logging.Formatter):
    """Formats a record and the fields of its ``extra={"fields": {...}}`` as one JSON object."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as a line of JSON without a line break."""
        ours = record.name == LOGGER.name
        line: dict[str, Any] = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
            + f".{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            # Of libraries only the first line: below it, and in exceptions, they quote requests.
            "event": record.getMessage() if ours else record.getMessage().partition("\n")[0],
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            kind = record.exc_info[0]
            line["exception"] = (
                self.formatException(record.exc_info) if ours else kind and kind.__name__
            )
        return json.dumps(line, default=str)


def configure(level: str) -> None:
    """Send every logger of the process to stdout as JSON.

    Args:
        level: A level name of :mod:`logging`, such as ``INFO``; any other counts as that, so that
            the settings' check can say what is wrong with it.
    """
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    LOGGER.setLevel(level if level in logging.getLevelNamesMapping() else logging.INFO)


def event(
    name: str,
    fields: Mapping[str, object] | None = None,
    *,
    level: int = logging.INFO,
    **more: object,
) -> None:
    """Log one event of the session; never pass it a token or a request's body."""
    LOGGER.log(level, name, extra={"fields": {**(fields or {}), **more}})


def report_set_aside(found: Iterable[SetAside], notes: Iterable[str]) -> None:
    """Log what a replay could not apply, one event per delta.

    The events are in CloudWatch's embedded metric format: a stage has an alarm on their number.
    """
    for item in found:
        event(
            "quarantined",
            _metric("Quarantined", 1),
            level=logging.ERROR,
            delta=item.delta,
            collection=item.collection,
            changes=item.changes,
            reason=item.reasons[0],
        )
    for note in notes:
        event("replay_note", level=logging.WARNING, message=note)


def report_recall(measured: Iterable[Recall]) -> None:
    """Log which indexes find too little, one event per collection, and which were made anew.

    An index that still finds too little is counted in the metric ``Unfound``, from which a stage
    has an alarm.
    """
    for item in measured:
        if item.low:
            metric = _metric("Unfound", max(1, item.sampled - item.found))
            fields = metric | item.document()
            event("recall_low", fields, level=logging.ERROR, message=item.summary)
        elif item.rebuilt:
            event("index_rebuilt", item.document(), message=item.summary)


def _metric(name: str, value: int) -> dict[str, Any]:
    """Fields that make a line a metric of this stage, in CloudWatch's embedded metric format."""
    metrics = {
        "Namespace": "Vectors",
        "Dimensions": [["stage"]],
        "Metrics": [{"Name": name, "Unit": "Count"}],
    }
    return {
        "_aws": {"CloudWatchMetrics": [metrics], "Timestamp": time.time_ns() // 1_000_000},
        "stage": os.environ.get("STAGE", "local"),
        name: value,
    }

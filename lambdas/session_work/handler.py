"""session_work: run many items of a session in one invocation.

Event::

    {"items": [{"function": "vector_search", "event": {...}}, ...], "concurrency": 10,
     "session": {"address": ..., "tokenReference": ...}, "key": "results/<session>/results.json"}

Answer: ``{"results": [...]}`` in the order of the items; where a state of Step Functions could not
hold them, ``{"results": {"bucket", "key", "items", "bytes"}}``, and that object of RESULTS_URL
holds the array. An item that fails fails the invocation, under the name of its own error. Items
only read, so an invocation may be repeated. The functions of the items are those of this package.
"""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from label_validation import handler as labels
from merchant_match import handler as merchants
from vector_common.chroma import chroma_client
from vector_common.errors import BadRequest, VectorError
from vector_common.events import Fields, entrypoint
from vector_common.storage import open_storage
from vector_search import handler as search

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from vector_common.storage import Storage

    Work = Callable[[Mapping[str, Any]], dict[str, Any]]

FUNCTIONS: dict[str, Any] = {
    "vector_search": search.handler,
    "label_validation": labels.handler,
    "merchant_match": merchants.handler,
}

MOST_ITEMS = 1000
MOST_THREADS = 64

INLINE_BYTES = 200_000
"""Most bytes of results in the answer. A state's input or output has at most 256 KiB (Step
Functions quotas), of which the rest is for what else the state holds."""

STATE_BYTES = 240_000
"""Most bytes of items and results together: the state that gets the results still has the items."""


@entrypoint
def handler(event: Mapping[str, Any]) -> dict[str, Any]:
    """Run the items, and answer with their results or where they are."""
    fields = Fields(event)
    items, session = fields.raw("items"), fields.mapping("session")
    threads = fields.integer("concurrency", 1, low=1, high=MOST_ITEMS)
    key = fields.text("key")
    if not isinstance(items, list) or not 0 < len(items) <= MOST_ITEMS:
        fields.problem("items", f"must be an array of 1 to {MOST_ITEMS} items")
    else:
        _check(items, fields)
    fields.check()
    if session is not None or not all("database" in item["event"] for item in items):
        # One client for all threads; and a session that is over is told once.
        chroma_client(session)
    run = functools.partial(_run, session)
    with ThreadPoolExecutor(min(threads, MOST_THREADS, len(items))) as pool:
        running = [pool.submit(run, number, item) for number, item in enumerate(items)]
        try:
            results = [one.result() for one in running]
        finally:
            pool.shutdown(cancel_futures=True)
    return {"results": _kept(results, items, key)}


def _check(items: Sequence[Any], fields: Fields) -> None:
    for number, item in enumerate(items):
        if not isinstance(item, Mapping) or item.get("function") not in FUNCTIONS:
            fields.problem(f"items[{number}].function", f"must be one of {', '.join(FUNCTIONS)}")
        elif not isinstance(item.get("event"), Mapping):
            fields.problem(f"items[{number}].event", "must be an object")


def _run(session: Mapping[str, Any] | None, number: int, item: Mapping[str, Any]) -> dict[str, Any]:
    # What an entry point wraps: the errors and the line of metrics are this invocation's.
    work: Work = FUNCTIONS[item["function"]].__wrapped__
    try:
        return work({**item["event"], "session": session})
    except BadRequest as error:
        raise BadRequest(*(f"items[{number}]: {one}" for one in error.problems)) from None
    except VectorError as error:
        raise type(error)(f"items[{number}]: {error}") from None


def _kept(results: list[dict[str, Any]], items: Sequence[Any], key: str) -> Any:
    """Return the results, or the place on S3 where they were put."""
    content = _bytes(results)
    if len(content) <= min(INLINE_BYTES, STATE_BYTES - len(_bytes(items))):
        return results
    url = os.environ.get("RESULTS_URL")
    if not url:
        raise BadRequest("RESULTS_URL: is not set for this function")
    _storage(url).put(key, content)
    place = urlsplit(url)
    path = f"{place.path.strip('/')}/{key}".lstrip("/")
    return {"bucket": place.netloc, "key": path, "items": len(results), "bytes": len(content)}


def _bytes(value: Any) -> bytes:
    # As Step Functions counts a payload: UTF-8, without escapes or blanks.
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


@functools.cache
def _storage(url: str) -> Storage:
    return open_storage(url)

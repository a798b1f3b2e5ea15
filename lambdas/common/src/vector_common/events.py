"""Events in, answers and errors out: what every function does around its work.

A direct invocation (Step Functions, Lambda's API) gets the result, or a raised error that a state
machine can match by its class name. An event of a function URL or an API (payload format 2.0)
gets a response with a status and a JSON body.
"""

from __future__ import annotations

import base64
import functools
import json
import math
import os
import sys
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from vector_common.errors import (
    BadRequest,
    PayloadTooLarge,
    ServerBusy,
    StorageBusy,
    StoreError,
    TooManyRequests,
    Unauthorized,
    Unavailable,
    VectorError,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    Work = Callable[[Mapping[str, Any]], dict[str, Any]]
    Handler = Callable[[Any, Any], dict[str, Any]]

T = TypeVar("T")

MAX_ANSWER_BYTES = 6 * 1024 * 1024
"""Lambda's limit for the payload of a synchronous answer."""

_NAMESPACE = "Vectors"
_cold = True


def entrypoint(work: Work) -> Handler:
    """Make a Lambda handler of a function from a checked event to a result.

    The result must fit Lambda's answer, or PayloadTooLarge is raised. Every invocation writes one
    line in CloudWatch's embedded metric format: outcome, duration, cold start.
    """

    @functools.wraps(work)
    def handler(event: Any, context: Any) -> dict[str, Any]:
        started = time.perf_counter()
        is_http = isinstance(event, Mapping) and "requestContext" in event
        try:
            result = work(_payload(event, is_http=is_http))
            answer = _fitting(_response(200, result) if is_http else result)
        except VectorError as error:
            named = _named(error)
            _report(context, type(named).__name__, started, str(named))
            if not is_http:
                raise named from error
            return _response(named.status, _problem(named), retryable=named.retryable)
        except Exception as error:
            _report(context, type(error).__name__, started, None)
            raise
        _report(context, "ok", started, None)
        return answer

    return handler


class Fields:
    """Reads the fields of an event, collecting every problem.

    Args:
        event: What came in.
        place: Goes before each field's name in messages.
    """

    def __init__(self, event: Mapping[str, Any], place: str = "") -> None:
        self._event = event
        self._place = place
        self._problems: list[str] = []
        self._known: set[str] = set()

    def text(self, name: str, default: str | None = None, *, limit: int = 512) -> str:
        """A string of 1 to ``limit`` characters."""
        return self._read(
            name,
            default,
            lambda v: isinstance(v, str) and 0 < len(v) <= limit,
            f"must be a string of 1 to {limit} characters",
            "",
        )

    def integer(self, name: str, default: int | None = None, *, low: int, high: int) -> int:
        """An integer within bounds, both included."""
        return self._read(
            name,
            default,
            lambda v: type(v) is int and low <= v <= high,
            f"must be an integer of {low} to {high}",
            low,
        )

    def number(self, name: str, default: float | None = None, *, low: float, high: float) -> float:
        """A number within bounds, both included."""
        value = self._read(
            name,
            default,
            lambda v: (
                isinstance(v, int | float)
                and not isinstance(v, bool)
                and math.isfinite(v)
                and low <= v <= high
            ),
            f"must be a number of {low:g} to {high:g}",
            low,
        )
        return float(value)

    def flag(self, name: str, *, default: bool) -> bool:
        """True or false."""
        return self._read(
            name, default, lambda v: isinstance(v, bool), "must be true or false", default
        )

    def texts(self, name: str, default: list[str] | None = None, *, most: int) -> list[str]:
        """A list of 1 to ``most`` strings."""
        return self._read(
            name,
            default,
            lambda v: (
                isinstance(v, list)
                and 0 < len(v) <= most
                and all(isinstance(item, str) and item for item in v)
            ),
            f"must be an array of 1 to {most} strings",
            [],
        )

    def mapping(self, name: str) -> Mapping[str, Any] | None:
        """An object, or None if it is absent."""
        value: Mapping[str, Any] | None = self._read(
            name, None, lambda v: isinstance(v, Mapping), "must be an object", None, optional=True
        )
        return value

    def raw(self, name: str) -> Any:
        """A field that another check reads; None if it is absent."""
        self._known.add(name)
        return self._event.get(name)

    def problem(self, name: str, what: str) -> None:
        """Add a problem that another check found."""
        self._problems.append(f"{self._place}{name}: {what}")

    def check(self) -> None:
        """Raise BadRequest with all problems, unknown fields among them."""
        for name in sorted(map(str, self._event.keys() - self._known)):
            self.problem(name[:80], "is not a field of this event")
        if self._problems:
            raise BadRequest(*self._problems)

    def _read(
        self,
        name: str,
        default: T | None,
        fits: Callable[[Any], bool],
        otherwise: str,
        fallback: T,
        *,
        optional: bool = False,
    ) -> T:
        self._known.add(name)
        value: Any = self._event.get(name)
        if value is None and default is not None:
            return default
        if value is None and optional:
            return fallback
        if not fits(value):
            self.problem(name, "is missing" if value is None else otherwise)
            return fallback
        return cast("T", value)


def _payload(event: Any, *, is_http: bool) -> Mapping[str, Any]:
    value = event
    if is_http:
        body = event.get("body") or ""
        try:
            raw = base64.b64decode(body, validate=True) if event.get("isBase64Encoded") else body
            value = json.loads(raw)
        except (ValueError, TypeError, RecursionError) as error:
            raise BadRequest(f"body: is not JSON: {error}") from None
    if not isinstance(value, Mapping):
        raise BadRequest("event: must be an object")
    return value


def _fitting(result: dict[str, Any]) -> dict[str, Any]:
    """Check the answer as Lambda's runtime sends it: its JSON, with a body in it quoted again."""
    # Its runtimes since Python 3.12 do not escape what is beyond ASCII.
    size = len(json.dumps(result, ensure_ascii=False).encode(errors="replace"))
    if size > MAX_ANSWER_BYTES:
        raise PayloadTooLarge(
            f"answer: {size} bytes are more than Lambda's {MAX_ANSWER_BYTES}; ask for fewer results"
        )
    return result


def _named(error: VectorError) -> VectorError:
    """The error under the name that state machines know."""
    if isinstance(error, Unauthorized):
        from vector_common import chroma  # noqa: PLC0415 -- only where a client was in use

        chroma.forget()
    if isinstance(error, ServerBusy | StorageBusy):
        return error
    if isinstance(error, Unavailable | TooManyRequests):
        return ServerBusy(str(error))
    return StorageBusy(str(error)) if isinstance(error, StoreError) else error


def _problem(error: VectorError) -> dict[str, Any]:
    problem: dict[str, Any] = {"error": type(error).__name__, "message": str(error)}
    if isinstance(error, BadRequest):
        problem["problems"] = list(error.problems)
    return problem


def _response(status: int, body: dict[str, Any], *, retryable: bool = False) -> dict[str, Any]:
    headers = {"Content-Type": "application/json", "Cache-Control": "no-store"}
    if retryable:
        headers["Retry-After"] = "1"
    return {"statusCode": status, "headers": headers, "body": json.dumps(body)}


def _report(context: Any, outcome: str, started: float, message: str | None) -> None:
    global _cold  # noqa: PLW0603 -- of the execution environment
    line = {
        "_aws": {
            "Timestamp": time.time_ns() // 1_000_000,
            "CloudWatchMetrics": [
                {
                    "Namespace": _NAMESPACE,
                    "Dimensions": [["function"]],
                    "Metrics": [
                        {"Name": "Duration", "Unit": "Milliseconds"},
                        {"Name": "Errors", "Unit": "Count"},
                        {"Name": "ColdStarts", "Unit": "Count"},
                    ],
                }
            ],
        },
        "function": os.environ.get("AWS_LAMBDA_FUNCTION_NAME", "local"),
        "requestId": getattr(context, "aws_request_id", None),
        "outcome": outcome,
        "message": message,
        "Duration": round((time.perf_counter() - started) * 1000, 3),
        "Errors": int(outcome != "ok"),
        "ColdStarts": int(_cold),
    }
    _cold = False
    sys.stdout.write(json.dumps(line, separators=(",", ":")) + "\n")
    sys.stdout.flush()

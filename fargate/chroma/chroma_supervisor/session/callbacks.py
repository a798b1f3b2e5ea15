"""What Step Functions hears of the session: heartbeats, then one success or failure."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any

from chroma_store.periodic import Periodic

from chroma_supervisor.logs import event

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

ERROR_LENGTH = 256
"""Longest ``error`` of SendTaskFailure, in characters (an AWS limit)."""

CAUSE_LENGTH = 32_768
"""Longest ``cause`` of SendTaskFailure, in characters (an AWS limit)."""

_GONE = frozenset({"TaskTimedOut", "TaskDoesNotExist", "InvalidToken"})


class TaskCallback:
    """Answers one task token: heartbeats from a thread until the first answer.

    Args:
        client: A botocore client of Step Functions.
        token: The task token; it is never logged.
        interval: Seconds between two heartbeats.
        on_gone: Called once, from the thread, when nobody waits for the token any more.
    """

    def __init__(
        self,
        client: Any,  # botocore's clients have no static type
        token: str,
        *,
        interval: float,
        on_gone: Callable[[], None],
    ) -> None:
        self._client = client
        self._token = token
        self._on_gone = on_gone
        self._heartbeat = Periodic(self._beat, interval, "heartbeat")

    def start(self) -> None:
        """Send the first heartbeat now and one every interval after it."""
        self._heartbeat.start()

    def succeed(self, output: Mapping[str, object]) -> bool:
        """End the state with an output; False if nobody waits for it any more."""
        return self._answer(
            lambda: self._client.send_task_success(taskToken=self._token, output=json.dumps(output))
        )

    def fail(self, error: str, cause: str) -> bool:
        """End the state with an error name and its cause; False if nobody waits any more."""
        return self._answer(
            lambda: self._client.send_task_failure(
                taskToken=self._token, error=error[:ERROR_LENGTH], cause=cause[:CAUSE_LENGTH]
            )
        )

    def close(self) -> None:
        """Stop the heartbeats without an answer."""
        self._heartbeat.stop()

    def _answer(self, call: Callable[[], object]) -> bool:
        self.close()
        try:
            call()
        except self._client.exceptions.ClientError as error:
            if _code(error) not in _GONE:
                raise
            event("task_token_gone", code=_code(error))
            return False
        return True

    def _beat(self) -> bool:
        try:
            self._client.send_task_heartbeat(taskToken=self._token)
        except self._client.exceptions.ClientError as error:
            if _code(error) in _GONE:
                event("task_token_gone", code=_code(error))
                self._on_gone()
                return False
            event("heartbeat_failed", code=_code(error))
        except Exception as error:
            # A name that does not resolve or a proxy in between: the next one may get through.
            event("heartbeat_failed", cause=type(error).__name__)
        return True


def _code(error: Any) -> str:  # botocore's ClientError has no static type
    with contextlib.suppress(AttributeError, KeyError, TypeError):
        return str(error.response["Error"]["Code"])
    return type(error).__name__

"""Starts a session's execution and follows it to its end."""

from __future__ import annotations

import contextlib
import json
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from layersmith.base import damage
from layersmith.errors import ConfigError, ShipError
from layersmith.ship.aws import failures
from layersmith.ship.cost import billing, usage
from layersmith.stacks.changesets import Stacks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from layersmith.ship.aws.accounts import Aws
    from layersmith.ship.cost.billing import Use
    from layersmith.stacks.stage import Stage

POLL_SECONDS = 2.0
RUNNING = "RUNNING"
STARTING = ("StartServer", "StartServerOnDemand")
INLINE_ITEMS = 200
"""Items in the input itself; more go through a file on S3 (vector-session.asl.json)."""

HINT_SOURCE = "put the array on S3 below imports/ of the data bucket, and name it as `source`"

INLINE_BYTES = 200_000
"""The most bytes of an input: a state holds 256 KiB (Step Functions quotas), this and the rest."""


@dataclass(frozen=True)
class Watch:
    """Who hears of a session while it runs.

    Attributes:
        state: Is given the name of every state that is entered.
        item: Is called for every item that is done.
        log: Is given every line of the server's log.
    """

    state: Callable[[str], None] = lambda _: None
    item: Callable[[], None] = lambda: None
    log: Callable[[str], None] = lambda _: None


@dataclass(frozen=True)
class Ended:
    """A session that is over.

    Attributes:
        arn: Its execution.
        status: SUCCEEDED, FAILED, TIMED_OUT or ABORTED.
        output: What it gave; None unless it succeeded.
        error: Name of its error; empty where it succeeded.
        cause: What the error says.
        seconds: From its start to its end.
        use: What it used.
    """

    arn: str
    status: str
    output: Any
    error: str
    cause: str
    seconds: float
    use: Use


@dataclass
class Sessions:
    """The sessions of a stage.

    Attributes:
        aws: Clients of the account.
        stage: The stage, which has to be deployed.
        pause: Waits for seconds.
    """

    aws: Aws
    stage: Stage
    pause: Callable[[float], None] = time.sleep
    _states: Any = field(init=False)

    def __post_init__(self) -> None:
        self._states = self.aws.client("stepfunctions", self.stage.region)

    def start(self, event: Mapping[str, Any]) -> str:
        """Start a session and return the ARN of its execution.

        Raises:
            ShipError: The stage is not deployed.
            AwsFailure: Step Functions refuses.
        """
        machine = self._output("workflows", "VectorSessionArn")
        with failures.explained(self.stage.region, "states"):
            answer = self._states.start_execution(stateMachineArn=machine, input=json.dumps(event))
        return str(answer["executionArn"])

    def stop(self, arn: str) -> None:
        """Abort a session; the clean-up of the workflows stack saves its data and stops its task.

        Raises:
            AwsFailure: Step Functions refuses.
        """
        with failures.explained(self.stage.region, "states"):
            self._states.stop_execution(executionArn=arn, error="Stopped", cause="by hand")

    def follow(self, arn: str, watch: Watch) -> Ended:
        """Report a session's progress until it is over.

        Raises:
            AwsFailure: Step Functions does not answer.
        """
        log = _Log(self.aws.client("logs", self.stage.region), self._log_group())
        seen: list[dict[str, Any]] = []
        with failures.explained(self.stage.region, "states"):
            while True:
                found = self._states.describe_execution(executionArn=arn)
                events = list(usage.history(self._states, arn))
                for event in events[len(seen) :]:
                    _tell(event, watch)
                    log.note(event)
                seen = events
                for line in log.lines():
                    watch.log(line)
                if found["status"] != RUNNING:
                    return _ended(found, events)
                self.pause(POLL_SECONDS)

    def _log_group(self) -> str:
        return self._output("chroma", "ServerLogGroupName")

    def _output(self, stack: str, name: str) -> str:
        stacks = Stacks(self.aws.client("cloudformation", self.stage.region))
        with failures.explained(self.stage.region, "cloudformation"):
            outputs = stacks.outputs(self.stage.stack_name(stack))
        if name not in outputs:
            raise ShipError(
                f"the stage {self.stage.name} has no {stack} stack in {self.stage.region}",
                hint=f"python build/layers.py deploy --stage {self.stage.name}",
            )
        return outputs[name]


@dataclass
class _Log:
    """The log of a session's server, from the moment its task is known."""

    client: Any
    group: str
    _stream: str = ""
    _token: str | None = None

    def note(self, event: Mapping[str, Any]) -> None:
        """Learn the task's log stream from an event of the history."""
        detail = event.get("taskSucceededEventDetails", {})
        if detail.get("resourceType") == "ecs" and "runTask" in detail.get("resource", ""):
            arn = json.loads(detail.get("output") or "{}").get("taskArn") or ""
            # awslogs names a stream prefix/container/task (Amazon ECS, awslogs log driver).
            self._stream = f"session/chroma/{arn.rsplit('/', 1)[-1]}"

    def lines(self) -> Iterator[str]:
        """Yield what was written since the last call."""
        if not self._stream:
            return
        more = {"nextToken": self._token} if self._token else {"startFromHead": True}
        # A late log does not stop following.
        with contextlib.suppress(ClientError):
            page = self.client.get_log_events(
                logGroupName=self.group, logStreamName=self._stream, **more
            )
            self._token = page["nextForwardToken"]
            yield from (event["message"] for event in page["events"])


def read_input(path: Path, database: str) -> dict[str, Any]:
    """Read a session's input.

    Args:
        path: A JSON array of ``{"function": ..., "event": ...}``, or an object with ``items`` or
            ``source`` and, where wanted, the other fields of a session's input.
        database: Goes into the input.

    Raises:
        ConfigError: The file cannot be read, or is neither.
    """
    with damage.told(path.name, ConfigError):
        content = json.loads(path.read_text("utf-8"))
    event = {"items": content} if isinstance(content, list) else content
    if not isinstance(event, dict) or ("items" in event) == ("source" in event):
        raise ConfigError(
            f"{path} is not a valid session input",
            hint='write an array of {"function", "event"}, or an object with `items` or `source`',
        )
    if not isinstance(event.get("items", []), list):
        raise ConfigError(f"{path}: `items` is not an array")
    if len(event.get("items", [])) > INLINE_ITEMS:
        raise ConfigError(
            f"{path} has {len(event['items'])} items, {INLINE_ITEMS} at most fit a session's input",
            hint=HINT_SOURCE,
        )
    size = len(json.dumps(event))
    if size > INLINE_BYTES:
        raise ConfigError(
            f"{path} has {size} bytes, {INLINE_BYTES} at most fit a session's input",
            hint=HINT_SOURCE,
        )
    return {**event, "database": database}


def _tell(event: Mapping[str, Any], watch: Watch) -> None:
    entered = event.get("stateEnteredEventDetails")
    if entered:
        watch.state(str(entered["name"]))
    if event["type"] == "MapIterationSucceeded":
        watch.item()


def _ended(found: Mapping[str, Any], events: list[dict[str, Any]]) -> Ended:
    output = json.loads(found["output"]) if found.get("output") else None
    end = found.get("stopDate", datetime.now(UTC))
    return Ended(
        arn=found["executionArn"],
        status=found["status"],
        output=output,
        error=found.get("error") or "",
        cause=found.get("cause") or "",
        seconds=(end - found["startDate"]).total_seconds(),
        use=billing.of_execution(events, output=output, end=end),
    )

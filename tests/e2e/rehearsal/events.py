"""Makes moto's EventBridge hear of executions that end, and start state machines for it.

On AWS, Step Functions sends an event for every status change; a rule of the workflows stack
starts the clean-up for those that ended without success. moto's interpreter sends none. It also
says that an execution has ended before it says how.
"""

from __future__ import annotations

import json
import re
import uuid
from types import SimpleNamespace
from typing import Any

from moto.events.models import events_backends
from moto.stepfunctions.parser.api import ExecutionStatus
from moto.stepfunctions.parser.backend.execution import BaseExecutionWorkerCommunication, Execution
from moto.stepfunctions.parser.models import stepfunctions_parser_backends


def fill() -> list[tuple[Any, str, Any]]:
    """Patch moto; return what was there, for :func:`empty`."""
    worker: Any = BaseExecutionWorkerCommunication
    hooked: tuple[tuple[Any, str], ...] = ((worker, "terminated"), (Execution, "stop"))
    before: list[tuple[Any, str, Any]] = [(one, name, getattr(one, name)) for one, name in hooked]
    reflect, stop = before[0][2], before[1][2]

    def terminated(self: Any) -> None:
        execution = self.execution
        # moto sets the status first: who asks then finds a success without its output.
        self.execution = ended = SimpleNamespace(exec_worker=execution.exec_worker)
        try:
            reflect(self)
        finally:
            self.execution = execution
        status = vars(ended).pop("exec_status")
        for name, value in vars(ended).items():
            setattr(execution, name, value)
        # moto ends a stopped execution with whatever error the state that was stopped makes.
        stopped = getattr(execution, "stop_was_asked", False)
        execution.exec_status = ExecutionStatus.ABORTED if stopped else status
        _tell(execution)

    def stop_and_remember(self: Any, *args: Any, **named: Any) -> None:
        self.stop_was_asked = True
        stop(self, *args, **named)

    for (owner, name, _), hook in zip(before, (terminated, stop_and_remember), strict=True):
        setattr(owner, name, hook)
    return before


def empty(before: list[tuple[Any, str, Any]]) -> None:
    """Undo :func:`fill`."""
    for owner, name, value in before:
        setattr(owner, name, value)


def _tell(execution: Any) -> None:
    event: Any = {
        "source": "aws.states",
        "detail-type": "Step Functions Execution Status Change",
        "detail": {
            "executionArn": execution.exec_arn,
            "stateMachineArn": execution.state_machine.arn,
            "name": execution.name,
            "status": str(getattr(execution.exec_status, "value", execution.exec_status)),
            "input": execution.input_data
            if isinstance(execution.input_data, str)
            else json.dumps(execution.input_data),
        },
    }
    backend = events_backends[execution.account_id][execution.region_name]
    for bus in backend.event_buses.values():
        for rule in list(bus.rules.values()):
            if rule.event_pattern and rule.event_pattern.matches_event(event):
                for target in rule.targets:
                    _start(execution, target, event)


def _start(execution: Any, target: Any, event: dict[str, Any]) -> None:
    transformer = target["InputTransformer"]
    values = {name: _at(event, path) for name, path in transformer["InputPathsMap"].items()}
    text = re.sub(
        r"<(\w+)>", lambda found: json.dumps(values[found[1]]), transformer["InputTemplate"]
    )
    backend = stepfunctions_parser_backends[execution.account_id][execution.region_name]
    backend.start_execution(target["Arn"], str(uuid.uuid4()), text)


def _at(event: dict[str, Any], path: str) -> Any:
    value: Any = event
    for part in path.removeprefix("$.").split("."):
        value = value[part]
    return value

"""Makes moto's EventBridge hear of executions that end, and start state machines for it.

On AWS, Step Functions sends an event for every status change; a rule of the workflows stack
starts the clean-up for those that ended without success. moto's interpreter sends none.
"""

from __future__ import annotations

import json
import re
import uuid
from typing import Any

from moto.events.models import events_backends
from moto.stepfunctions.parser.backend.execution import BaseExecutionWorkerCommunication
from moto.stepfunctions.parser.models import stepfunctions_parser_backends


def fill() -> Any:
    """Patch moto; return what was there."""
    before = BaseExecutionWorkerCommunication.terminated

    def terminated(self: Any) -> None:
        before(self)
        _tell(self.execution)

    BaseExecutionWorkerCommunication.terminated = terminated  # type: ignore[method-assign]
    return before


def empty(before: Any) -> None:
    """Undo :func:`fill`."""
    BaseExecutionWorkerCommunication.terminated = before  # type: ignore[method-assign]


def _tell(execution: Any) -> None:
    event: Any = {
        "source": "aws.states",
        "detail-type": "Step Functions Execution Status Change",
        "detail": {
            "executionArn": execution.exec_arn,
            "stateMachineArn": execution.state_machine.arn,
            "name": execution.name,
            "status": str(execution.exec_status),
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

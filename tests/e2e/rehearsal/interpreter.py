"""Fills the gaps of moto's Step Functions interpreter that the project's definitions meet.

moto's interpreter passes parameters of AWS SDK and ECS integrations on as they are written in the
definition (``Cluster``), while botocore wants its own spelling (``cluster``), and the other way
round for answers. Two hooks for it exist and are empty; here they do what Step Functions does,
with the shapes of botocore's own service model.

It also begins to wait for a task token only after the integration's call has returned, and loses
what came before: an answer (the state then waits for its whole heartbeat and ends in
States.Timeout) and a heartbeat (which is answered InvalidToken). Step Functions loses neither.
"""

from __future__ import annotations

import datetime
import functools
import uuid
from typing import Any

import botocore.session
from moto.stepfunctions.parser.api import HistoryEventType, TaskFailedEventDetails
from moto.stepfunctions.parser.asl.component.common.error_name.custom_error_name import (
    CustomErrorName,
)
from moto.stepfunctions.parser.asl.component.common.error_name.failure_event import (
    FailureEvent,
    FailureEventException,
)
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service import (
    state_task_service as base,
)
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service import (
    state_task_service_ecs as ecs,
)
from moto.stepfunctions.parser.asl.eval.callback.callback import (
    CallbackEndpoint,
    HeartbeatEndpoint,
)
from moto.stepfunctions.parser.asl.eval.event.event_detail import EventDetails
from moto.stepfunctions.parser.asl.utils import json_path
from moto.stepfunctions.parser.models import StepFunctionsParserBackend


@functools.cache
def _operation(service: str, action: str) -> Any:
    model = botocore.session.get_session().get_service_model(service)
    by_name = {name.lower(): name for name in model.operation_names}
    return model.operation_model(by_name[action.replace("_", "").lower()])


def _normalise_parameters(
    self: Any, parameters: dict[str, Any], boto_service_name: str | None = None,
    service_action_name: str | None = None,
) -> None:  # fmt: skip
    operation = _operation(
        self._get_boto_service_name(boto_service_name),
        self._get_boto_service_action(service_action_name),
    )
    self._to_boto_request(parameters, operation.input_shape)


def _normalise_response(
    self: Any, response: Any, boto_service_name: str | None = None,
    service_action_name: str | None = None,
) -> None:  # fmt: skip
    operation = _operation(
        self._get_boto_service_name(boto_service_name),
        self._get_boto_service_action(service_action_name),
    )
    if operation.output_shape is not None:
        self._from_boto_response(response, operation.output_shape)
    _spell_out(response)


def _spell_out(value: Any) -> None:
    """Turn times into ISO 8601, as they stand in a state's output."""
    if not isinstance(value, dict | list):
        return
    for key, one in list(value.items() if isinstance(value, dict) else enumerate(value)):
        if isinstance(one, datetime.datetime):
            value[key] = one.isoformat()
        else:
            _spell_out(one)


_run = ecs.StateTaskServiceEcs._eval_service_task


def _eval_service_task(self: Any, env: Any, *rest: Any, **named: Any) -> None:
    """As moto's; an answer without a task fails the state, as Step Functions documents."""
    try:
        _run(self, env, *rest, **named)
    except IndexError:
        kind: Any = EventDetails
        details = TaskFailedEventDetails(
            error=NO_CAPACITY,
            cause="RunTask started nothing: capacity is unavailable at this time",
            resource=self._get_sfn_resource(),
            resourceType=self._get_sfn_resource_type(),
        )
        raise FailureEventException(
            FailureEvent(
                env=env,
                error_name=CustomErrorName(NO_CAPACITY),
                event_type=HistoryEventType.TaskFailed,
                event_details=kind(taskFailedEventDetails=details),
            )
        ) from None


_start_execution = StepFunctionsParserBackend.start_execution


def _start_named(
    self: Any, state_machine_arn: str, name: str | None = None, *rest: Any, **named: Any
) -> Any:
    """As moto's, which calls every execution without a name ``None``."""
    return _start_execution(self, state_machine_arn, name or str(uuid.uuid4()), *rest, **named)


_setup_heartbeat_endpoint = CallbackEndpoint.setup_heartbeat_endpoint


def _setup_remembering(self: CallbackEndpoint, heartbeat_seconds: int) -> HeartbeatEndpoint:
    """As moto's; an answer that is already there ends the wait at once."""
    endpoint = _setup_heartbeat_endpoint(self, heartbeat_seconds)
    wake: Any = endpoint.notify
    # notify() leaves the outcome before it looks for the endpoint, so one of the two sees both.
    if self.get_outcome() is not None:
        wake()
    return endpoint


_notify_heartbeat = CallbackEndpoint.notify_heartbeat


def _accept_heartbeat(self: CallbackEndpoint) -> bool:
    """As moto's; a token is valid from the moment that it is given out."""
    _notify_heartbeat(self)
    return True


class _Never:
    """Stands for jsonpath_ng's Index, so that ``$.tasks[0].status`` is one value and no list.

    Step Functions gives one value for a path of names and literal indices; moto gives a list as
    soon as an index comes before the last name. The definitions use no filters and no slices, for
    which a list would be right (test_definitions.py).
    """


NO_CAPACITY = "AmazonECS.Unknown"
"""Error of ecs:runTask where the answer holds failures and no task (Step Functions, Amazon ECS)."""


def fill() -> list[tuple[Any, str, Any]]:
    """Patch the interpreter; return what was there, for :func:`empty`."""
    patches: list[tuple[Any, str, Any]] = [
        (base.StateTaskService, "_normalise_parameters", _normalise_parameters),
        (base.StateTaskService, "_normalise_response", _normalise_response),
        (ecs.StateTaskServiceEcs, "_eval_service_task", _eval_service_task),
        (StepFunctionsParserBackend, "start_execution", _start_named),
        (CallbackEndpoint, "setup_heartbeat_endpoint", _setup_remembering),
        (CallbackEndpoint, "notify_heartbeat", _accept_heartbeat),
        (json_path, "Index", _Never),
    ]
    before = [(owner, name, getattr(owner, name)) for owner, name, _ in patches]
    for owner, name, hook in patches:
        setattr(owner, name, hook)
    return before


def empty(filled: list[tuple[Any, str, Any]]) -> None:
    """Undo :func:`fill`."""
    for kind, name, before in filled:
        setattr(kind, name, before)

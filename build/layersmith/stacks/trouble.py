"""Why a stack failed: the first resource that did, and its reason.

After one failure CloudFormation cancels or rolls back everything else, and each of these is an
event too. The first failure that is not such an echo is the one to fix.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from layersmith.errors import ShipError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

_ECHOES = ("resource creation cancelled", "resource update cancelled")


def newest_event(client: Any, stack: str) -> str:
    """Return the id of the stack's newest event; empty where there is none."""
    for event in _events(client, stack):
        return str(event["EventId"])
    return ""


def failure(client: Any, stack: str, status: str, *, after: str) -> ShipError:
    """Return the error for a stack that ended in ``status``.

    Args:
        client: botocore's client of CloudFormation.
        stack: Its name or id.
        status: What it is now.
        after: Id of the newest event from before the operation.
    """
    first = first_failure(_since(_events(client, stack), after))
    if first is None:
        return ShipError(
            f"{stack} is {status}", hint="see its events in the console for the reason"
        )
    return ShipError(
        f"{stack} is {status}: {first['LogicalResourceId']} ({first.get('ResourceType', '')}) "
        f"failed first: {first.get('ResourceStatusReason', 'no reason given')}",
        cause="CloudFormation rolled the rest back, so the stack is as it was before"
        if "ROLLBACK" in status
        else None,
        hint=f"correct {first['LogicalResourceId']} and run deploy again",
    )


def first_failure(events: Iterable[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """Return the oldest failure that is not the echo of another.

    Args:
        events: Stack events, newest first, as CloudFormation lists them.
    """
    failures = [
        event
        for event in events
        if str(event.get("ResourceStatus", "")).endswith("_FAILED")
        and not str(event.get("ResourceStatusReason", "")).lower().startswith(_ECHOES)
    ]
    # The stack's own event repeats what its resources said before.
    resources = [one for one in failures if one.get("ResourceType") != "AWS::CloudFormation::Stack"]
    found = resources or failures
    return found[-1] if found else None


def _since(events: Iterable[Mapping[str, Any]], after: str) -> Iterator[Mapping[str, Any]]:
    for event in events:
        if event["EventId"] == after:
            return
        yield event


def _events(client: Any, stack: str) -> Iterator[Mapping[str, Any]]:
    try:
        for page in client.get_paginator("describe_stack_events").paginate(StackName=stack):
            yield from page["StackEvents"]
    except ClientError as error:
        # A stack that is not there yet has no events.
        if "does not exist" not in str(error):
            raise

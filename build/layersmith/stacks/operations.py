"""What is done with one stack: propose a change set, show it, apply it, wait, and detect drift.

A change set says what CloudFormation would do before it does it. Nothing is changed by proposing; a
proposal that is not applied is deleted again.

Where a stack fails, the first resource that did and its reason are told. After one failure
CloudFormation cancels or rolls back everything else, and each of these is an event too: the first
failure that is not such an echo is the one to fix.

Drift is what differs between a stack and the AWS account. What could not be looked at is an error:
silence would read as agreement.
"""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from layersmith.errors import ShipError
from layersmith.ship.aws import failures

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from layersmith.stacks.stage import Stage
    from layersmith.stacks.templates import Template

CAPABILITIES = ["CAPABILITY_NAMED_IAM"]
"""The stacks make roles, one of them with a name."""

POLL_SECONDS = 3.0
TIMEOUT_SECONDS = 3600.0
"""An interface endpoint or a NAT gateway takes minutes; an hour means that something hangs."""

STABLE = frozenset(
    {
        "CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE", "IMPORT_COMPLETE",
        "IMPORT_ROLLBACK_COMPLETE",
    }
)  # fmt: skip
"""States from which CloudFormation takes an update."""

NEVER_MADE = frozenset({"REVIEW_IN_PROGRESS"})
"""A stack that so far is only the change set of a run that did not apply it."""

REMAINS = frozenset({"ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "CREATE_FAILED", "DELETE_FAILED"})
"""States of a creation or deletion that failed: the stack can only be deleted."""

_NO_CHANGES = ("didn't contain changes", "No updates are to be performed")

_ECHOES = ("resource creation cancelled", "resource update cancelled")


@dataclass(frozen=True)
class Request:
    """What a stack is to become.

    Attributes:
        stack: Its name on AWS.
        template: ``{"TemplateBody": ...}`` or ``{"TemplateURL": ...}``.
        parameters: Every parameter with its value.
        tags: For the stack and what it makes.
        role_arn: Role that CloudFormation works with; None for the caller's own.
    """

    stack: str
    template: Mapping[str, str] = field(repr=False)
    parameters: Mapping[str, str]
    tags: Mapping[str, str]
    role_arn: str | None = None


@dataclass(frozen=True)
class ResourceChange:
    """One line of a change set.

    Attributes:
        action: Add, Modify, Remove, Import or Dynamic.
        logical_id: Name in the template.
        type: Such as ``AWS::S3::Bucket``.
        replacement: True, False or Conditional for Modify; empty otherwise.
    """

    action: str
    logical_id: str
    type: str
    replacement: str = ""

    @property
    def loses(self) -> bool:
        """Whether the resource as it is goes away: removed, or replaced by another."""
        return self.action == "Remove" or self.replacement == "True"


@dataclass(frozen=True)
class Proposal:
    """What CloudFormation would do with one stack.

    Attributes:
        stack: Its name on AWS.
        id: ARN of the change set; empty where nothing would change.
        creates: Whether the stack is new.
        changes: What would change, in CloudFormation's order.
        made: Whether proposing it made the stack, which so far is only this change set.
        remains: State of a stack that has to be deleted first; empty where there is none.
    """

    stack: str
    id: str
    creates: bool
    changes: tuple[ResourceChange, ...]
    made: bool = False
    remains: str = ""

    @property
    def empty(self) -> bool:
        """Whether the stack is as it should be."""
        return not self.id and not self.changes


@dataclass
class Stacks:
    """CloudFormation in one region.

    Attributes:
        client: botocore's client.
        poll_seconds: Pause between two looks at a stack that is changing.
        timeout_seconds: When a wait is given up; CloudFormation itself goes on.
        clock: Seconds of a monotonic clock.
        pause: Waits for seconds.
    """

    client: Any
    poll_seconds: float = POLL_SECONDS
    timeout_seconds: float = TIMEOUT_SECONDS
    clock: Callable[[], float] = time.monotonic
    pause: Callable[[float], None] = time.sleep

    def describe(self, stack: str) -> dict[str, Any] | None:
        """Return what CloudFormation says of a stack; None where there is none."""
        try:
            found: dict[str, Any] = self.client.describe_stacks(StackName=stack)["Stacks"][0]
        except ClientError as error:
            if "does not exist" in str(error):
                return None
            raise
        return None if found["StackStatus"] == "DELETE_COMPLETE" else found

    def outputs(self, stack: str) -> dict[str, str]:
        """Return the outputs of a stack by key; empty if the stack does not exist."""
        found = self.describe(stack) or {}
        return {one["OutputKey"]: one["OutputValue"] for one in found.get("Outputs", [])}

    def template(self, stack: str) -> str:
        """Return the template of a stack as it was deployed."""
        return str(self.client.get_template(StackName=stack)["TemplateBody"])

    def settle(self, stack: str) -> dict[str, Any] | None:
        """Wait until nobody changes the stack, and return its description.

        Raises:
            ShipError: It is still changing after the time-out.
        """
        end = self.clock() + self.timeout_seconds
        while True:
            found = self.describe(stack)
            status = found["StackStatus"] if found else ""
            if not status.endswith("_IN_PROGRESS") or status in NEVER_MADE:
                return found
            if self.clock() > end:
                raise ShipError(
                    f"{stack} is still {status} after {self.timeout_seconds:.0f} s",
                    cause="a resource hangs; CloudFormation goes on without us",
                    hint="look at its events in the console, then run deploy again",
                )
            self.pause(self.poll_seconds)

    def propose(self, request: Request) -> Proposal:
        """Make a change set and return what it would do.

        Raises:
            ShipError: CloudFormation refuses the template or its parameters, or the stack is in a
                state that takes no change set.
        """
        status = self.status(request.stack)
        if status in REMAINS:
            raise ShipError(
                f"{request.stack} is {status}",
                cause="it was never complete, or its deletion failed; it can only be deleted",
                hint="delete the stack, then run it again",
            )
        if status and status not in STABLE | NEVER_MADE:
            raise ShipError(
                f"{request.stack} is {status}",
                cause="an update failed and could not be undone",
                hint="`aws cloudformation continue-update-rollback`, then run deploy again",
            )
        creates = status in NEVER_MADE or not status
        change_set = self._create(request, creates=creates)
        proposal = Proposal(request.stack, change_set, creates, (), made=not status)
        return self._read(proposal)

    def outline(self, stack: str, resources: Mapping[str, Mapping[str, Any]]) -> Proposal | None:
        """Return what deploying would do where a change set cannot say it, or only by a new stack.

        Nothing is called but reads: a stack that is not there yet is outlined by its template, and
        one that has to be deleted first also by what is left of it.

        Args:
            stack: Its name on AWS.
            resources: The template's resources by logical id.

        Returns:
            The outline; None for a stack that takes a change set.
        """
        status = self.status(stack)
        if status and status not in REMAINS | NEVER_MADE:
            return None
        removed = self._left(stack) if status in REMAINS else []
        added = [
            ResourceChange(
                f"Add if {one['Condition']}" if "Condition" in one else "Add", name, one["Type"]
            )
            for name, one in resources.items()
        ]
        remains = status if status in REMAINS else ""
        return Proposal(stack, "", creates=True, changes=(*removed, *added), remains=remains)

    def status(self, stack: str) -> str:
        """Return the state of a stack once nobody changes it; empty where there is none.

        Raises:
            ShipError: It is still changing after the time-out.
        """
        found = self.settle(stack)
        return str(found["StackStatus"]) if found else ""

    def held(self, stack: str) -> set[str]:
        """Return the logical ids of a stack's resources; empty if the stack does not exist."""
        there = self.describe(stack) is not None
        return {one.logical_id for one in self._left(stack)} if there else set()

    def _left(self, stack: str) -> list[ResourceChange]:
        """The resources of a stack that deleting it would delete."""
        listed = self.client.describe_stack_resources(StackName=stack)["StackResources"]
        return [
            ResourceChange("Remove", one["LogicalResourceId"], one["ResourceType"])
            for one in listed
            # What was never made has no physical id.
            if one.get("PhysicalResourceId")
            and one.get("ResourceStatus") not in {"DELETE_COMPLETE", "DELETE_SKIPPED"}
        ]

    def apply(self, proposal: Proposal) -> None:
        """Execute a change set and wait for its end.

        Raises:
            ShipError: A resource failed; the message names the first one and its reason.
        """
        if proposal.empty:
            return
        started = newest_event(self.client, proposal.stack)
        self.client.execute_change_set(ChangeSetName=proposal.id, StackName=proposal.stack)
        found = self.settle(proposal.stack)
        status = found["StackStatus"] if found else "gone"
        good = "CREATE_COMPLETE" if proposal.creates else "UPDATE_COMPLETE"
        if status != good:
            raise failure(self.client, proposal.stack, status, after=started)

    def discard(self, proposal: Proposal) -> None:
        """Delete a change set that is not wanted, and the stack that proposing it made.

        A stack that was there before is never deleted.
        """
        if not proposal.id:
            return
        if proposal.made and self.status(proposal.stack) in NEVER_MADE:
            self.client.delete_stack(StackName=proposal.stack)
        else:
            self.client.delete_change_set(ChangeSetName=proposal.id, StackName=proposal.stack)

    def delete(self, stack: str, *, role_arn: str | None = None) -> bool:
        """Delete a stack and wait; say whether there was one.

        Raises:
            ShipError: A resource could not be deleted; the message names the first one.
        """
        if self.settle(stack) is None:
            return False
        started = newest_event(self.client, stack)
        role = {"RoleARN": role_arn} if role_arn else {}
        self.client.delete_stack(StackName=stack, **role)
        found = self.settle(stack)
        if found is not None:
            raise failure(self.client, stack, found["StackStatus"], after=started)
        return True

    def _create(self, request: Request, *, creates: bool) -> str:
        role = {"RoleARN": request.role_arn} if request.role_arn else {}
        answer = self.client.create_change_set(
            StackName=request.stack,
            # A new name every time: what a killed run left must not be mistaken for this one.
            ChangeSetName=f"layersmith-{time.time_ns():x}",
            ChangeSetType="CREATE" if creates else "UPDATE",
            Capabilities=CAPABILITIES,
            Parameters=[
                {"ParameterKey": name, "ParameterValue": value}
                for name, value in sorted(request.parameters.items())
            ],
            Tags=[{"Key": name, "Value": value} for name, value in sorted(request.tags.items())],
            **request.template,
            **role,
        )
        return str(answer["Id"])

    def _read(self, made: Proposal) -> Proposal:
        """Wait for a change set and read all of its pages."""
        stack, change_set = made.stack, made.id
        end = self.clock() + self.timeout_seconds
        while True:
            page = self.client.describe_change_set(ChangeSetName=change_set, StackName=stack)
            if page["Status"] not in {"CREATE_PENDING", "CREATE_IN_PROGRESS"}:
                break
            if self.clock() > end:
                raise ShipError(f"the change set of {stack} was not made in time")
            self.pause(self.poll_seconds)
        if page["Status"] == "FAILED":
            # Best effort: a failed change set blocks nothing, it only counts towards a quota.
            with contextlib.suppress(ClientError):
                self.discard(made)
            reason = str(page.get("StatusReason", "no reason given"))
            if any(text in reason for text in _NO_CHANGES):
                return Proposal(stack, "", creates=False, changes=())
            raise ShipError(
                f"CloudFormation refuses to change {stack}: {reason}",
                hint="correct the template or its parameters; nothing was changed",
            )
        changes = _changes(page)
        while token := page.get("NextToken"):
            page = self.client.describe_change_set(
                ChangeSetName=change_set, StackName=stack, NextToken=token
            )
            changes += _changes(page)
        return replace(made, changes=tuple(changes))


def _changes(page: Mapping[str, Any]) -> list[ResourceChange]:
    listed = (one["ResourceChange"] for one in page.get("Changes", []) if "ResourceChange" in one)
    return [
        ResourceChange(
            action=one["Action"],
            logical_id=one["LogicalResourceId"],
            type=one["ResourceType"],
            replacement=one.get("Replacement", "") if one["Action"] == "Modify" else "",
        )
        for one in listed
    ]


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


@dataclass(frozen=True)
class Drift:
    """One resource that is not as its template says.

    Attributes:
        logical_id: Name in the template.
        type: Such as ``AWS::S3::Bucket``.
        status: MODIFIED, DELETED, or UNKNOWN where CloudFormation could not read it.
        properties: Paths that differ, such as ``/VersioningConfiguration/Status``.
    """

    logical_id: str
    type: str
    status: str
    properties: tuple[str, ...]


def drifts_of_stage(
    stacks: Stacks, stage: Stage, templates: Sequence[Template]
) -> dict[str, list[Drift]]:
    """Return what differs in every stack of a stage, by the name of its template.

    Raises:
        ShipError: A stack is not there, or could not be looked at in whole.
        AwsFailure: A call failed, such as for a permission that is missing.
    """
    with failures.explained(stage.region, "cloudformation"):
        names = {one.name: stage.stack_name(one.name) for one in templates}
        missing = [name for name in names.values() if stacks.describe(name) is None]
        if missing:
            raise ShipError(
                f"stacks of the stage {stage.name} are missing: {', '.join(missing)}",
                cause="they were never deployed, were deleted, or are in another account or region",
                hint=f"look at account and region, or run `deploy --stage {stage.name}`",
            )
        return {name: detect_drift(stacks, stack) for name, stack in names.items()}


def detect_drift(stacks: Stacks, stack: str) -> list[Drift]:
    """Start a detection, wait for it and return the resources that differ.

    Raises:
        ShipError: The detection failed, was not complete or did not end in time.
    """
    client = stacks.client
    detection = client.detect_stack_drift(StackName=stack)["StackDriftDetectionId"]
    end = stacks.clock() + stacks.timeout_seconds
    while True:
        answer = client.describe_stack_drift_detection_status(StackDriftDetectionId=detection)
        if answer["DetectionStatus"] != "DETECTION_IN_PROGRESS":
            break
        if stacks.clock() > end:
            raise ShipError(f"the drift detection of {stack} did not end in time")
        stacks.pause(stacks.poll_seconds)
    state = answer.get("StackDriftStatus", "not told")
    if answer["DetectionStatus"] != "DETECTION_COMPLETE" or state not in {"IN_SYNC", "DRIFTED"}:
        reason = answer.get("DetectionStatusReason") or f"its drift status is {state}"
        raise _incomplete_drift(stack, reason)
    found = _drifted(client, stack)
    unknown = [one.logical_id for one in found if one.status == "UNKNOWN"]
    if unknown:
        raise _incomplete_drift(stack, f"CloudFormation could not read {', '.join(unknown)}")
    if state == "DRIFTED" and not found:
        raise _incomplete_drift(stack, "it has drifted, but no resource is listed")
    return found


def _incomplete_drift(stack: str, reason: str) -> ShipError:
    return ShipError(
        f"drift detection failed for {stack}: {reason}",
        cause="a permission to read a resource is missing, or the stack is being changed",
        hint="correct that and run it again; nothing is known about drift until then",
    )


def _drifted(client: Any, stack: str) -> list[Drift]:
    """Every resource that is not in sync; NOT_CHECKED is a type without drift detection."""
    found: list[Drift] = []
    token: dict[str, str] = {}
    while True:
        page = client.describe_stack_resource_drifts(StackName=stack, **token)
        found += [
            Drift(
                one["LogicalResourceId"],
                one["ResourceType"],
                one["StackResourceDriftStatus"],
                tuple(each["PropertyPath"] for each in one.get("PropertyDifferences", [])),
            )
            for one in page["StackResourceDrifts"]
            if one["StackResourceDriftStatus"] not in {"IN_SYNC", "NOT_CHECKED"}
        ]
        if not page.get("NextToken"):
            return found
        token = {"NextToken": page["NextToken"]}

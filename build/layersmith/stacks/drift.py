"""What differs between a stack and the AWS account, as CloudFormation's drift detection says.

What could not be looked at is an error: silence would read as agreement.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from layersmith.errors import ShipError
from layersmith.ship.aws import failures

if TYPE_CHECKING:
    from collections.abc import Sequence

    from layersmith.stacks.changesets import Stacks
    from layersmith.stacks.stage import Stage
    from layersmith.stacks.templates import Template


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


def of_stage(stacks: Stacks, stage: Stage, templates: Sequence[Template]) -> dict[str, list[Drift]]:
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
        return {name: detect(stacks, stack) for name, stack in names.items()}


def detect(stacks: Stacks, stack: str) -> list[Drift]:
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
        raise _incomplete(stack, reason)
    found = _differences(client, stack)
    unknown = [one.logical_id for one in found if one.status == "UNKNOWN"]
    if unknown:
        raise _incomplete(stack, f"CloudFormation could not read {', '.join(unknown)}")
    if state == "DRIFTED" and not found:
        raise _incomplete(stack, "it has drifted, but no resource is listed")
    return found


def _incomplete(stack: str, reason: str) -> ShipError:
    return ShipError(
        f"drift detection failed for {stack}: {reason}",
        cause="a permission to read a resource is missing, or the stack is being changed",
        hint="correct that and run it again; nothing is known about drift until then",
    )


def _differences(client: Any, stack: str) -> list[Drift]:
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

"""What differs between a stack and the AWS account, as CloudFormation's drift detection says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from layersmith.errors import ShipError

if TYPE_CHECKING:
    from layersmith.stacks.changesets import Stacks


@dataclass(frozen=True)
class Drift:
    """One resource that is not as its template says.

    Attributes:
        logical_id: Name in the template.
        type: Such as ``AWS::S3::Bucket``.
        status: MODIFIED or DELETED.
        properties: Paths that differ, such as ``/VersioningConfiguration/Status``.
    """

    logical_id: str
    type: str
    status: str
    properties: tuple[str, ...]


def detect(stacks: Stacks, stack: str) -> list[Drift]:
    """Start a detection, wait for it and return the resources that differ.

    Raises:
        ShipError: The detection failed or did not end in time.
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
    if answer["DetectionStatus"] == "DETECTION_FAILED" and "StackDriftStatus" not in answer:
        raise ShipError(
            f"drift detection failed for {stack}: {answer.get('DetectionStatusReason', '')}"
        )
    return _differences(client, stack)


def _differences(client: Any, stack: str) -> list[Drift]:
    found: list[Drift] = []
    token: dict[str, str] = {}
    while True:
        page = client.describe_stack_resource_drifts(
            StackName=stack, StackResourceDriftStatusFilters=["MODIFIED", "DELETED"], **token
        )
        found += [
            Drift(
                one["LogicalResourceId"],
                one["ResourceType"],
                one["StackResourceDriftStatus"],
                tuple(each["PropertyPath"] for each in one.get("PropertyDifferences", [])),
            )
            for one in page["StackResourceDrifts"]
        ]
        if not page.get("NextToken"):
            return found
        token = {"NextToken": page["NextToken"]}

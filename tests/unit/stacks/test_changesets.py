"""Change sets: what is proposed, applied and reported, against answers in CloudFormation's form."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError
from layersmith.errors import ShipError
from layersmith.stacks import changesets, drift, templates
from layersmith.stacks.changesets import Request, Stacks
from layersmith.stacks.stage import Stage

REQUEST = Request("app", {"TemplateBody": "{}"}, {"B": "2", "A": "1"}, {"project": "p"}, "role")


class CloudFormation:
    """Answers with what a test put there, and remembers what it was asked."""

    def __init__(self, *statuses: str) -> None:
        self.statuses = list(statuses)
        self.change_sets: list[dict[str, Any]] = [{"Status": "CREATE_COMPLETE", "Changes": []}]
        self.events: list[dict[str, Any]] = []
        self.calls: list[tuple[str, dict[str, Any]]] = []

    def describe_stacks(self, **named: str) -> dict[str, Any]:
        status = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
        if status == "":
            error = {
                "Code": "ValidationError",
                "Message": f"Stack {named['StackName']} does not exist",
            }
            raise ClientError({"Error": error}, "DescribeStacks")  # type: ignore[typeddict-item]
        return {"Stacks": [{"StackStatus": status, "Outputs": []}]}

    def describe_change_set(self, **_: Any) -> dict[str, Any]:
        return self.change_sets.pop(0)

    def get_paginator(self, _: str) -> Any:
        events = self.events

        class Pages:
            def paginate(self, **_: Any) -> list[dict[str, Any]]:
                return [{"StackEvents": events}]

        return Pages()

    def __getattr__(self, name: str) -> Any:
        def call(**named: Any) -> dict[str, Any]:
            self.calls.append((name, named))
            return {"Id": "arn:change-set"}

        return call

    def called(self) -> list[str]:
        return [name for name, _ in self.calls]


def stacks(client: CloudFormation) -> Stacks:
    ticks = iter(range(10_000))
    return Stacks(client, clock=lambda: float(next(ticks)), pause=lambda _: None)


def test_a_new_stack_gets_a_change_set_that_creates() -> None:
    client = CloudFormation("")
    proposal = stacks(client).propose(REQUEST)
    (name, asked) = client.calls[0]
    assert (name, asked["ChangeSetType"]) == ("create_change_set", "CREATE")
    assert asked["RoleARN"] == "role"
    assert [one["ParameterKey"] for one in asked["Parameters"]] == ["A", "B"]
    assert proposal.creates
    assert not proposal.empty


def test_nothing_to_change_is_no_error_and_leaves_no_change_set() -> None:
    client = CloudFormation("UPDATE_COMPLETE")
    reason = "The submitted information didn't contain changes."
    client.change_sets = [{"Status": "FAILED", "StatusReason": reason}]
    assert stacks(client).propose(REQUEST).empty
    assert client.called() == ["create_change_set", "delete_change_set"]


def test_a_refused_template_is_an_error_with_the_reason() -> None:
    client = CloudFormation("UPDATE_COMPLETE")
    client.change_sets = [{"Status": "FAILED", "StatusReason": "Parameter X is missing"}]
    with pytest.raises(ShipError, match="refuses to change app: Parameter X is missing"):
        stacks(client).propose(REQUEST)


def test_all_pages_of_changes_are_read_and_losses_are_seen() -> None:
    def change(action: str, name: str, **more: str) -> dict[str, Any]:
        one = {"Action": action, "LogicalResourceId": name, "ResourceType": "T", **more}
        return {"ResourceChange": one}

    client = CloudFormation("CREATE_COMPLETE")
    first = [change("Add", "New"), change("Modify", "Same", Replacement="False")]
    second = [change("Modify", "Other", Replacement="True"), change("Remove", "Old")]
    client.change_sets = [
        {"Status": "CREATE_IN_PROGRESS"},
        {"Status": "CREATE_COMPLETE", "Changes": first, "NextToken": "2"},
        {"Status": "CREATE_COMPLETE", "Changes": second},
    ]
    changes = stacks(client).propose(REQUEST).changes
    assert [one.logical_id for one in changes if one.loses] == ["Other", "Old"]
    assert len(changes) == 4


@pytest.mark.parametrize("status", ["ROLLBACK_COMPLETE", "DELETE_FAILED"])
def test_remains_are_outlined_and_never_deleted_by_proposing(status: str) -> None:
    client = CloudFormation(status)
    client.describe_stack_resources = lambda **_: {  # type: ignore[attr-defined]
        "StackResources": [
            {"LogicalResourceId": name, "ResourceType": "T", "ResourceStatus": state, **made}
            for name, state, made in (
                ("Old", "DELETE_FAILED", {"PhysicalResourceId": "old"}),
                ("Gone", "DELETE_COMPLETE", {"PhysicalResourceId": "gone"}),
                ("Never", "CREATE_FAILED", {}),
            )
        ]
    }
    template = {"New": {"Type": "T"}, "Maybe": {"Type": "T", "Condition": "Asked"}}
    outline = stacks(client).outline("app", template)
    assert outline is not None
    assert (outline.remains, outline.id, outline.empty) == (status, "", False)
    assert [(one.action, one.logical_id) for one in outline.changes] == [
        ("Remove", "Old"),
        ("Add", "New"),
        ("Add if Asked", "Maybe"),
    ]
    with pytest.raises(ShipError, match=status):
        stacks(client).propose(REQUEST)
    assert client.calls == []


def test_the_change_set_of_a_killed_run_is_taken_over() -> None:
    client = CloudFormation("REVIEW_IN_PROGRESS")
    at = stacks(client)
    proposal = at.propose(REQUEST)
    assert proposal.creates
    at.discard(proposal)
    # The stack was there before: whose it is, this run cannot know.
    assert client.called() == ["create_change_set", "delete_change_set"]


def test_a_stack_that_only_a_person_can_mend_is_left_alone() -> None:
    client = CloudFormation("UPDATE_ROLLBACK_FAILED")
    with pytest.raises(ShipError, match="UPDATE_ROLLBACK_FAILED"):
        stacks(client).propose(REQUEST)
    assert client.calls == []


def test_a_stack_that_changes_is_waited_for_but_not_for_ever() -> None:
    client = CloudFormation("UPDATE_IN_PROGRESS", "UPDATE_IN_PROGRESS", "UPDATE_COMPLETE")
    assert stacks(client).settle("app") == {"StackStatus": "UPDATE_COMPLETE", "Outputs": []}
    with pytest.raises(ShipError, match="still UPDATE_IN_PROGRESS"):
        stacks(CloudFormation("UPDATE_IN_PROGRESS")).settle("app")


def test_a_failed_update_names_the_first_resource_and_its_reason() -> None:
    client = CloudFormation("UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE")
    proposal = stacks(client).propose(REQUEST)
    before = {"EventId": "0", "LogicalResourceId": "Old", "ResourceStatus": "CREATE_FAILED"}

    def event(number: str, name: str, reason: str, kind: str = "T") -> dict[str, Any]:
        return {
            "EventId": number, "LogicalResourceId": name, "ResourceType": kind,
            "ResourceStatus": "UPDATE_FAILED", "ResourceStatusReason": reason,
        }  # fmt: skip

    after = [
        event("3", "app", "The following failed: [Role]", "AWS::CloudFormation::Stack"),
        event("2", "Queue", "Resource update cancelled"),
        event("1", "Role", "Policy is malformed"),
    ]
    client.events = [before]
    client.execute_change_set = lambda **_: client.events.__setitem__(  # type: ignore[attr-defined]
        slice(0, 0), after
    )
    with pytest.raises(ShipError) as caught:
        stacks(client).apply(proposal)
    assert "Role (T) failed first: Policy is malformed" in str(caught.value)


def test_without_an_event_the_status_still_tells() -> None:
    assert changesets.first_failure([{"EventId": "1", "ResourceStatus": "CREATE_COMPLETE"}]) is None
    client = CloudFormation("x")
    assert "app is DELETE_FAILED" in str(
        changesets.failure(client, "app", "DELETE_FAILED", after="")
    )


def test_what_is_not_accepted_is_taken_back() -> None:
    client = CloudFormation("", "REVIEW_IN_PROGRESS")
    at = stacks(client)
    at.discard(at.propose(REQUEST))
    assert client.called()[-1] == "delete_stack"


class Drifting(CloudFormation):
    """Answers of a detection: its states, the stack's drift, and each resource's state."""

    def __init__(self, *statuses: str, stack: str = "DRIFTED", **resources: str) -> None:
        super().__init__(*statuses)
        self.stack = stack
        self.resources = resources

    def detect_stack_drift(self, **_: Any) -> dict[str, Any]:
        return {"StackDriftDetectionId": "1"}

    def describe_stack_drift_detection_status(self, **_: Any) -> dict[str, Any]:
        status = self.statuses.pop(0)
        return {"DetectionStatus": status, "StackDriftStatus": self.stack}

    def describe_stack_resource_drifts(self, **named: Any) -> dict[str, Any]:
        if "NextToken" not in named:
            return {"StackResourceDrifts": [], "NextToken": "2"}
        listed = [
            {
                "LogicalResourceId": name, "ResourceType": "AWS::S3::Bucket",
                "StackResourceDriftStatus": status,
                "PropertyDifferences": [{"PropertyPath": "/VersioningConfiguration/Status"}],
            }
            for name, status in self.resources.items()
        ]  # fmt: skip
        return {"StackResourceDrifts": listed}


def test_drift_lists_what_differs_and_where() -> None:
    client = Drifting(
        "DETECTION_IN_PROGRESS", "DETECTION_COMPLETE",
        Bucket="MODIFIED", Same="IN_SYNC", Policy="NOT_CHECKED",
    )  # fmt: skip
    [found] = drift.detect(stacks(client), "app")
    assert (found.logical_id, found.properties) == ("Bucket", ("/VersioningConfiguration/Status",))


@pytest.mark.parametrize(
    "client",
    [
        Drifting("DETECTION_FAILED", stack="IN_SYNC"),
        Drifting("DETECTION_FAILED", Bucket="MODIFIED"),
        Drifting("DETECTION_COMPLETE", stack="UNKNOWN"),
        Drifting("DETECTION_COMPLETE", stack="NOT_CHECKED"),
        Drifting("DETECTION_COMPLETE", Bucket="MODIFIED", Key="UNKNOWN"),
        Drifting("DETECTION_COMPLETE"),
    ],
    ids=["failed", "partly failed", "unknown", "not checked", "unread resource", "nothing listed"],
)
def test_what_could_not_be_looked_at_is_no_agreement(client: Drifting) -> None:
    with pytest.raises(ShipError, match="drift detection failed for app"):
        drift.detect(stacks(client), "app")


def test_a_missing_stack_and_a_denied_read_are_errors() -> None:
    stage = Stage(region="eu-west-1", stacks={"app": None}, name="dev")
    template = templates.parse("app", "Resources: {Bucket: {Type: AWS::S3::Bucket}}")
    with pytest.raises(ShipError, match="missing: layersmith-dev-app"):
        drift.of_stage(stacks(CloudFormation("")), stage, [template])

    class Denied(Drifting):
        def detect_stack_drift(self, **_: Any) -> dict[str, Any]:
            error = {"Code": "AccessDenied", "Message": "not authorized"}
            raise ClientError({"Error": error}, "DetectStackDrift")  # type: ignore[typeddict-item]

    with pytest.raises(ShipError, match="cloudformation:DetectStackDrift failed"):
        drift.of_stage(stacks(Denied("CREATE_COMPLETE")), stage, [template])

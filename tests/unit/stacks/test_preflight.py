"""What a deployment refuses before its first change, as far as it needs no account."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from layersmith.errors import ConfigError
from layersmith.ship.aws import failures
from layersmith.stacks import preflight, templates
from layersmith.stacks import stage as stages

from tests.support.resolved import ROOT
from tests.unit.ship.fakes import FakeAws, refusal

if TYPE_CHECKING:
    from collections.abc import Sequence

ALL = templates.load(ROOT / "infra-templates")
IMAGE = f"chroma.ImageUri=repository/chroma@sha256:{'0' * 64}"


def found(*settings: str, only: Sequence[str] = ("network", "chroma")) -> list[str]:
    stage = stages.load(ROOT / "infra-templates/stages", "dev", settings)
    chosen = [ALL[name] for name in only]
    values = {name: stage.parameters(name) for name in only}
    nothing: Any = None
    check = preflight.Preflight(nothing, stage, chosen, values, nothing)
    check.parameters()
    assert all(isinstance(one, ConfigError) for one in check.report.problems)
    return [str(one) for one in check.report.problems]


def test_a_stage_that_fits_has_no_problem() -> None:
    assert found(IMAGE) == []


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ([], "chroma.ImageUri has no value"),
        (["chroma.ImageUri="], "chroma.ImageUri is empty"),
        (["chroma.ImageUri=repository/chroma:latest"], "chroma.ImageUri is 'repository/"),
        ([IMAGE, "chroma.Cpu=1000"], "chroma.Cpu is '1000'; allowed are 256, 512"),
        ([IMAGE, "chroma.EphemeralStorageGiB=20"], "chroma.EphemeralStorageGiB is 20; allowed are"),
        ([IMAGE, "chroma.EphemeralStorageGiB=x"], "which is not a number"),
        ([IMAGE, "network.Egress=none"], "network.Egress is 'none'; allowed are public-tasks"),
        ([IMAGE, "network.ExistingVpcId=vpc-12345678"], "ExistingFunctionSubnetIds is missing"),
    ],
)
def test_a_value_that_its_template_refuses_is_refused_first(settings: list[str], said: str) -> None:
    problems = found(*settings)
    assert said in problems[0]
    assert problems[0].startswith(("stage dev: ", "network: "))


def test_all_problems_are_in_one_report() -> None:
    problems = found("chroma.ImageUri=", "chroma.Memory=1", "network.ExistingVpcId=vpc-12345678")
    assert len(problems) == 4


def test_an_existing_vpc_with_its_subnets_fits() -> None:
    subnets = "subnet-12345678,subnet-23456789"
    assert found(
        IMAGE,
        "network.ExistingVpcId=vpc-12345678",
        f"network.ExistingFunctionSubnetIds={subnets}",
        f"network.ExistingTaskSubnetIds={subnets}",
    ) == []  # fmt: skip


@pytest.mark.parametrize(("storage", "count"), [("efs", 1), ("s3", 0)])
def test_efs_needs_two_subnets_of_an_existing_vpc(storage: str, count: int) -> None:
    problems = found(
        IMAGE,
        f"chroma.Storage={storage}",
        "network.ExistingVpcId=vpc-12345678",
        "network.ExistingFunctionSubnetIds=subnet-12345678",
        "network.ExistingTaskSubnetIds=subnet-12345678",
    )
    assert len(problems) == count


TAKEN = "Service role name AWSServiceRoleForECS has been taken in this account"


@pytest.mark.parametrize(
    ("answers", "made"),
    [
        ({"get_role": [{"Role": {}}]}, False),
        ({"get_role": [refusal("NoSuchEntity")]}, True),
        # Somebody else was first.
        (
            {
                "get_role": [refusal("NoSuchEntity")],
                "create_service_linked_role": [refusal("InvalidInput", TAKEN)],
            },
            False,
        ),
    ],
)
def test_ecs_gets_its_service_linked_role_once(answers: dict[str, Any], made: bool) -> None:
    aws: Any = FakeAws(**answers)
    assert preflight.link_ecs(aws, "eu-west-1", [ALL["network"]]) is False
    assert aws.names() == []
    assert preflight.link_ecs(aws, "eu-west-1", [ALL["chroma"]]) is made
    if made:
        [asked] = aws.asked("create_service_linked_role")
        assert asked == {"AWSServiceName": "ecs.amazonaws.com"}


def test_a_denied_service_linked_role_is_an_error() -> None:
    denied = [refusal("AccessDenied")]
    aws: Any = FakeAws(get_role=[refusal("NoSuchEntity")], create_service_linked_role=denied)
    with pytest.raises(failures.AwsFailure):
        preflight.link_ecs(aws, "eu-west-1", [ALL["chroma"]])

"""A new account: nothing exists, one command makes the foundation, GitHub's roles do the rest."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import pytest
from layersmith.cli import main
from layersmith.errors import ConfigError, ShipError

from tests.e2e.rehearsal.cloud import Cloud, empty_zip
from tests.e2e.rehearsal.processes import ROOT
from tests.e2e.rehearsal.stage import SETTINGS
from tests.support import aws_calls, resolved
from tests.support.envelopes import data_of, envelope_of
from tests.support.policies import Call, Policies
from tests.support.resolved import Stage

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

GITHUB = "  github-oidc: {Repository: owner/name, DeployEnvironment: dev}\n"


@pytest.fixture
def cloud() -> Iterator[Cloud]:
    with Cloud() as made:
        yield made


@pytest.fixture
def templates(tmp_path: Path) -> Path:
    folder = shutil.copytree(ROOT / "infra-templates", tmp_path / "infra-templates")
    with (folder / "stages/dev.yaml").open("a") as file:
        file.write(GITHUB)
    return folder


def deploy(cloud: Cloud, templates: Path, *words: str) -> int:
    place = ["--templates", str(templates), "--endpoint-url", cloud.endpoint]
    return main(["deploy", "--stage", "dev", *place, *words])


def settings() -> list[str]:
    return [word for setting in SETTINGS for word in ("--set", setting)]


def publish_layers(cloud: Cloud) -> None:
    for name in ("chromadb-vector", "vector-common"):
        cloud.publish_layer(name, empty_zip())


def test_the_foundation_comes_up_from_nothing_by_one_command(
    cloud: Cloud, templates: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cloud.client("cloudformation").describe_stacks()["Stacks"] == []
    assert deploy(cloud, templates, "--bootstrap", "--plan", "--json") == 0
    (first,) = data_of(capsys.readouterr().out)
    assert (first["stack"], first["result"]) == ("artifacts", "proposed")
    assert cloud.client("cloudformation").describe_stacks()["Stacks"] == []
    assert deploy(cloud, templates, "--bootstrap", "--yes", "--json") == 0
    outcomes = data_of(capsys.readouterr().out)
    assert [(one["stack"], one["result"]) for one in outcomes] == [
        ("artifacts", "created"), ("boundary", "created"), ("github-oidc", "created"),
    ]  # fmt: skip
    assert {"BuildRoleArn", "DeployRoleArn", "CloudFormationRoleArn"} <= set(outcomes[2]["outputs"])
    assert deploy(cloud, templates, "--bootstrap", "--yes", "--json") == 0
    again = data_of(capsys.readouterr().out)
    assert {one["result"] for one in again} == {"unchanged"}


def test_githubs_roles_by_themselves_need_no_bucket(cloud: Cloud, templates: Path) -> None:
    assert deploy(cloud, templates, "--only", "boundary", "--only", "github-oidc", "--yes") == 0


def test_the_deploy_role_may_make_every_call_of_a_deployment(
    cloud: Cloud, templates: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with (templates / "stages/dev.yaml").open("a") as file:
        file.write("  vectors: {}\n")
    assert deploy(cloud, templates, "--bootstrap", "--yes", "--json") == 0
    given = {one["stack"]: one["outputs"] for one in data_of(capsys.readouterr().out)}
    role = given["github-oidc"]["CloudFormationRoleArn"]
    publish_layers(cloud)
    options = [*settings(), "--cloudformation-role", role, "--yes", "--json"]
    with aws_calls.recorded() as calls:
        assert deploy(cloud, templates, *options) == 0
        outcomes = data_of(capsys.readouterr().out)
        assert deploy(cloud, templates, *options, "--plan") == 0
    assert {one["stack"] for one in outcomes if one["result"] == "unchanged"} == {
        "artifacts", "boundary", "github-oidc",
    }  # fmt: skip
    refused = refusals(Stage().policies("github-oidc", "DeployRole"), calls, role)
    assert refused == set()
    assert {operation for _, operation, _ in calls} >= {"ExecuteChangeSet", "PutObject"}
    assert "vectors" in {one["stack"] for one in outcomes if one["result"] == "created"}


def refusals(
    policies: Policies, calls: list[tuple[str, str, dict[str, Any]]], role: str
) -> set[str]:
    own = Stage().stacks["github-oidc"].arn("CloudFormationRole")
    return {
        f"{need.action} {need.resource}"
        for call in calls
        for need in aws_calls.needs(*call)
        if not policies.allow(
            # moto names the role; CloudFormation would put its own characters at the end.
            need if need.resource != role else Call(need.action, own, need.context)
        )
    }


def test_without_its_foundation_a_stage_is_refused_before_anything_is_made(
    cloud: Cloud, templates: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    publish_layers(cloud)
    role = f"arn:aws:iam::{resolved.ACCOUNT}:role/cloudformation"
    code = deploy(cloud, templates, *settings(), "--cloudformation-role", role, "--yes")
    assert code == ShipError.exit_code
    assert "--bootstrap" in capsys.readouterr().err
    assert cloud.client("cloudformation").describe_stacks()["Stacks"] == []


def test_a_foundation_that_differs_is_left_to_an_administrator(
    cloud: Cloud, templates: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert deploy(cloud, templates, "--bootstrap", "--yes", "--json") == 0
    given = {one["stack"]: one["outputs"] for one in data_of(capsys.readouterr().out)}
    role = given["github-oidc"]["CloudFormationRoleArn"]
    with (templates / "boundary.yaml").open("a") as file:
        file.write("# another line\n")
    words = ["--only", "boundary", "--cloudformation-role", role, "--yes", *settings()]
    with aws_calls.only_reads():
        assert deploy(cloud, templates, *words) == 0
    assert "boundary: the deployed template differs" in " ".join(capsys.readouterr().err.split())


def test_the_role_that_bootstrap_makes_is_not_used_for_it(cloud: Cloud, templates: Path) -> None:
    role = f"arn:aws:iam::{resolved.ACCOUNT}:role/any"
    words = ["--bootstrap", "--cloudformation-role", role]
    assert deploy(cloud, templates, *words) == ConfigError.exit_code


def problems(capsys: pytest.CaptureFixture[str]) -> list[str]:
    """The messages of a run that was refused."""
    return [str(one["message"]) for one in envelope_of(capsys.readouterr().out)["errors"]]


def test_everything_that_an_account_lacks_is_in_one_report(
    cloud: Cloud, templates: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    role = f"arn:aws:iam::{resolved.ACCOUNT}:role/cloudformation"
    for _ in range(5):  # a region has five VPCs at first, and moto one of its own
        cloud.client("ec2").create_vpc(CidrBlock="10.0.0.0/24")
    with aws_calls.only_reads():
        options = ["--set", "chroma.ImageUri=", "--cloudformation-role", role, "--yes", "--json"]
        assert deploy(cloud, templates, *options) == ConfigError.exit_code
    found = problems(capsys)
    assert [one.partition(" ")[0] for one in found[:1]] == ["stage"]
    for said in (
        "chroma.ImageUri is empty",
        f"the artifact bucket layersmith-{resolved.ACCOUNT}-eu-west-1 does not exist",
        "the role cloudformation does not exist",
        "layersmith-dev-artifacts does not exist",
        "layersmith-dev-boundary does not exist",
        "the service-linked role AWSServiceRoleForECS does not exist",
        "the parameter /layers/chromadb-vector/python3.13/arm64/latest does not exist",
        "the parameter /layers/vector-common/python3.13/arm64/latest does not exist",
        "the quota 'VPCs per Region' is 5, and 7 are needed",
    ):
        assert any(said in one for one in found), said


def test_a_role_that_does_not_trust_cloudformation_is_refused(
    cloud: Cloud, templates: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trust = {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}}
    cloud.client("iam").create_role(
        RoleName="wrong",
        AssumeRolePolicyDocument=json.dumps(
            {"Version": "2012-10-17", "Statement": [{**trust, "Action": "sts:AssumeRole"}]}
        ),
    )
    role = f"arn:aws:iam::{resolved.ACCOUNT}:role/wrong"
    options = ["--only", "boundary", "--cloudformation-role", role, "--yes", "--json"]
    assert deploy(cloud, templates, *options) == ShipError.exit_code
    assert "the role wrong does not trust cloudformation.amazonaws.com" in problems(capsys)

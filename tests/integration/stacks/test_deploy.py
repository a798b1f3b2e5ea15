"""`deploy` and `destroy` as the command line runs them, against moto: killed, refused, undone."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
from layersmith.cli import main as cli_main
from layersmith.errors import ConfigError, ShipError
from layersmith.stacks import deploy
from moto.cloudformation.models import cloudformation_backends
from moto.kms.models import kms_backends

from tests.e2e.rehearsal.cloud import Cloud, empty_zip
from tests.e2e.rehearsal.processes import ROOT
from tests.e2e.rehearsal.stage import SETTINGS
from tests.support import aws_calls, cli, clocks
from tests.support.envelopes import data_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

STACKS = [
    "artifacts", "boundary", "network", "chroma", "functions", "workflows", "observability",
]  # fmt: skip


@pytest.fixture
def cloud() -> Iterator[Cloud]:
    with Cloud() as made:
        for name in ("chromadb-vector", "vector-common"):
            made.publish_layer(name, empty_zip())
        yield made


def command(cloud: Cloud, *words: str) -> list[str]:
    settings = [word for setting in SETTINGS for word in ("--set", setting)]
    stage = ("deploy", "--stage", "dev", *settings)
    return [*stage, "--endpoint-url", cloud.endpoint, *words]


def layers(cloud: Cloud, *words: str) -> subprocess.CompletedProcess[str]:
    return cli.called(*command(cloud, *words))


def statuses(cloud: Cloud) -> dict[str, str]:
    listed = cloud.client("cloudformation").describe_stacks()["Stacks"]
    return {one["StackName"].removeprefix("layersmith-dev-"): one["StackStatus"] for one in listed}


def test_a_stage_goes_up_is_found_unchanged_and_goes_down(cloud: Cloud) -> None:
    up = layers(cloud, "--yes", "--json")
    assert up.returncode == 0, up.stderr
    outcomes: list[dict[str, Any]] = data_of(up.stdout)
    assert [one["stack"] for one in outcomes] == STACKS
    assert {one["result"] for one in outcomes} == {"created"}
    bucket = next(o for o in outcomes if o["stack"] == "chroma")["outputs"]["DataBucketName"]
    again = data_of(layers(cloud, "--yes", "--json").stdout)
    assert {one["result"] for one in again} == {"unchanged"}
    cloud.client("s3").put_object(Bucket=bucket, Key="databases/receipts/pointer.json", Body=b"{}")
    down = layers(cloud, "--destroy", "--yes", "--json")
    assert down.returncode == 0, down.stderr
    removal = data_of(down.stdout)
    assert removal["removed"] == STACKS[::-1]
    assert bucket in {one["id"] for one in removal["kept"]}
    assert statuses(cloud) == {}
    assert cloud.client("s3").list_objects_v2(Bucket=bucket)["KeyCount"] == 1


def test_data_goes_only_when_it_is_asked_for_by_name(cloud: Cloud) -> None:
    assert layers(cloud, "--only", "artifacts", "--yes").returncode == 0
    [bucket] = [one["Name"] for one in cloud.client("s3").list_buckets()["Buckets"]]
    cloud.client("s3").put_object(Bucket=bucket, Key="functions/old.zip", Body=b"1")
    for name in ("/layersmith/dev/sessions/1", "/layersmith/prod/sessions/1"):
        cloud.client("ssm").put_parameter(Name=name, Value="token", Type="SecureString")
    down = layers(cloud, "--destroy", "--delete-data", "--yes", "--json")
    assert down.returncode == 0, down.stderr
    removal = data_of(down.stdout)
    assert [(one["type"], one["id"]) for one in removal["deleted"]] == [
        ("AWS::ECR::Repository", "layersmith/dev/chroma"),
        ("AWS::SSM::Parameter", "/layersmith/dev/sessions/1"),
    ]
    # Other stages and publishing share it, so it goes with no stage.
    assert [(one["id"], one["users"]) for one in removal["kept"]] == [(bucket, ["publishing"])]
    assert cloud.client("s3").list_objects_v2(Bucket=bucket)["KeyCount"] == 1
    left = cloud.client("ssm").get_parameters_by_path(Path="/layersmith", Recursive=True)
    assert [one["Name"] for one in left["Parameters"]] == ["/layersmith/prod/sessions/1"]


KEYED = """
Resources:
  Key: {Type: AWS::KMS::Key, DeletionPolicy: Retain, Properties: {KeyPolicy: {}}}
"""


def test_the_key_of_the_release_bucket_stays_with_it(cloud: Cloud) -> None:
    cloud.client("cloudformation").create_stack(
        StackName="layersmith-dev-artifacts", TemplateBody=KEYED
    )
    [key] = [one["KeyId"] for one in cloud.client("kms").list_keys()["Keys"]]
    bucket, s3 = "layersmith-123456789012-eu-west-1", cloud.client("s3")
    s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    default = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": f"arn:aws:kms:::key/{key}"}
    rule = {"ApplyServerSideEncryptionByDefault": default}
    s3.put_bucket_encryption(Bucket=bucket, ServerSideEncryptionConfiguration={"Rules": [rule]})
    down = layers(cloud, "--destroy", "--delete-data", "--yes", "--json")
    assert down.returncode == 0, down.stderr
    [kept] = data_of(down.stdout)["kept"]
    assert (kept["id"], kept["users"]) == (key, [bucket])
    # moto cannot describe a key that CloudFormation made.
    assert kms_backends["123456789012"]["eu-west-1"].keys[key].key_state == "Enabled"


DATA = """
Resources:
  DataBucket: {Type: AWS::S3::Bucket, DeletionPolicy: Retain, Properties: {BucketName: the-data}}
"""
USER = """
Parameters:
  ExistingDataBucket: {Type: String}
Resources:
  Topic: {Type: AWS::SNS::Topic}
"""


def test_data_that_another_stage_uses_is_refused_before_anything_goes(cloud: Cloud) -> None:
    formation = cloud.client("cloudformation")
    formation.create_stack(StackName="layersmith-dev-chroma", TemplateBody=DATA)
    users = {"layersmith-prod-chroma": "the-data", "other": "the-data-of-others"}
    for stack, value in users.items():
        given = [{"ParameterKey": "ExistingDataBucket", "ParameterValue": value}]
        formation.create_stack(StackName=stack, TemplateBody=USER, Parameters=given)
    down = layers(cloud, "--destroy", "--delete-data", "--yes")
    assert down.returncode == ShipError.exit_code
    assert "the-data is used by layersmith-prod-chroma" in " ".join(down.stderr.split())
    assert "chroma" in statuses(cloud)
    assert cloud.client("s3").head_bucket(Bucket="the-data")
    formation.delete_stack(StackName="layersmith-prod-chroma")
    assert layers(cloud, "--destroy", "--delete-data", "--yes").returncode == 0
    assert cloud.client("s3").list_buckets()["Buckets"] == []


@pytest.mark.slow
def test_without_a_person_nothing_is_applied_or_destroyed(cloud: Cloud) -> None:
    refused = layers(cloud)
    assert refused.returncode == ShipError.exit_code
    assert "confirmation needs a terminal" in refused.stderr
    planned = layers(cloud, "--plan")
    assert planned.returncode == 0, planned.stderr
    assert "AWS::S3::Bucket" in planned.stderr
    assert statuses(cloud) == {}
    assert layers(cloud, "--destroy").returncode == ShipError.exit_code


SMALL = """
Resources:
  Bucket: {Type: AWS::S3::Bucket, Properties: {BucketName: still-there}}
"""


@pytest.mark.parametrize("status", ["", "REVIEW_IN_PROGRESS", "DELETE_FAILED", "ROLLBACK_COMPLETE"])
def test_a_plan_of_a_stack_that_is_not_complete_only_reads(cloud: Cloud, status: str) -> None:
    if status:
        name = "layersmith-dev-artifacts"
        cloud.client("cloudformation").create_stack(StackName=name, TemplateBody=SMALL)
        backend = cloudformation_backends["123456789012"]["eu-west-1"]
        [stack] = [one for one in backend.stacks.values() if one.name == name]
        stack.status = status
    with aws_calls.only_reads() as calls:
        assert cli_main(command(cloud, "--plan")) == 0
        assert cli_main(command(cloud, "--drift")) == ShipError.exit_code
    assert "DescribeStacks" in calls
    assert list(statuses(cloud).values()) == ([status] if status else [])
    names = [one["Name"] for one in cloud.client("s3").list_buckets()["Buckets"]]
    assert names == (["still-there"] if status else [])


def test_what_a_region_lacks_is_left_out_and_said(
    cloud: Cloud, capsys: pytest.CaptureFixture[str]
) -> None:
    words = command(cloud, "--plan", "--only", "observability", "--region")
    assert cli_main([*words, "eu-north-1"]) == 0
    said = " ".join(capsys.readouterr().err.split())
    assert "observability: Budget is left out, CloudFormation has no AWS::Budgets::Budget" in said
    assert "AWS::CloudWatch::Dashboard" in said
    assert "Add Budget" not in said
    assert cli_main([*words, "eu-west-1"]) == 0
    said = " ".join(capsys.readouterr().err.split())
    assert "left out" not in said and "AWS::Budgets::Budget" in said


def test_databases_in_a_store_that_the_region_lacks_are_refused(
    cloud: Cloud, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    templates = shutil.copytree(ROOT / "infra-templates", tmp_path / "templates")
    (templates / "stages" / "dev.yaml").write_text(
        "region: il-central-1\nstacks: {artifacts: {}, boundary: {}, vectors: {}}\n"
        "databases: {receipts: s3vectors}\n"
    )
    words = ("--plan", "--stage", "dev", "--templates", str(templates))
    assert cli_main(["deploy", *words, "--endpoint-url", cloud.endpoint]) == ConfigError.exit_code
    assert "no AWS::S3Vectors::VectorBucket in il-central-1" in capsys.readouterr().err


def test_a_plan_of_a_stage_that_is_there_changes_nothing(cloud: Cloud) -> None:
    formation = cloud.client("cloudformation")
    formation.create_stack(StackName="layersmith-dev-artifacts", TemplateBody=SMALL)
    before = formation.describe_stacks()["Stacks"]
    with aws_calls.only_reads(*aws_calls.PLANS) as calls:
        assert cli_main(command(cloud, "--plan")) == 0
        assert cli_main(command(cloud, "--destroy")) == ShipError.exit_code
        assert cli_main(command(cloud, "--destroy", "--delete-data")) == ShipError.exit_code
    assert calls.count("CreateChangeSet") == calls.count("DeleteChangeSet") == 1
    assert formation.describe_stacks()["Stacks"] == before


def test_a_stage_without_its_image_is_refused_before_anything_is_made(cloud: Cloud) -> None:
    done = cli.called("deploy", "--stage", "dev", "--yes", "--endpoint-url", cloud.endpoint)
    assert done.returncode == ConfigError.exit_code
    assert "chroma.ImageUri" in done.stderr
    assert statuses(cloud) == {}


def test_a_failing_resource_is_named_and_the_next_run_mends_it(cloud: Cloud) -> None:
    dynamodb = cloud.client("dynamodb")
    dynamodb.create_table(
        TableName="layersmith-dev-locks", BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": "a", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "a", "KeyType": "HASH"}],
    )  # fmt: skip
    failed = layers(cloud, "--yes")
    assert failed.returncode == ShipError.exit_code
    assert "layersmith-dev-chroma is ROLLBACK_COMPLETE" in failed.stderr
    assert "LockTable (AWS::DynamoDB::Table) failed first" in failed.stderr
    dynamodb.delete_table(TableName="layersmith-dev-locks")
    mended = layers(cloud, "--yes", "--json")
    assert mended.returncode == 0, mended.stderr
    results = [one["result"] for one in data_of(mended.stdout)]
    assert results == ["unchanged"] * 3 + ["created"] * 4


@pytest.mark.slow
@pytest.mark.parametrize("made", [3])
def test_a_run_that_is_killed_goes_on_where_it_was(cloud: Cloud, made: int) -> None:
    log = subprocess.DEVNULL
    process = subprocess.Popen(
        cli.argv(*command(cloud, "--yes")), cwd=ROOT, stdout=log, stderr=log, env={**os.environ}
    )
    clocks.wait(lambda: len(statuses(cloud)) > made or process.poll() is not None)
    process.send_signal(signal.SIGKILL)
    process.wait()
    done = layers(cloud, "--yes", "--json")
    assert done.returncode == 0, done.stderr
    assert [one["stack"] for one in data_of(done.stdout)] == STACKS
    assert {status.rpartition("_")[2] for status in statuses(cloud).values()} == {"COMPLETE"}
    assert {one["result"] for one in data_of(layers(cloud, "--yes", "--json").stdout)} == {
        "unchanged"
    }


def test_a_stage_that_was_taken_down_comes_up_again_with_what_it_kept(cloud: Cloud) -> None:
    first = layers(cloud, "--only", "artifacts", "--yes", "--json")
    assert layers(cloud, "--destroy", "--yes").returncode == 0

    again = layers(cloud, "--only", "artifacts", "--yes", "--json")

    assert again.returncode == 0, again.stderr
    [made], [found] = data_of(first.stdout), data_of(again.stdout)
    assert (found["result"], found["outputs"]) == ("created", made["outputs"])
    [same] = data_of(layers(cloud, "--only", "artifacts", "--yes", "--json").stdout)
    assert same["result"] == "unchanged"
    down = layers(cloud, "--destroy", "--delete-data", "--yes", "--json")
    assert down.returncode == 0, down.stderr
    deleted = [(one["type"], one["id"]) for one in data_of(down.stdout)["deleted"]]
    assert deleted == [("AWS::ECR::Repository", "layersmith/dev/chroma")]
    assert cloud.client("ecr").describe_repositories()["repositories"] == []


def test_a_vector_bucket_that_was_left_is_taken_as_it_is(cloud: Cloud, tmp_path: Path) -> None:
    templates = shutil.copytree(ROOT / "infra-templates", tmp_path / "templates")
    text = "region: eu-west-1\nstacks: {artifacts: {}, boundary: {}, vectors: {}}\n"
    words = ("deploy", "--stage", "dev", "--templates", str(templates), "--yes")

    def makes(store: str) -> str:
        (templates / "stages" / "dev.yaml").write_text(f"{text}databases: {{receipts: {store}}}\n")
        done = cli.called(*words, "--endpoint-url", cloud.endpoint)
        assert done.returncode == 0, done.stderr
        formation = cloud.client("cloudformation")
        [stack] = formation.describe_stacks(StackName="layersmith-dev-vectors")["Stacks"]
        given = {one["ParameterKey"]: one["ParameterValue"] for one in stack["Parameters"]}
        return str(given["CreateVectorBucket"])

    assert makes("s3vectors") == "true"
    # moto makes none; on AWS the bucket leaves the stack with the last database in it, and stays.
    name = "layersmith-dev-vectors-123456789012"
    cloud.client("s3vectors").create_vector_bucket(vectorBucketName=name)
    assert [makes("file"), makes("s3vectors")] == ["true", "false"]
    down = ("destroy", *words[1:], "--delete-data", "--json")
    done = cli.called(*down, "--endpoint-url", cloud.endpoint)
    assert done.returncode == 0, done.stderr
    assert name in {one["id"] for one in data_of(done.stdout)["deleted"]}
    assert cloud.client("s3vectors").list_vector_buckets()["vectorBuckets"] == []


def test_a_bucket_that_the_publisher_made_is_taken_as_it_is(cloud: Cloud) -> None:
    from layersmith.ship.aws import buckets
    from layersmith.ship.aws.accounts import Aws

    name = buckets.ensure(Aws(endpoint_url=cloud.endpoint), "layersmith", "eu-west-1")
    done = layers(cloud, "--only", "artifacts", "--yes", "--json")
    assert done.returncode == 0, done.stderr
    [outcome] = data_of(done.stdout)
    assert outcome["outputs"]["BucketName"] == name
    assert layers(cloud, "--destroy", "--yes").returncode == 0
    assert cloud.client("s3").head_bucket(Bucket=name)
    assert deploy.BOOTSTRAP == "artifacts"


def test_a_stage_in_an_existing_vpc_makes_and_removes_none(cloud: Cloud) -> None:
    ec2 = cloud.client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.1.0.0/16")["Vpc"]["VpcId"]
    subnets = [
        ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.1.{number}.0/24")["Subnet"]["SubnetId"]
        for number in range(3)
    ]
    before = [one["VpcId"] for one in ec2.describe_vpcs()["Vpcs"]]
    words = [
        *("--set", f"network.ExistingVpcId={vpc}"),
        *("--set", f"network.ExistingFunctionSubnetIds={subnets[0]},{subnets[1]}"),
        *("--set", f"network.ExistingTaskSubnetIds={subnets[2]}"),
    ]
    only = [word for stack in STACKS[:4] for word in ("--only", stack)]
    up = layers(cloud, "--yes", "--json", *words, *only)
    assert up.returncode == 0, up.stderr
    outputs = {one["stack"]: one["outputs"] for one in data_of(up.stdout)}
    assert outputs["network"] == {
        "VpcId": vpc,
        "FunctionSubnetIds": f"{subnets[0]},{subnets[1]}",
        "TaskSubnetIds": subnets[2],
        "AssignPublicIp": "DISABLED",
    }
    assert [one["VpcId"] for one in ec2.describe_vpcs()["Vpcs"]] == before
    groups = ec2.describe_security_groups(Filters=[{"Name": "vpc-id", "Values": [vpc]}])
    names = {one["GroupName"] for one in groups["SecurityGroups"]}
    assert len(names) == 3  # the default one, the functions' and the server's
    again = data_of(layers(cloud, "--yes", "--json", *words, *only).stdout)
    assert {one["result"] for one in again} == {"unchanged"}
    down = layers(cloud, "--destroy", "--yes")
    assert down.returncode == 0, down.stderr
    assert ec2.describe_subnets(SubnetIds=subnets)["Subnets"]


def test_an_existing_vpc_without_subnets_is_refused_before_anything_is_made(cloud: Cloud) -> None:
    done = layers(cloud, "--yes", "--set", "network.ExistingVpcId=vpc-12345678")
    assert done.returncode == ConfigError.exit_code
    said = " ".join(done.stderr.split())
    assert "ExistingFunctionSubnetIds is missing" in said
    assert "ExistingTaskSubnetIds is missing" in said
    assert statuses(cloud) == {}

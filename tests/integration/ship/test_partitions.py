"""The three partitions: one run, three accounts, and everything named by its own partition."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from layersmith.ship.aws import accounts

from tests.integration.ship.releases import LayerSpec

if TYPE_CHECKING:
    from tests.integration.ship.conftest import AwsServer, Project

REGIONS = {"eu-west-1": "aws", "cn-north-1": "aws-cn", "us-gov-west-1": "aws-us-gov"}
NAME = "alpha-python3-13-arm64"
TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Principal": {"Service": "lambda.amazonaws.com"},
            "Action": "sts:AssumeRole",
        }
    ],
}


def test_one_run_for_all_partitions(aws: AwsServer, project: Project) -> None:
    for region in ("cn-north-1", "us-gov-west-1"):
        aws.client("iam", region).create_role(
            RoleName="layersmith-canary", AssumeRolePolicyDocument=json.dumps(TRUST)
        )
    project.write(LayerSpec(regions=tuple(REGIONS), align=True))

    done = project.apply()

    assert done.code == 0, done.err
    assert [one["partition"] for one in done.json["accounts"]] == list(REGIONS.values())
    for region, partition in REGIONS.items():
        arn = f"arn:{partition}:lambda:{region}:123456789012:layer:{NAME}:1"
        told = project.run("arn", "alpha", "--region", region)
        assert told.out.strip() == arn
        policy = aws.client("s3", region).get_bucket_policy(
            Bucket=f"layersmith-123456789012-{region}"
        )["Policy"]
        (statement,) = json.loads(policy)["Statement"]
        assert statement["Resource"][0].startswith(f"arn:{partition}:s3:::layersmith-")
    assert project.verify().code == 0
    assert (
        project.run("yank", "alpha", "1.0.0", "--reason", "x", "--yes", *project.places[:2]).code
        == 0
    )


def test_the_canary_takes_the_role_of_its_partition(aws: AwsServer, project: Project) -> None:
    project.write(LayerSpec(regions=("cn-north-1",)))

    missing = project.apply()

    assert missing.code == 9
    assert "role layersmith-canary does not exist" in json.dumps(missing.json)
    assert {call["region"] for call in aws.calls() if call["service"] == "iam"} == {"cn-north-1"}


@pytest.mark.parametrize("region", REGIONS)
def test_clients_talk_to_the_endpoints_of_the_partition(
    region: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    domain = "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
    aws = accounts.Aws()
    for service in ("lambda", "s3", "ssm", "sts"):
        url = aws.client(service, region).meta.endpoint_url
        assert url == f"https://{service}.{region}.{domain}"


def test_verify_asks_for_each_target_no_more_than_it_must(aws: AwsServer, project: Project) -> None:
    regions = ("eu-west-1", "us-east-1", "sa-east-1")
    project.write(LayerSpec(regions=regions), LayerSpec("beta", regions=regions))
    assert project.apply("--no-canary").code == 0
    before = len(aws.calls())

    assert project.verify().code == 0

    # List, get, policy and pointers of a target; the bucket of a region; the account and its alias.
    assert len(aws.calls()) - before == len(regions) * (2 * 4 + 1) + 2

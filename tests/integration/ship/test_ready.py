"""What publishing needs beside its zips, looked at before the first change; and its rights."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.integration.ship.releases import LayerSpec
from tests.support import aws_calls
from tests.support.resolved import Stage

if TYPE_CHECKING:
    from tests.integration.ship.conftest import AwsServer, Project, Snapshot

TWO = ("eu-west-1", "us-east-1")


@pytest.mark.parametrize("trusts", ["", "states.amazonaws.com"])
def test_without_the_canarys_role_nothing_is_published(
    aws: AwsServer, project: Project, snapshot: Snapshot, trusts: str
) -> None:
    project.write(LayerSpec())
    iam = aws.client("iam", "us-east-1")
    iam.delete_role(RoleName="layersmith-canary")
    if trusts:
        iam.create_role(
            RoleName="layersmith-canary",
            AssumeRolePolicyDocument=(
                '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": '
                f'"sts:AssumeRole", "Principal": {{"Service": "{trusts}"}}}}]}}'
            ),
        )

    done = project.apply()

    assert done.code == 9
    left = {one["region"]: one["reason"] for one in done.json["quarantined"]}
    assert set(left) == set(TWO)
    assert all("the role layersmith-canary does not" in one for one in left.values())
    assert done.json["done"] == []
    for held in snapshot(TWO).values():
        assert not held["layers"] and not held["parameters"]
    assert project.plan().code == 9
    assert project.apply("--no-canary").code == 0


def test_the_publish_role_may_make_every_call_of_publishing(
    aws: AwsServer, project: Project
) -> None:
    policies = Stage().policies("github-oidc", "PublishRole")
    places = project.places
    with aws_calls.recorded() as calls:
        for version in ("1.0.0", "1.1.0"):
            project.write(LayerSpec(version=version, align=True))
            assert project.apply("--direct-limit", "1").code == 0
        config = places[:2]
        for words in (
            ["verify", *places],
            ["rollback", "alpha", "--yes", *config],
            ["promote", "alpha", "1.1.0", "--yes", *config],
            ["yank", "alpha", "1.0.0", "--reason", "wrong", "--yes", *config],
            ["gc", "--apply", "--keep", "1", "--days", "0", *config],
        ):
            result = project.run(*words)
            assert result.code == 0, result.err
    refused = {
        f"{need.action} {need.resource}"
        for call in calls
        for need in aws_calls.needs(*call)
        if not policies.allow(need)
    }
    assert refused == set()
    assert {"PublishLayerVersion", "CreateFunction", "PutParameter", "GetRole", "CreateBucket"} <= {
        operation for _, operation, _ in calls
    }

"""Plan, apply, verify and arn against the server."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.integration.ship.releases import LayerSpec

if TYPE_CHECKING:
    from tests.integration.ship.conftest import AwsServer, Project, Snapshot

TWO = ("eu-west-1", "us-east-1")


def test_a_release_is_published_proven_and_found(aws: AwsServer, project: Project) -> None:
    project.write(LayerSpec())
    assert project.plan().code == 0

    done = project.apply()

    assert done.code == 0, done.err
    assert project.verify().code == 0
    arn = project.run("arn", "alpha", "--region", "us-east-1")
    assert arn.out == "arn:aws:lambda:us-east-1:123456789012:layer:alpha-python3-13-arm64:1\n"


def test_a_second_apply_changes_nothing(
    aws: AwsServer, project: Project, snapshot: Snapshot
) -> None:
    project.write(LayerSpec(runtimes=("python3.12", "python3.13")), LayerSpec("beta"))
    assert project.apply().code == 0
    before, calls = snapshot(TWO), len(aws.calls("PublishLayerVersion"))

    again = project.apply()

    assert again.json["done"] == []
    assert project.plan().json["actions"] == []
    assert snapshot(TWO) == before
    assert len(aws.calls("PublishLayerVersion")) == calls == 6

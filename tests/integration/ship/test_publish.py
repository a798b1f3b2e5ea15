"""Plan, apply, verify and arn against the server."""

from __future__ import annotations

import json
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


def test_a_layer_by_reference_is_read_from_every_regions_bucket(
    aws: AwsServer, project: Project
) -> None:
    project.write(LayerSpec(storage="reference", principals=()))
    assert project.apply().code == 0
    for region in TWO:
        s3, bucket = aws.client("s3", region), f"layersmith-123456789012-{region}"
        (stored,) = s3.list_objects_v2(Bucket=bucket, Prefix="layers/")["Contents"]
        assert s3.head_object(Bucket=bucket, Key=stored["Key"])["VersionId"] != "null"
        policy = json.loads(s3.get_bucket_policy(Bucket=bucket)["Policy"])
        assert [one["Sid"] for one in policy["Statement"]] == ["TlsOnly", "LambdaReadsLayers"]
    assert project.verify().code == 0
    assert project.apply().json["done"] == []


def test_a_layer_by_reference_cannot_be_shared(aws: AwsServer, project: Project) -> None:
    project.write(LayerSpec(storage="reference"))
    refused = project.apply()
    assert refused.code == 9
    assert "exclude each other" in refused.err
    assert aws.calls("PublishLayerVersion") == []


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


def test_an_aligned_pilot_keeps_to_the_numbers_of_all_regions(
    aws: AwsServer, project: Project, snapshot: Snapshot
) -> None:
    name = "alpha-python3-13-arm64"
    for region, count in (("us-east-1", 3), ("eu-west-1", 1)):
        for _ in range(count):
            aws.client("lambda", region).publish_layer_version(
                LayerName=name, Content={"ZipFile": b"PK\x05\x06" + b"\0" * 18}
            )
    project.write(LayerSpec(align=True))

    planned = project.run("publish", "plan", "--pilot", *project.places)
    piloted = project.apply("--pilot", "--no-canary")
    entries = project.run("verify", "--region", "eu-west-1", *project.places)
    rest = project.apply("--region", "us-east-1", "--no-canary")

    assert "fill 2 to 3" in " ".join(planned.out.split())
    assert [piloted.code, entries.code, rest.code] == [0, 0, 0], piloted.err + rest.err
    numbers = {r: [v["number"] for v in has["layers"][name]] for r, has in snapshot(TWO).items()}
    assert {region: max(found) for region, found in numbers.items()} == {
        "eu-west-1": 4,
        "us-east-1": 4,
    }
    assert sorted(numbers["eu-west-1"]) == [1, 4]
    assert project.verify().code == 0

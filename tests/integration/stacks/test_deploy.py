"""`deploy` and `destroy` as the command line runs them, against moto: killed, refused, undone."""

from __future__ import annotations

import os
import signal
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
from layersmith.errors import ConfigError, ShipError
from layersmith.stacks import deploy

from tests.e2e.rehearsal.cloud import Cloud, empty_zip
from tests.e2e.rehearsal.processes import ROOT
from tests.e2e.rehearsal.stage import SETTINGS
from tests.support import cli, clocks
from tests.support.envelopes import data_of

if TYPE_CHECKING:
    from collections.abc import Iterator

STACKS = ["artifacts", "network", "chroma", "functions", "workflows", "observability"]


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
    return cli.layers(*command(cloud, *words))


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


@pytest.mark.slow
def test_data_goes_only_when_it_is_asked_for_by_name(cloud: Cloud) -> None:
    assert layers(cloud, "--only", "artifacts", "--yes").returncode == 0
    [bucket] = [one["Name"] for one in cloud.client("s3").list_buckets()["Buckets"]]
    for body in (b"1", b"2"):
        cloud.client("s3").put_object(Bucket=bucket, Key="functions/old.zip", Body=body)
    down = layers(cloud, "--destroy", "--delete-data", "--yes", "--json")
    assert down.returncode == 0, down.stderr
    assert bucket in {one["id"] for one in data_of(down.stdout)["deleted"]}
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


def test_a_stage_without_its_image_is_refused_before_anything_is_made(cloud: Cloud) -> None:
    done = cli.layers("deploy", "--stage", "dev", "--yes", "--endpoint-url", cloud.endpoint)
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
    assert results == ["unchanged"] * 2 + ["created"] * 4


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


def test_a_bucket_that_the_publisher_made_is_taken_as_it_is(cloud: Cloud) -> None:
    from layersmith.ship.aws import buckets
    from layersmith.ship.aws.clients import Aws

    name = buckets.ensure(Aws(endpoint_url=cloud.endpoint), "layersmith", "eu-west-1")
    done = layers(cloud, "--only", "artifacts", "--yes", "--json")
    assert done.returncode == 0, done.stderr
    [outcome] = data_of(done.stdout)
    assert outcome["outputs"]["BucketName"] == name
    assert layers(cloud, "--destroy", "--yes").returncode == 0
    assert cloud.client("s3").head_bucket(Bucket=name)
    assert deploy.BOOTSTRAP == "artifacts"

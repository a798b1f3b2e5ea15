"""publish has AWS Signer sign what it publishes, once for the same bytes."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
import re
import urllib.request
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from layersmith.base import zips
from layersmith.ship.aws import buckets
from layersmith.ship.aws.accounts import Aws
from layersmith.stacks import assets
from layersmith.stacks.assets import Asset
from layersmith.stacks.deploy import Deployment
from layersmith.stacks.stage import Stage

from tests.integration.ship.conftest import ROOT
from tests.integration.ship.releases import LayerSpec

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.ship.conftest import AwsServer, Project

STEM = "alpha-1.0.0-python3.13-arm64"
REGIONS = ("eu-west-1", "us-east-1")


@pytest.fixture
def signing(project: Project, aws: AwsServer) -> Project:
    project.write(LayerSpec(regions=REGIONS))
    ask(project.root, "layersmith")
    for region in REGIONS:
        aws.client("signer", region).put_signing_profile(
            profileName="layersmith", platformId="AWSLambda-SHA384-ECDSA"
        )
    return project


def ask(root: Path, profile: str | None) -> None:
    path = root / "layers.yaml"
    document = yaml.safe_load(path.read_text("utf-8"))
    document.pop("signing", None)
    document |= {"signing": {"profile": profile}} if profile else {}
    path.write_text(yaml.safe_dump(document), "utf-8")


def digests(aws: AwsServer) -> dict[str, list[str]]:
    """Return the digest in hex of every version in every region."""
    found: dict[str, list[str]] = {}
    for region in REGIONS:
        client, name = aws.client("lambda", region), "alpha-python3-13-arm64"
        versions = client.list_layer_versions(LayerName=name)["LayerVersions"]
        said = [
            client.get_layer_version(LayerName=name, VersionNumber=one["Version"])
            for one in versions
        ]
        found[region] = [base64.b64decode(one["Content"]["CodeSha256"]).hex() for one in said]
    return found


def objects(aws: AwsServer, region: str, prefix: str = "") -> dict[str, dict[str, Any]]:
    s3 = aws.client("s3", region)
    [bucket] = [one["Name"] for one in s3.list_buckets()["Buckets"] if region in one["Name"]]
    listed = s3.list_objects_v2(Bucket=bucket, Prefix=prefix).get("Contents", ())
    return {one["Key"]: s3.head_object(Bucket=bucket, Key=one["Key"]) for one in listed}


def test_signed_once_and_both_digests_recorded(signing: Project, aws: AwsServer) -> None:
    """A second run publishes and signs nothing; verify sees the built zip in the signed one."""
    assert signing.apply("--no-canary").code == 0
    built = hashlib.sha256((signing.root / "dist" / f"{STEM}.zip").read_bytes()).hexdigest()
    first = digests(aws)
    for region in REGIONS:
        [signed] = first[region]
        assert signed != built
        [(key, said)] = objects(aws, region, "signed/").items()
        assert key == f"signed/layersmith/{built}.zip"
        assert said["Metadata"] == {"built-sha256": built, "signed-sha256": signed}
        assert not objects(aws, region, "staging/")

    again = signing.apply("--no-canary")
    assert (again.code, again.json["done"], digests(aws)) == (0, [], first)
    verified = signing.verify()
    assert (verified.code, verified.json["findings"]) == (0, [])

    arn = f"arn:aws:lambda:eu-west-1:{'1234567890' + '12'}:layer:alpha-python3-13-arm64:1"
    where = aws.client("lambda", "eu-west-1").get_layer_version_by_arn(Arn=arn)["Content"]
    with urllib.request.urlopen(where["Location"]) as answer:
        assert hashlib.sha256(answer.read()).hexdigest() == first["eu-west-1"][0]


def test_another_run_takes_what_was_signed(signing: Project, aws: AwsServer) -> None:
    """A run that was killed after the signature: no second job."""
    assert signing.apply("--no-canary").code == 0
    client = aws.client("lambda", "us-east-1")
    before = digests(aws)["us-east-1"]
    client.delete_layer_version(LayerName="alpha-python3-13-arm64", VersionNumber=1)
    signed = [call for call in aws.calls() if call["service"] == "signer"]
    assert signing.apply("--no-canary").code == 0
    assert digests(aws)["us-east-1"] == before
    assert [call for call in aws.calls() if call["service"] == "signer"] == signed


def test_what_is_published_unsigned_is_found(signing: Project, aws: AwsServer) -> None:
    ask(signing.root, None)
    assert signing.apply("--no-canary").code == 0
    ask(signing.root, "layersmith")
    done = signing.verify()
    assert done.code == 9
    found = [one for one in done.json["findings"] if one["field"] == "sha256"]
    assert all("(unsigned)" in one["found"] for one in found), json.dumps(found)
    assert found


def test_a_profile_that_does_not_sign(signing: Project, aws: AwsServer) -> None:
    ask(signing.root, "missing")
    done = signing.apply("--no-canary")
    assert done.code == 9
    assert any("AWS Signer did not sign" in str(one) for one in done.json["findings"]), done.out
    assert digests(aws) == {region: [] for region in REGIONS}


def test_deploy_signs_the_code_of_functions(signing: Project, aws: AwsServer) -> None:
    """Under a key that the template takes, once; a plan names the key and signs nothing."""
    asset = Asset("DemoKey", "functions/demo-0123456789abcdef.zip", zips.pack({"handler.py": b""}))
    machine = Asset("MachineKey", "state-machines/demo.asl.json", b"{}")
    clients = Aws()
    bucket = buckets.ensure(clients, "layersmith", "eu-west-1")
    stage = Stage.model_validate(
        {"name": "dev", "region": "eu-west-1", "stacks": {"functions": None}}
    )
    made = Deployment(clients, stage, (), {}, lambda *_: None, lambda _: True, signing="layersmith")
    planned = dataclasses.replace(made, plan_only=True)._signed(asset)
    assert not [call for call in aws.calls() if call["action"].startswith("POST")]

    assets.upload(clients.s3("eu-west-1"), bucket, asset, clients.account("eu-west-1"))
    assert made._signed(asset) == made._signed(asset) == planned
    assert made._signed(machine) == machine.key
    assert [*objects(aws, "eu-west-1", "functions/")] == sorted([asset.key, planned])
    [pattern] = {
        line.partition("AllowedPattern: ")[2]
        for line in (ROOT / "infra-templates/functions.yaml").read_text("utf-8").splitlines()
        if "functions/(" in line
    }
    assert re.fullmatch(yaml.safe_load(pattern), planned)


def test_reference_storage_is_refused(signing: Project, aws: AwsServer) -> None:
    signing.write(LayerSpec(regions=REGIONS, storage="reference", principals=()))
    ask(signing.root, "layersmith")
    done = signing.plan()
    assert (done.code, "exclude each other" in done.err) == (2, True)
    assert not [call for call in aws.calls() if call["service"] != "signer"]

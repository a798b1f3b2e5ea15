"""publish and deploy verify attestations before they ask AWS for anything."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.integration.ship.releases import LayerSpec
from tests.support import attestations
from tests.support.attestations import Sigstore

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.ship.conftest import AwsServer, Project
    from tests.integration.ship.hub import Hub

STEM = "alpha-1.0.0-python3.13-arm64"


@pytest.fixture(scope="module")
def sigstore() -> Sigstore:
    return Sigstore()


@pytest.fixture
def attesting(project: Project, sigstore: Sigstore) -> Project:
    """A project whose layers.yaml asks for attestations of the tests' own Sigstore."""
    project.write(LayerSpec(regions=("eu-west-1",)))
    sigstore.write_root(project.root / "root.json")
    ask(project)
    return project


def ask(project: Project, **more: Any) -> None:
    path = project.root / "layers.yaml"
    document = yaml.safe_load(path.read_text("utf-8"))
    wanted = {"repository": "owner/name", "workflow": attestations.WORKFLOW}
    document["attestations"] = {**wanted, "trusted-root": "root.json", **more}
    path.write_text(yaml.safe_dump(document), "utf-8")


def files(project: Project) -> list[Path]:
    return [project.root / "dist" / f"{STEM}.{end}" for end in ("zip", "json")]


def test_what_is_not_attested_is_not_published(
    attesting: Project, aws: AwsServer, hub: Hub, sigstore: Sigstore
) -> None:
    """Nothing beside the zip and nothing on GitHub; then one of another project."""
    done = attesting.apply("--no-canary")
    assert done.code == 9
    assert f"{STEM}.zip has no attestation" in done.err
    other = sigstore.bundle(*files(attesting), repository="evil/name")
    (attesting.root / "dist" / f"{STEM}.sigstore.json").write_text(other, "utf-8")
    done = attesting.plan()
    assert done.code == 9
    assert "of another project: evil/name" in done.err
    assert aws.calls() == []


def test_attested_files_are_published_with_their_attestation(
    attesting: Project, aws: AwsServer, sigstore: Sigstore
) -> None:
    said = sigstore.bundle(*files(attesting))
    (attesting.root / "dist" / f"{STEM}.sigstore.json").write_text(said, "utf-8")
    assert attesting.apply("--no-canary").code == 0
    s3 = aws.client("s3", "eu-west-1")
    [bucket] = [one["Name"] for one in s3.list_buckets()["Buckets"]]
    kept = s3.list_objects_v2(Bucket=bucket, Prefix="artifacts/")["Contents"]
    assert f"artifacts/alpha/1.0.0/{STEM}.sigstore.json" in {one["Key"] for one in kept}


def test_attestations_come_from_github_where_none_lies_beside(
    attesting: Project, aws: AwsServer, hub: Hub, sigstore: Sigstore
) -> None:
    for path in files(attesting):
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        hub.attestations[f"sha256:{digest}"] = [sigstore.bundle(path)]
    assert attesting.apply("--no-canary").code == 0
    assert len(aws.calls("PublishLayerVersion")) == 1
    hub.attestations.clear()
    assert attesting.apply("--no-canary").code == 0, "it was kept beside the zip"


def test_not_required_is_said(attesting: Project, aws: AwsServer, hub: Hub) -> None:
    ask(attesting, require=False)
    done = attesting.apply("--no-canary")
    assert (done.code, "has no attestation" in done.err) == (0, True)


def test_deploy_verifies_the_layers_of_its_templates(
    attesting: Project, aws: AwsServer, hub: Hub, sigstore: Sigstore
) -> None:
    """Those that a template reads by their pointer, in the version of layers.yaml."""
    templates = attesting.root / "infra-templates"
    (templates / "stages").mkdir(parents=True)
    (attesting.root / "lambdas").mkdir()
    pointer = {"Type": "AWS::SSM::Parameter::Value<String>"}
    template: dict[str, Any] = {
        "Metadata": {"layersmith": {}},
        "Parameters": {"Alpha": {**pointer, "Default": "/layers/alpha/python3.13/arm64/latest"}},
        "Resources": {"Queue": {"Type": "AWS::SQS::Queue"}},
    }
    stage = {"region": "eu-west-1", "stacks": {"demo": {}}}
    (templates / "demo.yaml").write_text(yaml.safe_dump(template), "utf-8")
    (templates / "stages" / "dev.yaml").write_text(yaml.safe_dump(stage), "utf-8")
    words = ["deploy", "--stage", "dev", "--plan", "--templates", str(templates), "--lambdas"]
    words += [str(attesting.root / "lambdas"), *attesting.places]

    done = attesting.run(*words)
    assert (done.code, f"{STEM}.zip has no attestation" in done.err) == (9, True), done.err

    template["Parameters"]["Alpha"]["Default"] = "/layers/alpha/python3.13/arm64/0.9.0"
    (templates / "demo.yaml").write_text(yaml.safe_dump(template), "utf-8")
    done = attesting.run(*words)
    assert (done.code, "the stage uses alpha 0.9.0" in done.err) == (9, True), done.err
    assert aws.calls() == []

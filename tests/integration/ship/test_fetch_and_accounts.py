"""Catching up from released zips, permissions, partitions, and a second account."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.ship.releases import LayerSpec
from tests.support.repositories import git

if TYPE_CHECKING:
    from tests.integration.ship.conftest import AwsServer, Project, Snapshot
    from tests.integration.ship.hub import Hub

TWO = ("eu-west-1", "us-east-1")
OTHER = "210987654321"


def statements(state: dict[str, Any], region: str = "eu-west-1") -> list[str]:
    (version,) = state[region]["layers"]["alpha-python3-13-arm64"]
    found: list[str] = version["statements"]
    return found


def test_a_region_catches_up_with_the_bytes_that_were_released(
    aws: AwsServer, project: Project, snapshot: Snapshot
) -> None:
    project.write(LayerSpec(regions=TWO))
    assert project.apply("--pilot").code == 0
    zips = {path.name: path.read_bytes() for path in (project.root / "dist").glob("alpha-*")}
    shutil.rmtree(project.root / "dist")

    fetched = project.run("publish", "fetch", *project.places)

    assert fetched.code == 0, fetched.err
    assert {p.name: p.read_bytes() for p in (project.root / "dist").glob("*")} == zips
    assert project.apply().code == 0
    digests = {
        v["sha256"] for has in snapshot(TWO).values() for vs in has["layers"].values() for v in vs
    }
    assert len(digests) == 1


@pytest.mark.parametrize("action", ["ListLayerVersions", "PUT bucket.*"])
def test_the_pilot_that_stands_in_for_a_region_that_fails_keeps_the_zip(
    action: str, aws: AwsServer, project: Project
) -> None:
    project.write(LayerSpec(regions=TWO))
    denied = {"kind": "error", "region": TWO[0], "status": 403, "code": "AccessDenied"}
    aws.faults({**denied, "action": action})
    released = project.apply()
    assert (released.code, released.json["quarantined"][0]["region"]) == (9, TWO[0])
    zips = {path.name: path.read_bytes() for path in (project.root / "dist").glob("alpha-*")}
    shutil.rmtree(project.root / "dist")
    aws.faults({**denied, "service": "s3"})

    fetched = project.run("publish", "fetch", *project.places)

    assert fetched.code == 0, fetched.err
    assert {p.name: p.read_bytes() for p in (project.root / "dist").glob("*")} == zips
    aws.faults()
    assert project.apply().code == 0
    assert project.verify().code == 0


def test_what_a_region_that_fails_may_hold_was_not_never_released(
    aws: AwsServer, project: Project
) -> None:
    project.write(LayerSpec(regions=TWO))
    shutil.rmtree(project.root / "dist")
    aws.faults({"kind": "error", "region": TWO[0], "service": "s3", "status": 403, "code": "403"})

    unknown = project.run("publish", "fetch", "--skip-unreleased", *project.places)

    assert unknown.code == 9
    assert "never released" not in unknown.err
    assert "s3:ListObjectsV2" in unknown.err


def test_a_version_that_was_never_released_is_named_or_skipped(
    aws: AwsServer, project: Project
) -> None:
    project.write(LayerSpec(regions=TWO))
    shutil.rmtree(project.root / "dist")

    missing = project.run("publish", "fetch", *project.places)
    skipped = project.run("publish", "fetch", "--skip-unreleased", *project.places)

    assert missing.code == 9
    assert "released nowhere" in missing.err
    assert skipped.code == 0
    assert project.apply("--built").code == 2


def test_permissions_follow_layers_yaml_without_a_new_version(
    aws: AwsServer, project: Project, snapshot: Snapshot
) -> None:
    project.write(LayerSpec(regions=TWO[:1], principals=("public",)))
    assert project.apply().code == 0
    assert statements(snapshot(TWO[:1])) == ["layersmith-public"]

    project.write(LayerSpec(regions=TWO[:1], principals=("o-abcdefghij", OTHER)))
    assert project.verify().json["findings"][0]["field"] == "permissions"
    changed = project.apply()

    assert {step["step"] for step in changed.json["done"]} == {"grant", "revoke"}
    assert statements(snapshot(TWO[:1])) == [f"layersmith-{OTHER}", "layersmith-o-abcdefghij"]
    assert project.verify().code == 0


def test_a_statement_that_somebody_else_added_is_drift(aws: AwsServer, project: Project) -> None:
    project.write(LayerSpec(regions=TWO[:1]))
    assert project.apply().code == 0
    aws.client("lambda", "eu-west-1").add_layer_version_permission(
        LayerName="alpha-python3-13-arm64",
        VersionNumber=1,
        StatementId="somebody",
        Action="lambda:GetLayerVersion",
        Principal=OTHER,
    )

    drift = project.verify()

    assert drift.code == 9
    assert drift.json["findings"][0]["found"] == "somebody"


def test_layers_go_to_the_account_of_the_role(aws: AwsServer, project: Project) -> None:
    project.write(LayerSpec(regions=TWO[:1]))
    role = f"arn:aws:iam::{OTHER}:role/publisher"

    done = project.apply("--role", role, "--no-canary")

    assert done.code == 0, done.err
    assert aws.client("lambda", "eu-west-1").list_layers()["Layers"] == []
    given = aws.client("sts", "eu-west-1").assume_role(RoleArn=role, RoleSessionName="test")
    keys = given["Credentials"]
    there = aws.client(
        "lambda", "eu-west-1", key=keys["AccessKeyId"], aws_session_token=keys["SessionToken"]
    )
    (layer,) = there.list_layers()["Layers"]
    assert f":{OTHER}:layer:alpha-python3-13-arm64" in layer["LayerArn"]


def test_a_partition_is_published_by_itself(
    aws: AwsServer, project: Project, snapshot: Snapshot
) -> None:
    project.write(LayerSpec(regions=("eu-west-1", "cn-north-1")))

    done = project.apply("--partition", "aws-cn", "--no-canary")

    assert done.code == 0, done.err
    assert {step["region"] for step in done.json["done"]} == {"cn-north-1"}
    assert next(iter(snapshot(("cn-north-1",))["cn-north-1"]["parameters"].values())).startswith(
        "arn:aws-cn:"
    )


@pytest.mark.parametrize("option", ["plan", "apply"])
def test_damaged_zips_are_never_published(option: str, aws: AwsServer, project: Project) -> None:
    project.write(LayerSpec(), LayerSpec("beta"))
    for path in (project.root / "dist").glob("*.zip"):
        path.write_bytes(path.read_bytes() + b"x")

    refused = project.run("publish", option, *project.places)

    assert refused.code == 9
    assert refused.err.count("is not the file that its manifest describes") == 2
    assert aws.calls() == []


def test_recent_names_the_releases_that_it_published_and_no_other(
    aws: AwsServer, hub: Hub, project: Project
) -> None:
    (project.root / ".gitignore").write_text("dist\n", encoding="utf-8")
    git(project.root, "init", "--quiet")
    for version in ("1.0.0", "1.0.1", "1.1.0"):
        project.write(LayerSpec(version=version, regions=TWO))
        if version == "1.0.0":
            assert project.apply("--pilot").code == 0
        git(project.root, "add", "--all")
        git(project.root, "commit", "--quiet", "--message", version)
        git(project.root, "tag", f"alpha-v{version}")
    for version in ("1.0.0", "1.0.1"):
        hub.release(f"alpha-v{version}", {})
    words = ("publish", "recent", "--json", *project.places)

    aws.faults({"kind": "error", "region": TWO[1], "action": "Publish.*", "status": 400})
    broken = project.run(*words)
    aws.faults()
    whole = project.run(*words)

    assert (broken.code, broken.json) == (9, {"published": []})
    assert "alpha-v1.0.0 is not in order everywhere" in broken.err
    assert (whole.code, whole.json) == (0, {"published": ["alpha-v1.0.0"]})
    assert "1.0.1 was never released" in whole.err


def test_what_built_leaves_out_is_named(aws: AwsServer, project: Project) -> None:
    project.write(LayerSpec(regions=TWO, runtimes=("python3.12", "python3.13")))
    next((project.root / "dist").glob("*python3.12*.zip")).unlink()

    done = project.apply("--built")

    assert done.code == 0
    targets = {one["target"] for one in done.json["done"] if "target" in one}
    assert targets == {"alpha-python3.13-arm64"}
    assert "left out, not in" in done.err
    assert "alpha-python3.12-arm64 1.0.0" in done.err

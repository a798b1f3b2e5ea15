"""Verbs reach all that was ever published, whatever layers.yaml has by now."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.ship.releases import LayerSpec
from tests.support import zips

if TYPE_CHECKING:
    from tests.integration.ship.conftest import AwsServer, Project, Result, Snapshot

TWO = ("eu-west-1", "us-east-1")
BOTH = ("python3.12", "python3.13")
OLD = "/layers/alpha/python3.12/arm64"
NEW = "/layers/alpha/python3.13/arm64"


def run(project: Project, *argv: str) -> Result:
    return project.run(*argv, "--config", str(project.root), "--yes", "--json")


def pointers(aws: AwsServer, folder: str, region: str) -> dict[str, str]:
    """Return name -> number or reason."""
    ssm = aws.client("ssm", region)
    pages = ssm.get_paginator("get_parameters_by_path").paginate(Path=folder, Recursive=True)
    return {
        one["Name"].removeprefix(f"{folder}/"): one["Value"].rpartition(":")[2]
        for page in pages
        for one in page["Parameters"]
    }


def index(aws: AwsServer) -> list[dict[str, Any]]:
    s3 = aws.client("s3", "eu-west-1")
    body = s3.get_object(Bucket="layersmith-123456789012-eu-west-1", Key="index/layers.json")
    entries: list[dict[str, Any]] = json.loads(body["Body"].read())["layers"]
    return entries


@pytest.fixture
def shrunk(aws: AwsServer, project: Project) -> Project:
    """Two releases for two runtimes and regions; layers.yaml has one runtime and region of them."""
    for version in ("1.0.0", "1.1.0"):
        project.write(
            LayerSpec(version=version, runtimes=BOTH, regions=TWO),
            LayerSpec("gone", version=version, regions=TWO),
        )
        assert project.apply("--no-canary").code == 0
    project.write(LayerSpec(version="1.1.0", regions=TWO[:1]))
    return project


def test_yank_rollback_and_promote_reach_dropped_runtimes_and_regions(
    aws: AwsServer, shrunk: Project
) -> None:
    assert run(shrunk, "yank", "alpha", "1.1.0", "--reason", "wrong").code == 0
    for region in TWO:
        for folder in (OLD, NEW):
            found = pointers(aws, folder, region)
            assert (found["yanked/1.1.0"], found["latest"]) == ("wrong", "1")
    assert run(shrunk, "yank", "alpha", "1.1.0", "--undo").code == 0
    assert run(shrunk, "promote", "alpha", "1.1.0").code == 0
    assert {pointers(aws, OLD, region)["latest"] for region in TWO} == {"2"}
    assert run(shrunk, "rollback", "alpha").code == 0
    assert {pointers(aws, OLD, region)["latest"] for region in TWO} == {"1"}
    assert run(shrunk, "promote", "alpha", "1.1.0", "--runtime", "python3.12").code == 0
    assert [pointers(aws, one, TWO[1])["latest"] for one in (OLD, NEW)] == ["2", "1"]


def test_a_layer_that_layers_yaml_no_longer_has(aws: AwsServer, shrunk: Project) -> None:
    assert run(shrunk, "yank", "gone", "1.1.0", "--reason", "wrong").code == 0
    assert pointers(aws, "/layers/gone/python3.13/arm64", "us-east-1")["latest"] == "1"
    marked = {(e["version"], e.get("yanked")) for e in index(aws) if e["layer"] == "gone"}
    assert marked == {("1.0.0", None), ("1.1.0", "wrong")}

    judged = run_gc(shrunk, "--layer", "gone", "--apply")
    assert judged.code == 0, judged.err
    assert {(one["region"], one["semver"]) for one in judged.json["versions"]} == {
        (region, version) for region in TWO for version in ("1.0.0", "1.1.0")
    }

    listed = shrunk.run("arn", "gone", "--config", str(shrunk.root), "--json")
    assert {one["version"] for one in listed.json["layers"]} == {"1.0.0", "1.1.0"}
    table = shrunk.run("arn", "--config", str(shrunk.root))
    assert "layer:gone-python3-13-arm64:1" in "".join(table.out.split())
    unknown = run(shrunk, "yank", "gnoe", "1.1.0", "--reason", "wrong")
    assert unknown.code == 2
    assert "unknown layer 'gnoe'" in unknown.err


def run_gc(project: Project, *options: str) -> Result:
    rule = ("--keep", "1", "--days", "0")
    return project.run("gc", "--config", str(project.root), "--json", *rule, *options)


def test_a_yank_that_leaves_a_target_is_not_done(aws: AwsServer, shrunk: Project) -> None:
    denied = {"code": "AccessDeniedException", "status": 400}
    aws.faults({"kind": "error", "service": "ssm", "region": "us-east-1", **denied})

    failed = run(shrunk, "yank", "alpha", "1.1.0", "--reason", "wrong")

    assert failed.code == 9
    assert [one["region"] for one in failed.json["quarantined"]] == ["us-east-1"]
    assert failed.json["done"] is False


def test_what_the_index_would_say_is_missed_is_not_done(aws: AwsServer, shrunk: Project) -> None:
    broken = {"code": "AccessDenied", "status": 403}
    aws.faults({"kind": "error", "service": "s3", "action": "GET index/.*", **broken})

    yanked = run(shrunk, "yank", "alpha", "1.1.0", "--reason", "wrong")
    judged = run_gc(shrunk, "--apply")

    assert [yanked.code, judged.code] == [9, 9]
    assert "the index:" in yanked.json["quarantined"][0]["reason"]
    assert all(one["kept"] for one in judged.json["versions"])


def test_a_region_that_catches_up_does_not_promote_what_was_yanked(
    aws: AwsServer, project: Project
) -> None:
    project.write(LayerSpec(version="1.0.0", regions=TWO))
    assert project.apply("--no-canary").code == 0
    project.write(LayerSpec(version="1.1.0", regions=TWO))
    assert project.apply("--no-canary", "--region", TWO[0]).code == 0

    assert run(project, "yank", "alpha", "1.1.0", "--reason", "wrong").code == 0
    # gc leaves the mark of what may still come.
    assert run_gc(project, "--apply").code == 0
    assert project.apply("--no-canary").code == 0

    assert [pointers(aws, NEW, region)["latest"] for region in TWO] == ["1", "1"]
    assert project.verify().code == 0


def test_verify_knows_that_the_only_version_was_yanked(aws: AwsServer, project: Project) -> None:
    project.write(LayerSpec(regions=TWO))
    assert project.apply("--no-canary").code == 0

    assert run(project, "yank", "alpha", "1.0.0", "--reason", "loses data").code == 0

    assert "latest" not in pointers(aws, NEW, TWO[0])
    verified = project.run("verify", *project.places)
    assert verified.code == 0
    said = " ".join(verified.err.split())
    assert "1.0.0 is yanked: loses data; no release is left, so there is no `latest`" in said
    assert project.apply("--no-canary").json["done"] == []


def use(aws: AwsServer, region: str, number: int) -> None:

    aws.client("lambda", region).create_function(
        FunctionName="resize",
        Runtime="python3.13",
        Role="arn:aws:iam::123456789012:role/layersmith-canary",
        Handler="main.handler",
        Code={"ZipFile": zips.content({"main.py": "def handler(event, context): return event"})},
        Layers=[f"arn:aws:lambda:{region}:123456789012:layer:alpha-python3-13-arm64:{number}"],
    )


@pytest.fixture
def four(aws: AwsServer, project: Project) -> Project:
    """Four releases in two regions."""
    for minor in range(4):
        project.write(LayerSpec(version=f"1.{minor}.0", regions=TWO))
        assert project.apply("--no-canary").code == 0
    return project


def versions(aws: AwsServer) -> dict[str, set[str]]:
    return {r: pointers(aws, NEW, r).keys() - {"latest"} for r in TWO}


def test_what_stays_in_one_region_stays_in_all_and_a_rollback_is_the_same(
    aws: AwsServer, four: Project
) -> None:
    use(aws, "us-east-1", 2)

    judged = run_gc(four, "--apply")

    assert judged.code == 0, judged.err
    why = {(one["region"], one["semver"]): one["kept"] for one in judged.json["versions"]}
    assert why["eu-west-1", "1.1.0"] == "kept in us-east-1: used by resize:$LATEST"
    assert versions(aws) == {region: {"1.1.0", "1.3.0"} for region in TWO}
    assert run(four, "rollback", "alpha").code == 0
    assert [pointers(aws, NEW, region)["latest"] for region in TWO] == ["2", "2"]


def test_while_a_region_cannot_be_read_nothing_goes(aws: AwsServer, four: Project) -> None:
    denied = {"status": 403, "code": "AccessDeniedException", "message": "not allowed"}
    aws.faults({"kind": "error", "action": "GetFunctions", "region": "us-east-1", **denied})

    judged = run_gc(four, "--apply")

    assert judged.code == 9
    aws.faults()
    assert {len(found) for found in versions(aws).values()} == {4}
    why = {one["semver"]: one["kept"] for one in judged.json["versions"]}
    assert why["1.0.0"] == "us-east-1 could not be read"


def test_gc_never_deletes_in_some_regions_alone(aws: AwsServer, four: Project) -> None:
    refused = run_gc(four, "--apply", "--region", "eu-west-1")
    shown = run_gc(four, "--region", "eu-west-1")

    assert refused.code == 2
    assert {one["region"] for one in shown.json["versions"]} == {"eu-west-1"}
    assert {len(found) for found in versions(aws).values()} == {4}


def test_kept_zips_go_with_the_last_version_that_was_made_of_them(
    aws: AwsServer, four: Project, snapshot: Snapshot
) -> None:
    def kept() -> set[str]:
        keys = snapshot(TWO[:1])[TWO[0]]["objects"]
        return {key.split("/")[2] for key in keys if key.startswith("artifacts/")}

    use(aws, "us-east-1", 2)
    assert kept() == {"1.0.0", "1.1.0", "1.2.0", "1.3.0"}
    young = run_gc(four, "--days", "1")
    assert young.json["files"] == []

    planned = run_gc(four)
    done = run_gc(four, "--apply")

    assert done.json["files"] == planned.json["files"]
    assert {one["key"].rpartition(".")[2] for one in done.json["files"]} == {"zip", "json"}
    assert kept() == {"1.1.0", "1.3.0"}
    assert run_gc(four, "--apply").json["files"] == []

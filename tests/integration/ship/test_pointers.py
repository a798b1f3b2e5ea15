"""promote, rollback, yank, the index and the tables."""

from __future__ import annotations

import csv
import json
from typing import TYPE_CHECKING

import pytest

from tests.integration.ship.releases import LayerSpec, published

if TYPE_CHECKING:
    from tests.integration.ship.conftest import AwsServer, Project

TWO = ("eu-west-1", "us-east-1")
FOLDER = "/layers/alpha/python3.13/arm64"


@pytest.fixture
def three_releases(aws: AwsServer, project: Project) -> Project:
    """Versions 1.0.0 to 1.2.0 in two regions; only the last one went through apply."""
    for region in TWO:
        published(aws, region, "alpha", ["1.0.0", "1.1.0"])
    project.write(LayerSpec(version="1.2.0", regions=TWO))
    done = project.apply("--no-canary")
    assert done.code == 0, done.err
    return project


def move(project: Project, *argv: str) -> int:
    return project.run(*argv, "--config", str(project.root), "--yes", "--json").code


def latest(project: Project, region: str = "eu-west-1") -> str:
    result = project.run("arn", "alpha", "--region", region)
    return result.out.strip().rpartition(":")[2]


def latest_of(aws: AwsServer, region: str) -> str:
    parameter = aws.client("ssm", region).get_parameter(Name=f"{FOLDER}/latest")["Parameter"]
    return str(parameter["Value"]).rpartition(":")[2]


def index(project: Project, aws: AwsServer) -> list[dict[str, object]]:
    s3 = aws.client("s3", "eu-west-1")
    body = s3.get_object(Bucket="layersmith-123456789012-eu-west-1", Key="index/layers.json")
    entries: list[dict[str, object]] = json.loads(body["Body"].read())["layers"]
    return entries


def test_rollback_moves_latest_back_and_apply_leaves_it_there(
    aws: AwsServer, three_releases: Project
) -> None:
    project = three_releases
    assert latest(project) == "3"
    dry = project.run("rollback", "alpha", "--config", str(project.root), "--dry-run")
    assert dry.code == 0
    assert latest(project) == "3"

    assert move(project, "rollback", "alpha") == 0

    assert [latest(project, region) for region in TWO] == ["2", "2"]
    assert project.apply().json["done"] == []
    assert latest(project) == "2"
    assert [e["version"] for e in index(project, aws) if e["latest"]] == ["1.1.0", "1.1.0"]
    assert project.run("arn", "alpha", "--region", TWO[0], "--version", "1.2.0").code == 0
    assert move(project, "promote", "alpha", "1.2.0", "--region", "us-east-1") == 0
    assert [latest(project, region) for region in TWO] == ["2", "3"]


def test_no_pointer_moves_to_a_version_that_somebody_deleted(
    aws: AwsServer, three_releases: Project
) -> None:
    project = three_releases
    aws.client("lambda", "us-east-1").delete_layer_version(
        LayerName="alpha-python3-13-arm64", VersionNumber=2
    )

    assert move(project, "promote", "alpha", "1.1.0") == 9
    assert [latest(project, region) for region in TWO] == ["2", "3"]
    assert move(project, "rollback", "alpha") == 0

    assert [latest(project, region) for region in TWO] == ["1", "1"]


@pytest.mark.parametrize("action", ["PutParameter", ".*"])
def test_rollback_again_after_a_region_failed_moves_only_that_region(
    aws: AwsServer, three_releases: Project, action: str
) -> None:
    project = three_releases
    again = ("rollback", "alpha", *project.places[:2], "--yes", "--json", "--max-attempts", "1")
    fault = {"kind": "error", "service": "ssm", "action": action, "region": "us-east-1"}

    for _ in range(2):
        aws.faults({**fault, "code": "AccessDeniedException", "status": 400})
        failed = project.run(*again)
        aws.faults()
        assert failed.code == 9
        assert "rollback to 1.1.0" in failed.err
        assert [latest(project, region) for region in TWO] == ["2", "3"]
    first = failed.json
    assert (first["done"], first["moves"]) == (False, [])
    differs = [one for one in project.verify().json["findings"] if one["region"] == TWO[0]]
    assert [(one["field"], one["expected"], one["found"]) for one in differs] == [
        ("pointer latest", "1.2.0", "1.1.0")
    ]

    mended = project.run(*again)

    assert mended.code == 0, mended.err
    assert [one["region"] for one in mended.json["moves"]] == ["us-east-1"]
    assert "1 of 1 pointer moved" in mended.err
    assert [latest(project, region) for region in TWO] == ["2", "2"]


def test_a_yanked_version_is_marked_and_left(aws: AwsServer, three_releases: Project) -> None:
    project = three_releases
    assert move(project, "yank", "alpha", "1.2.0", "--reason", "loses data") == 0

    assert latest(project) == "2"
    names = aws.client("ssm", "eu-west-1").get_parameters_by_path(Path=FOLDER, Recursive=True)
    values = {one["Name"]: one["Value"] for one in names["Parameters"]}
    assert values[f"{FOLDER}/yanked/1.2.0"] == "loses data"
    assert values[f"{FOLDER}/1.2.0"].endswith(":3")
    marked = {e["version"]: e.get("yanked") for e in index(project, aws)}
    assert marked == {"1.0.0": None, "1.1.0": None, "1.2.0": "loses data"}
    assert move(project, "promote", "alpha", "1.2.0") == 9
    assert move(project, "yank", "alpha", "1.2.0", "--undo") == 0
    assert move(project, "promote", "alpha", "1.2.0") == 0
    assert latest(project) == "3"


def test_rolling_back_the_only_version_says_so(aws: AwsServer, project: Project) -> None:
    project.write(LayerSpec(regions=TWO))
    assert project.apply("--no-canary").code == 0
    place = ("--config", str(project.root / "layers.yaml"))

    result = project.run("rollback", "alpha", *place, "--yes", "--json")

    assert result.code == 9
    assert [(one["region"], one["found"]) for one in result.json["findings"]] == [
        (region, "latest is 1.0.0") for region in TWO
    ]
    assert latest(project) == "1"


def test_a_pointer_is_not_moved_without_a_yes(aws: AwsServer, three_releases: Project) -> None:
    result = three_releases.run("rollback", "alpha", "--config", str(three_releases.root))

    assert result.code == 9
    assert "pass --yes" in result.err
    assert latest(three_releases) == "3"


def test_what_was_moved_before_credentials_expired_is_told(
    aws: AwsServer, three_releases: Project
) -> None:
    expired = {"kind": "error", "status": 403, "code": "ExpiredTokenException"}
    aws.faults({**expired, "action": "PutParameter", "region": TWO[1]})

    ended = three_releases.run(
        "promote", "alpha", "1.0.0", "--yes", "--json", *three_releases.places[:2]
    )

    assert ended.code == 9
    assert [latest_of(aws, region) for region in TWO] == ["1", "3"]
    assert [line.split()[0] for line in ended.err.splitlines() if "-> 1.0.0" in line] == [TWO[0]]


def test_an_index_that_could_not_be_written_is_said_and_written_by_the_next_run(
    aws: AwsServer, three_releases: Project
) -> None:
    project = three_releases
    denied = {"kind": "error", "action": "PUT index/.*", "status": 403, "code": "AccessDenied"}

    for verb in (["rollback", "alpha", "--yes"], ["gc", "--keep", "1", "--days", "0", "--apply"]):
        aws.faults(denied)
        before = index(project, aws)
        words = [*verb, "--config", str(project.root), "--json"]
        unwritten = project.run(*words)
        assert unwritten.code == 9
        [stale] = unwritten.json["quarantined"]
        assert stale["reason"].startswith("the index: eu-west-1: s3:PutObject failed")
        assert index(project, aws) == before

        aws.faults()
        assert project.run(*words).code == 0
        assert index(project, aws) != before


def test_a_damaged_index_keeps_nobody_from_moving_pointers_and_names_its_way_out(
    aws: AwsServer, three_releases: Project
) -> None:
    project = three_releases
    s3, bucket = aws.client("s3", "eu-west-1"), "layersmith-123456789012-eu-west-1"
    s3.put_object(Bucket=bucket, Key="index/layers.json", Body=b"{ half")

    back = project.run("promote", "alpha", "1.1.0", "--yes", "--json", *project.places[:2])
    project.write(LayerSpec(version="1.3.0", regions=TWO))
    published_ = project.apply("--index", str(project.root / "index.json"))

    assert [latest_of(aws, region) for region in TWO] == ["4", "4"]
    assert (back.code, len(back.json["moves"])) == (9, 2)
    assert (published_.code, bool(published_.json["done"])) == (9, True)
    for done in (back, published_):
        [stale] = done.json["quarantined"]
        assert "the index: the index cannot be read" in stale["reason"]
        assert f"s3://{bucket}/index/layers.json, or delete it" in stale["hint"]
    s3.delete_object(Bucket=bucket, Key="index/layers.json")
    assert project.apply().code == 0
    assert {entry["version"] for entry in index(project, aws)} >= {"1.2.0", "1.3.0"}


def test_the_index_gives_arns_without_credentials(
    aws: AwsServer, three_releases: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    project, path = three_releases, three_releases.root / "index.json"
    assert project.apply("--index", str(path)).code == 0
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    calls = len(aws.calls())

    found = project.run("arn", "alpha", "--region", "us-east-1", "--index", str(path))
    older = project.run(
        "arn", "alpha", "--region", "us-east-1", "--index", str(path), "--version", "1.0.0"
    )
    table = project.root / "arns.csv"
    made = project.run("arn", "--index", str(path), "--csv", str(table))

    assert found.out.endswith(":alpha-python3-13-arm64:3\n")
    assert older.out.endswith(":alpha-python3-13-arm64:1\n")
    assert made.code == 0
    rows = list(csv.DictReader(table.open(encoding="utf-8")))
    assert [(row["version"], row["region"], row["state"]) for row in rows][:3] == [
        ("1.2.0", "eu-west-1", "latest"),
        ("1.2.0", "us-east-1", "latest"),
        ("1.1.0", "eu-west-1", ""),
    ]
    assert len(rows) == 6
    assert len(aws.calls()) == calls


def test_an_arn_that_is_not_there_says_what_is(aws: AwsServer, three_releases: Project) -> None:
    wrong = three_releases.run("arn", "alpha", "--region", "eu-west-1", "--version", "2.0.0")

    assert wrong.code == 9
    assert "published there: 1.0.0, 1.1.0, 1.2.0" in wrong.err


def test_no_promote_publishes_and_leaves_latest(aws: AwsServer, three_releases: Project) -> None:
    project = three_releases
    project.write(LayerSpec(version="1.3.0", regions=TWO, source="VALUE = 9\n"))

    assert project.apply("--no-promote").code == 0

    assert latest(project) == "3"
    assert move(project, "promote", "alpha", "1.3.0") == 0
    assert latest(project) == "4"


def test_a_pre_release_never_becomes_latest_unasked_and_holds_back_no_hotfix(
    aws: AwsServer, project: Project
) -> None:
    def apply(version: str, *options: str) -> str:
        source = f"VALUE = {version!r}\n"
        project.write(LayerSpec(version=version, regions=TWO[:1], source=source))
        done = project.apply("--no-canary", *options)
        assert done.code == 0, done.err
        assert project.verify().code == 0
        known = project.run("arn", "alpha", "--region", TWO[0])
        return known.out.strip().rpartition(":")[2] if known.code == 0 else ""

    numbers = [apply("1.0.0-rc.1"), apply("1.0.0"), apply("1.1.0-rc.1")]
    assert numbers == ["", "2", "2"]
    assert move(project, "promote", "alpha", "1.1.0-rc.1") == 9
    assert move(project, "promote", "alpha", "1.1.0-rc.1", "--pre") == 0
    assert apply("1.0.1") == "4"
    assert apply("1.1.0-rc.2", "--pre") == "5"
    assert move(project, "rollback", "alpha") == 0
    assert latest(project) == "4"

"""gc deletes what nothing needs, and nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.ship.releases import LayerSpec, published
from tests.support import zips

if TYPE_CHECKING:
    from tests.integration.ship.conftest import AwsServer, Project, Snapshot

REGION = ("eu-west-1",)
NAME = "alpha-python3-13-arm64"
ARN = f"arn:aws:lambda:eu-west-1:123456789012:layer:{NAME}"


def function_zip() -> bytes:
    return zips.content({"main.py": "def handler(event, context): return event\n"})


@pytest.fixture
def five_releases(aws: AwsServer, project: Project) -> Project:
    project.write(LayerSpec(version="1.4.0", regions=REGION))
    published(aws, REGION[0], "alpha", [f"1.{number}.0" for number in range(5)])
    return project


def gc(project: Project, *options: str) -> dict[int, str]:
    """Return integer version -> why it stays."""
    result = project.run(
        "gc", "--config", str(project.root), "--json", "--keep", "1", "--days", "0", *options
    )
    assert result.code == 0, result.err
    return {one["number"]: one["kept"] for one in result.json["versions"]}


def held(state: dict[str, Any]) -> list[int]:
    return sorted(version["number"] for version in state["eu-west-1"]["layers"][NAME])


def use(aws: AwsServer, number: int, name: str = "resize", **options: Any) -> dict[str, Any]:
    answer: dict[str, Any] = aws.client("lambda", "eu-west-1").create_function(
        FunctionName=name,
        Runtime="python3.13",
        Role="arn:aws:iam::123456789012:role/layersmith-canary",
        Handler="main.handler",
        Code={"ZipFile": function_zip()},
        Layers=[f"{ARN}:{number}"],
        **options,
    )
    return answer


def test_nothing_is_deleted_unless_told(
    aws: AwsServer, five_releases: Project, snapshot: Snapshot
) -> None:
    judged = gc(five_releases)

    assert [number for number, kept in judged.items() if not kept] == [1, 2, 3, 4]
    assert held(snapshot(REGION)) == [1, 2, 3, 4, 5]


def test_old_versions_go_with_their_pointers(
    aws: AwsServer, five_releases: Project, snapshot: Snapshot
) -> None:
    gc(five_releases, "--apply", "--keep", "2")

    state = snapshot(REGION)
    assert held(state) == [4, 5]
    names = {name.rpartition("/")[2] for name in state["eu-west-1"]["parameters"]}
    assert names == {"1.3.0", "1.4.0", "latest"}


def test_what_a_function_a_version_or_an_alias_uses_stays(
    aws: AwsServer, five_releases: Project, snapshot: Snapshot
) -> None:
    client = aws.client("lambda", "eu-west-1")
    use(aws, 1)
    use(aws, 2, "shrink", Publish=True)
    client.create_alias(FunctionName="shrink", Name="live", FunctionVersion="1")
    # The present code uses a newer layer; version 1, which the alias names, does not.
    client.update_function_configuration(FunctionName="shrink", Layers=[f"{ARN}:5"])

    judged = gc(five_releases, "--apply")

    assert "used by resize:$LATEST" in judged[1]
    assert "shrink:1 (alias live)" in judged[2]
    assert held(snapshot(REGION)) == [1, 2, 5]


def test_what_was_deleted_before_credentials_expired_is_told(
    aws: AwsServer, five_releases: Project, snapshot: Snapshot
) -> None:
    expired = {"kind": "error", "status": 403, "code": "ExpiredTokenException"}
    aws.faults({**expired, "action": "DeleteLayerVersion", "after": 1})
    words = ("gc", "--config", str(five_releases.root), "--keep", "1", "--days", "0", "--apply")

    ended = five_releases.run(*words)

    assert (ended.code, held(snapshot(REGION))) == (9, [2, 3, 4, 5])
    told = [line.split() for line in ended.err.splitlines() if "deleted" in line]
    assert told == [["eu-west-1", f"{NAME}:", "deleted", "1", "(1.0.0)"]]


def test_young_versions_stay(aws: AwsServer, five_releases: Project) -> None:
    judged = gc(five_releases, "--days", "30")

    assert judged[1] == "only 0 days old"


def test_a_yanked_version_goes_first_and_its_mark_with_it(
    aws: AwsServer, five_releases: Project, snapshot: Snapshot
) -> None:
    place = ("--config", str(five_releases.root), "--yes")
    yanked = five_releases.run("yank", "alpha", "1.2.0", "--reason", "wrong", *place)
    assert yanked.code == 0

    gc(five_releases, "--apply", "--days", "30", "--keep", "1")

    state = snapshot(REGION)
    assert held(state) == [1, 2, 4, 5]
    assert not any("1.2.0" in name for name in state["eu-west-1"]["parameters"])


def test_a_region_whose_functions_cannot_be_read_keeps_everything(
    aws: AwsServer, five_releases: Project, snapshot: Snapshot
) -> None:
    denied = {"status": 403, "code": "AccessDeniedException", "message": "not allowed"}
    aws.faults({"kind": "error", "service": "lambda", "action": "GetFunctions", **denied})
    place = ("--config", str(five_releases.root))

    result = five_releases.run("gc", *place, "--json", "--apply", "--keep", "1", "--days", "0")

    assert result.code == 9
    assert "lambda:ListFunctions" in result.json["quarantined"][0]["reason"]
    aws.faults()
    assert held(snapshot(REGION)) == [1, 2, 3, 4, 5]

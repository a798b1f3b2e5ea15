"""cost reads the meters of the accounts and multiplies by the prices."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.ship.releases import LayerSpec, published

if TYPE_CHECKING:
    from tests.integration.ship.conftest import AwsServer, Project, Result

TWO = ("eu-west-1", "us-east-1")


@pytest.fixture
def layers(aws: AwsServer, project: Project) -> Project:
    """A version in two regions, and a bucket that holds nothing yet."""
    project.write(LayerSpec(regions=TWO))
    for region in TWO:
        published(aws, region, "alpha", ["1.0.0"])
    return project


def cost(project: Project, *options: str) -> Result:
    return project.run("cost", "--config", str(project.root / "layers.yaml"), "--json", *options)


def test_stored_bytes_are_those_of_the_zips(aws: AwsServer, project: Project) -> None:
    project.write(LayerSpec(regions=TWO, size=200_000))
    assert project.apply("--no-canary").code == 0
    size = next((project.root / "dist").glob("*.zip")).stat().st_size

    result = cost(project)

    assert result.code == 0, result.err
    assert result.json["layer_bytes"] == {"eu-west-1": size, "us-east-1": size}
    assert result.json["quota"]["eu-west-1"] == pytest.approx(size / (300 * 1024**3), abs=1e-6)
    storage = [i for i in result.json["items"] if i["key"] == "s3-storage-gb-month"]
    assert storage[0]["quantity"] > size / 1e9
    assert result.json["total"] == pytest.approx(
        sum(i["cost"] for i in result.json["items"]), abs=1e-6
    )


def test_build_minutes_come_from_the_workflow_run(layers: Project) -> None:
    jobs = layers.root / "jobs.json"
    job = {"started_at": "2026-11-21T20:00:00Z", "completed_at": "2026-11-21T20:02:01Z"}
    runs = [{**job, "labels": ["ubuntu-24.04-arm"]}, {**job, "labels": ["ubuntu-24.04"]}]
    jobs.write_text(json.dumps({"jobs": runs}), encoding="utf-8")

    items = {i["key"]: i for i in cost(layers, "--run-jobs", str(jobs)).json["items"]}

    assert items["github-linux-arm64-minute"]["quantity"] == 3
    assert items["github-linux-arm64-minute"]["cost"] == pytest.approx(3 * 0.005)
    assert items["github-linux-x64-minute"]["cost"] == pytest.approx(3 * 0.006)


def test_prices_can_be_overridden(layers: Project) -> None:
    mine = layers.root / "mine.json"
    mine.write_text('{"github-linux-arm64-minute": 1000.0}', encoding="utf-8")

    jobs = layers.root / "jobs.json"
    job = {"started_at": "2026-11-21T20:00:00Z", "completed_at": "2026-11-21T20:00:01Z"}
    jobs.write_text(json.dumps({"jobs": [{**job, "labels": ["arm"]}]}), encoding="utf-8")

    result = cost(layers, "--prices", str(mine), "--run-jobs", str(jobs), "--fail", "1")

    assert result.code == 7
    assert "USD per month is over 1.00" in result.err
    mine.write_text('{"s3-gut-1000": 1}', encoding="utf-8")
    assert cost(layers, "--prices", str(mine)).code == 2


def test_a_full_quota_warns_and_fails(layers: Project) -> None:
    assert cost(layers, "--quota-warn", "0", "--quota-fail", "1").code == 0
    assert "code storage quota" in cost(layers, "--quota-warn", "0").err
    assert cost(layers, "--quota-fail", "0").code == 7


def test_the_history_has_one_line_a_day(aws: AwsServer, layers: Project) -> None:
    out = layers.root / "history.jsonl"
    for _ in range(2):
        assert cost(layers, "--append", "--history-out", str(out)).code == 0

    lines: list[dict[str, Any]] = [json.loads(line) for line in out.read_text().splitlines()]
    assert len(lines) == 1
    body = aws.client("s3", "eu-west-1").get_object(
        Bucket="layersmith-123456789012-eu-west-1", Key="cost/history.jsonl"
    )["Body"]
    assert body.read().decode() == out.read_text(encoding="utf-8")


def test_a_region_that_cannot_be_read_is_named_and_takes_nothing_from_the_history(
    aws: AwsServer, layers: Project
) -> None:
    out = layers.root / "history.jsonl"
    keep = ("--append", "--history-out", str(out))
    denied = {"kind": "error", "status": 403, "code": "AccessDeniedException"}
    down = {**denied, "region": TWO[1], "service": "lambda"}

    aws.faults(down)
    partial = cost(layers, *keep)
    first = json.loads(out.read_text("utf-8"))
    aws.faults()
    assert cost(layers, *keep).code == 0
    whole = out.read_text("utf-8")
    aws.faults(down)
    assert cost(layers, *keep).code == 9

    assert partial.code == 9
    assert [one["region"] for one in partial.json["quarantined"]] == [TWO[1]]
    assert (first["unread"], set(first["layer_bytes"])) == ([TWO[1]], {TWO[0]})
    assert out.read_text("utf-8") == whole
    assert set(json.loads(whole)["layer_bytes"]) == set(TWO)
    assert "unread" not in json.loads(whole)


def test_a_history_that_cannot_be_written_hides_neither_the_bill_nor_an_alarm(
    aws: AwsServer, layers: Project
) -> None:
    denied = {"kind": "error", "status": 403, "code": "AccessDenied", "action": "PUT cost.*"}
    aws.faults(denied)

    unkept = cost(layers, "--append", "--quota-fail", "0")

    assert unkept.code == 9
    assert set(unkept.json["layer_bytes"]) == set(TWO)
    assert "code storage quota" in unkept.json["alarms"][0]
    assert "s3:PutObject failed" in unkept.err


def test_state_machines_that_are_not_there_cost_nothing(layers: Project) -> None:
    result = cost(layers, "--sessions", "layersmith-prod")

    assert result.code == 0, result.err
    assert result.json["sessions"]["executions"] == 0

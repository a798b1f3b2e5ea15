"""A plan file pins bytes and accounts, and layers.yaml says which accounts there are."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

import pytest
import yaml

from tests.integration.ship.releases import LayerSpec

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.ship.conftest import AwsServer, Project

ONE = ("eu-west-1",)
OURS, OTHER = "123456789012", "210987654321"
AS_OTHER = ("--role", f"arn:aws:iam::{OTHER}:role/publisher", "--no-canary")


def allow(project: Project, *accounts: str) -> None:
    path = project.root / "layers.yaml"
    document = yaml.safe_load(path.read_text(encoding="utf-8")) | {"accounts": list(accounts)}
    path.write_text(yaml.safe_dump(document), encoding="utf-8")


@pytest.fixture
def plan(aws: AwsServer, project: Project) -> Path:
    """A plan of one layer for one region."""
    aws.client("iam", "us-east-1").create_account_alias(AccountAlias="acme-prod")
    project.write(LayerSpec(regions=ONE))
    path = project.root / "plan.json"
    assert project.plan("--out", str(path)).code == 0
    return path


def test_a_plan_names_the_account_and_every_zip(plan: Path, project: Project) -> None:
    said = json.loads(plan.read_text(encoding="utf-8"))
    content = (project.root / "dist" / "alpha-1.0.0-python3.13-arm64.zip").read_bytes()

    assert said["accounts"] == [{"partition": "aws", "account": OURS, "alias": "acme-prod"}]
    assert {name: one["sha256"] for name, one in said["artifacts"].items()} == {
        "alpha-python3.13-arm64": hashlib.sha256(content).hexdigest()
    }
    assert project.apply("--plan", str(plan)).code == 0


def test_zips_other_than_the_plans_are_refused(
    aws: AwsServer, plan: Path, project: Project
) -> None:
    project.write(LayerSpec(regions=ONE, source="VALUE = 2\n"))

    refused = project.apply("--plan", str(plan))

    assert refused.code == 9
    assert "alpha-python3.13-arm64: the zips are not those of plan.json" in refused.err
    assert aws.calls("PublishLayerVersion") == []


def test_targets_that_the_plan_has_and_the_run_has_not_are_refused(
    aws: AwsServer, project: Project
) -> None:
    project.write(LayerSpec(regions=ONE), LayerSpec("beta", regions=ONE))
    path = project.root / "plan.json"
    assert project.plan("--out", str(path)).code == 0

    refused = project.apply("--plan", str(path), "--layer", "alpha")

    assert refused.code == 9
    assert "beta-python3.13-arm64: the zips are not those of plan.json" in refused.err


def test_another_account_than_the_plans_is_refused(
    aws: AwsServer, plan: Path, project: Project
) -> None:
    refused = project.apply("--plan", str(plan), *AS_OTHER)

    assert refused.code == 9
    assert f"is for account {OURS} (aws); this run is for {OTHER} (aws)" in refused.err
    assert aws.calls("PublishLayerVersion") == []


def test_a_plan_of_an_older_format_is_refused(plan: Path, project: Project) -> None:
    plan.write_text('{"format": 1, "actions": []}', encoding="utf-8")

    refused = project.apply("--plan", str(plan))

    assert refused.code == 9
    assert "another version of layersmith" in refused.err


@pytest.mark.parametrize(
    "argv",
    [
        ("publish", "apply", "--yes"),
        ("publish", "plan"),
        ("verify",),
        ("promote", "alpha", "1.0.0", "--yes"),
        ("rollback", "alpha", "--yes"),
        ("yank", "alpha", "1.0.0", "--reason", "wrong", "--yes"),
        ("gc", "--apply", "--days", "0", "--keep", "1"),
        ("cost", "--append"),
    ],
    ids=lambda argv: " ".join(argv[:2]),
)
def test_accounts_of_layers_yaml_are_an_allow_list(
    argv: tuple[str, ...], aws: AwsServer, project: Project
) -> None:
    project.write(LayerSpec(regions=ONE))
    allow(project, OTHER)
    places = project.places if argv[0] in {"publish", "verify"} else project.places[:2]

    refused = project.run(*argv, *places)

    assert refused.code == 9
    assert f"account {OURS} is not in `accounts` of layers.yaml: {OTHER}" in refused.err
    assert {call["service"] for call in aws.calls()} <= {"sts", "iam"}


def test_an_account_of_the_list_is_published_to(aws: AwsServer, project: Project) -> None:
    project.write(LayerSpec(regions=ONE))
    allow(project, OTHER)

    assert project.apply(*AS_OTHER).code == 0


@pytest.mark.parametrize("denied", [False, True])
def test_plans_confirmations_and_summaries_name_the_account(
    denied: bool, aws: AwsServer, plan: Path, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def decline(question: str) -> bool:
        asked.append(question)
        return False

    monkeypatch.setattr("layersmith.console.confirm", decline)
    if denied:
        aws.faults({"kind": "error", "service": "iam", "code": "AccessDenied", "status": 403})
    named = f"account {OURS}" if denied else f"account {OURS} (acme-prod)"
    where = project.places[:2]

    planned = project.run("publish", "plan", *project.places)
    declined = project.run("publish", "apply", *project.places)
    applied = project.apply("--no-canary")
    again = project.apply("--plan", str(plan))
    verified = project.run("verify", *project.places)
    yanked = project.run("yank", "alpha", "1.0.0", "--reason", "wrong", *where)
    dry = project.run("yank", "alpha", "1.0.0", "--reason", "wrong", "--dry-run", *where)
    judged = project.run("gc", *where)

    assert [planned.code, declined.code, applied.code, again.code] == [0, 9, 0, 9]
    assert [verified.code, yanked.code, dry.code, judged.code] == [0, 9, 0, 0]
    for said in (planned, applied, verified, dry, judged):
        assert named in said.err
    assert applied.json["accounts"][0]["account"] == OURS
    assert [question.partition("? ")[0] for question in asked] == [
        f"Do these 7 steps in {named}",
        f"Do these 2 steps in {named}",
    ]

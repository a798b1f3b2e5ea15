"""Answers that are not AWS's, waits that servers ask for, and configurations of a user."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest

from tests.integration.ship.releases import LayerSpec

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.ship.conftest import AwsServer, Project

ONE = ("eu-west-1",)
ONCE = ("--max-attempts", "1")
VERBS: dict[str, list[str]] = {
    "plan": ["publish", "plan"],
    "apply": ["publish", "apply", "--yes", "--no-canary"],
    "verify": ["verify"],
    "rollback": ["rollback", "alpha", "--yes"],
    "yank": ["yank", "alpha", "1.0.0", "--reason", "wrong", "--yes"],
    "gc": ["gc", "--apply", "--days", "0", "--keep", "1"],
    "arn": ["arn", "alpha", "--region", "eu-west-1"],
    "cost": ["cost", "--append"],
}
KEYS = "[default]\naws_access_key_id = a\naws_secret_access_key = b\n"


def places(project: Project, verb: str) -> list[str]:
    return project.places if verb in {"plan", "apply", "verify"} else project.places[:2]


@pytest.mark.parametrize("status", [200, 407])
@pytest.mark.parametrize("service", ["sts", "lambda", "s3", "ssm"])
def test_pages_of_a_proxy_are_errors_and_no_tracebacks(
    service: str, status: int, aws: AwsServer, project: Project
) -> None:
    for version in ("1.0.0", "1.1.0"):
        project.write(LayerSpec(regions=ONE, version=version))
        assert project.apply("--no-canary").code == 0
    project.write(LayerSpec(regions=ONE, version="1.2.0"))
    aws.faults({"kind": "page", "service": service, "status": status})

    results = {
        name: project.run(*argv, *places(project, name), *ONCE) for name, argv in VERBS.items()
    }

    unaffected = {"s3": {"arn"}, "lambda": {"rollback", "yank", "arn"}, "ssm": {"cost"}}
    codes = {name: result.code for name, result in results.items()}
    assert codes == {name: 0 if name in unaffected.get(service, ()) else 9 for name in VERBS}
    if status == 200:
        said = " ".join(results["plan"].err.split())
        assert f"{service} answered what AWS does not" in said
        assert "a proxy, a firewall" in said
        assert service == "sts" or "1 region could not be read" in said


@pytest.mark.parametrize("action", ["PublishLayerVersion", ".*"])
def test_a_page_in_the_middle_of_an_apply_leaves_out_the_region_alone(
    action: str, aws: AwsServer, project: Project
) -> None:
    project.write(LayerSpec(regions=(*ONE, "us-east-1")))
    fault = {"kind": "page", "service": "lambda", "action": action, "region": ONE[0]}
    aws.faults({**fault, "status": 200})

    first = project.apply("--no-canary", *ONCE)

    assert first.code == 9
    assert [one["region"] for one in first.json["quarantined"]] == list(ONE)
    aws.faults()
    assert project.apply("--no-canary").code == 0
    assert project.verify().code == 0


@pytest.mark.parametrize(
    ("service", "status"), [("lambda", 429), ("s3", 503), ("ssm", 429), ("sts", 503)]
)
def test_a_retry_after_is_waited_for(
    service: str, status: int, aws: AwsServer, project: Project
) -> None:
    project.write(LayerSpec(regions=ONE))
    fault = {"kind": "error", "service": service, "times": 1, "code": "Other", "status": status}
    aws.faults({**fault, "headers": {"Retry-After": "2"}})

    assert project.plan().code == 0

    calls = [one for one in aws.calls() if one["service"] == service]
    refused, again = next(
        (one, two) for one, two in itertools.pairwise(calls) if one["status"] == status
    )
    # botocore waits for one second at most before the second attempt.
    assert again["at"] - refused["at"] >= 2


def test_a_server_that_asks_for_an_hour_is_not_asked_again(
    aws: AwsServer, project: Project
) -> None:
    project.write(LayerSpec(regions=(*ONE, "us-east-1")))
    fault = {"kind": "error", "service": "lambda", "region": ONE[0], "status": 503}
    aws.faults({**fault, "headers": {"Retry-After": "3600"}})

    planned = project.plan()

    assert planned.code == 9
    (left_out,) = planned.json["quarantined"]
    assert left_out["region"] == ONE[0]
    assert "lambda asks to wait 3600 s (Retry-After)" in left_out["reason"]
    assert len(aws.calls("ListLayerVersions", ONE[0])) == 1


CONFIGURATIONS: dict[str, tuple[str, dict[str, str], str]] = {
    "a missing profile": (KEYS, {"AWS_PROFILE": "nope"}, "profile (nope) could not be found"),
    "no section": ("region = x\n", {}, "Unable to parse config file"),
    "a cut section": ("[default\n", {}, "Unable to parse config file"),
    "not UTF-8": ("[default]\n# caf\xe9\n", {}, "Unable to parse config file"),
    "no URL": (KEYS + "endpoint_url = nonsense\n", {}, "Invalid endpoint: nonsense"),
    "no JSON": ("[default]\ncredential_process = echo <html>\n", {}, "cannot be used"),
    "no quote": ('[default]\ncredential_process = "x\n', {}, "No closing quotation"),
    "a list": ("[default]\ncredential_process = echo []\n", {}, "has no attribute 'get'"),
    "a text for a section": (KEYS + "api_versions = x\n", {}, "AWS configuration cannot"),
}


@pytest.mark.parametrize("case", CONFIGURATIONS)
@pytest.mark.parametrize("verb", ["plan", "arn"])
def test_configurations_that_cannot_be_used_are_one_error(
    verb: str, case: str, aws: AwsServer, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    text, environment, said = CONFIGURATIONS[case]
    project.write(LayerSpec(regions=ONE))
    configured(project.root, text, monkeypatch)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    if "endpoint_url" in text:
        monkeypatch.delenv("AWS_ENDPOINT_URL")

    refused = project.run(*VERBS[verb], *places(project, verb))

    assert refused.code == 9
    assert said in refused.err
    assert "next: " in refused.err
    assert aws.calls() == []


def configured(folder: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = folder / "aws-config"
    path.write_bytes(text.encode("latin-1"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(path))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(folder / "none"))
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")


def test_parameters_of_others_below_a_target_are_left_alone_and_named(
    aws: AwsServer, project: Project
) -> None:
    for version in ("1.0.0", "1.1.0"):
        project.write(LayerSpec(regions=ONE, version=version))
        assert project.apply("--no-canary").code == 0
    folder, ssm = "/layers/alpha/python3.13/arm64", aws.client("ssm", ONE[0])
    foreign = {
        "notes": "ours",
        "1.2": "arn:aws:lambda:eu-west-1:123456789012:layer:alpha-python3-13-arm64:1",
        "1.0.5": "to be done",
        "1.0.0/owner": "team",
        "yanked/all": "no",
    }
    for name, value in foreign.items():
        ssm.put_parameter(Name=f"{folder}/{name}", Value=value, Type="String")

    verified = project.verify()
    rolled = project.run("rollback", "alpha", "--yes", *project.places[:2])
    rest = ("plan", "apply", "yank", "gc", "arn", "cost")
    codes = {name: project.run(*VERBS[name], *places(project, name)).code for name in rest}

    (finding,) = verified.json["findings"]
    assert (finding["field"], finding["found"]) == ("parameters", ", ".join(sorted(foreign)))
    assert rolled.code == 0
    assert "rollback to 1.0.0" in rolled.err
    assert set(codes.values()) == {0}, codes
    left = ssm.get_parameters_by_path(Path=folder, Recursive=True)["Parameters"]
    assert {one["Name"].removeprefix(f"{folder}/") for one in left} >= foreign.keys()

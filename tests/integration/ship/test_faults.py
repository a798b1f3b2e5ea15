"""What goes wrong in AWS and on the way to it, and what is left afterwards."""

from __future__ import annotations

import signal
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.ship.releases import LayerSpec
from tests.support import cli, clocks

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.integration.ship.conftest import AwsServer, Project, Runner, Snapshot

THREE = ("eu-west-1", "us-east-1", "sa-east-1")
NAME = "alpha-python3-13-arm64"
FEW = ("--max-attempts", "2")


def numbers(state: dict[str, Any], name: str = NAME) -> dict[str, list[int]]:
    """Return region -> integer versions of a layer."""
    return {
        region: sorted(version["number"] for version in has["layers"].get(name, []))
        for region, has in state.items()
    }


UNBROKEN: dict[str, Any] = {}
"""Filled by the first test that compares with it: the same layer leaves the same state."""


@pytest.fixture
def unbroken(aws: AwsServer, project: Project, snapshot: Snapshot) -> dict[str, Any]:
    """What an apply without faults leaves in three regions."""
    project.write(LayerSpec(regions=THREE, align=True))
    if not UNBROKEN:
        assert project.apply().code == 0
        UNBROKEN.update(snapshot(THREE))
        aws.reset()
    return UNBROKEN


THROTTLED = {
    "lambda": {"code": "TooManyRequestsException", "status": 429},
    "ssm": {"code": "ThrottlingException", "status": 400},
    "s3": {"code": "SlowDown", "status": 503},
}


def test_a_throttled_call_is_tried_again(aws: AwsServer, project: Project) -> None:
    project.write(LayerSpec(regions=THREE[:1]))
    fault = {"kind": "error", "service": "lambda", "action": "PublishLayerVersion", "times": 1}
    aws.faults({**fault, **THROTTLED["lambda"]})

    assert project.apply().code == 0

    assert [call["status"] for call in aws.calls("PublishLayerVersion")] == [429, 201]


@pytest.mark.exhaustive  # botocore's adaptive mode slows down, as it should
def test_one_call_in_five_throttled(
    aws: AwsServer, project: Project, snapshot: Snapshot, unbroken: dict[str, Any]
) -> None:
    aws.faults(
        *({"kind": "error", "service": s, "every": 5, **how} for s, how in THROTTLED.items())
    )

    done = project.apply()

    assert done.code == 0, done.err
    assert snapshot(THREE) == unbroken
    assert len([call for call in aws.calls() if call["status"] in {400, 429, 503}]) > 20


@pytest.mark.parametrize("down", ["eu-west-1", "sa-east-1"], ids=["the pilot", "another"])
def test_a_region_that_answers_500_is_left_out_and_catches_up(
    down: str, aws: AwsServer, project: Project, snapshot: Snapshot, unbroken: dict[str, Any]
) -> None:
    aws.faults({"kind": "error", "region": down, "status": 500, "code": "InternalError"})

    first = project.apply(*FEW)

    assert first.code == 9
    assert [one["region"] for one in first.json["quarantined"]] == [down]
    aws.faults()
    after = snapshot(THREE)
    assert after[down]["layers"] == {}
    rest = [region for region in THREE if region != down]
    assert {r: after[r]["layers"] for r in rest} == {r: unbroken[r]["layers"] for r in rest}

    assert project.apply().code == 0
    caught_up = snapshot(THREE)
    for region in THREE:
        assert caught_up[region]["layers"] == unbroken[region]["layers"]
        assert caught_up[region]["parameters"] == unbroken[region]["parameters"]
    assert project.verify().code == 0


NOT_ENABLED = (
    {"service": "sts", "status": 403, "code": "InvalidClientTokenId"},
    {"service": "lambda", "status": 403, "code": "UnrecognizedClientException"},
)
"""What a region answers that the account has not enabled, whatever the credentials: STS's endpoint
cannot be activated there either (IAM user guide, id_credentials_temp_enable-regions)."""


def test_a_region_that_is_not_enabled_is_left_out_though_it_is_asked_first(
    aws: AwsServer, project: Project, snapshot: Snapshot
) -> None:
    project.write(LayerSpec(regions=("af-south-1", "eu-west-1")))
    aws.faults(*({"kind": "error", "region": "af-south-1", **how} for how in NOT_ENABLED))

    done = project.apply(*FEW)

    assert done.code == 9
    (left_out,) = done.json["quarantined"]
    assert left_out["region"] == "af-south-1"
    assert "not enabled for this account" in left_out["reason"]
    assert numbers(snapshot(("eu-west-1",))) == {"eu-west-1": [1]}


def test_credentials_that_no_region_takes_end_the_run_after_two_questions(
    aws: AwsServer, project: Project
) -> None:
    project.write(LayerSpec(regions=("af-south-1", "ap-east-1", "eu-west-1")))
    aws.faults({"kind": "error", **NOT_ENABLED[0]})

    done = project.apply(*FEW)

    assert done.code == 9
    assert "AWS refuses the credentials (InvalidClientTokenId)" in done.err
    assert [call["region"] for call in aws.calls()] == ["af-south-1", "us-east-1"]


def test_two_applies_at_once(
    aws: AwsServer,
    project: Project,
    snapshot: Snapshot,
    unbroken: dict[str, Any],
    runners: Callable[[], Runner],
) -> None:
    both = [runners(), runners()]
    # Slow publishing makes sure that the two runs meet.
    aws.faults({"kind": "delay", "action": "PublishLayerVersion", "seconds": 0.3})
    for runner in both:
        runner.start("publish", "apply", "--yes", "--json", *project.places)

    results = [runner.result() for runner in both]

    assert [result.code for result in results] == [0, 0], [result.err for result in results]
    assert snapshot(THREE) == unbroken
    assert len(aws.calls("PublishLayerVersion")) == len(THREE)


def test_a_number_taken_between_plan_and_apply(
    aws: AwsServer, project: Project, snapshot: Snapshot
) -> None:
    project.write(LayerSpec(regions=THREE, align=True))
    plan = project.root / "plan.json"
    assert project.plan("--out", str(plan)).code == 0
    aws.client("lambda", "us-east-1").publish_layer_version(
        LayerName=NAME, Content={"ZipFile": b"PK\x05\x06" + b"\0" * 18}
    )

    refused = project.apply("--plan", str(plan))
    assert refused.code == 9
    assert "the accounts have changed since" in refused.err
    assert not any(has["layers"].get(f"{NAME}-") for has in snapshot(THREE).values())

    assert project.apply().code == 0
    assert numbers(snapshot(THREE)) == {"eu-west-1": [2], "us-east-1": [1, 2], "sa-east-1": [2]}


def test_a_number_taken_during_an_apply(
    aws: AwsServer, project: Project, snapshot: Snapshot
) -> None:
    project.write(LayerSpec(regions=THREE, align=True))
    aws.faults(
        {"kind": "intrude", "region": "sa-east-1", "action": "PublishLayerVersion", "times": 1}
    )

    done = project.apply()

    assert done.code == 9
    findings = done.json["findings"]
    assert [(f["region"], f["field"], f["expected"], f["found"]) for f in findings] == [
        ("sa-east-1", "number", "1", "2")
    ]
    assert project.verify().code == 9
    before = snapshot(THREE)
    assert project.apply().code == 9
    assert snapshot(THREE) == before

    project.write(LayerSpec(regions=THREE, align=True, version="1.0.1"))
    assert project.apply().code == 0
    assert numbers(snapshot(THREE)) == {
        "eu-west-1": [1, 3],
        "us-east-1": [1, 3],
        "sa-east-1": [1, 2, 3],
    }


@pytest.mark.parametrize(
    "denied",
    [
        "lambda:PublishLayerVersion",
        pytest.param("lambda:AddLayerVersionPermission", marks=pytest.mark.exhaustive),
        pytest.param("lambda:PostFunctions", marks=pytest.mark.exhaustive),
        "ssm:PutParameter",
        "s3:PUT bucket.*",
    ],
)
def test_permission_denied_on_one_action(
    denied: str,
    aws: AwsServer,
    project: Project,
    snapshot: Snapshot,
    unbroken: dict[str, Any],
) -> None:
    service, action = denied.split(":")
    fault = {"kind": "error", "service": service, "action": action, "region": "us-east-1"}
    aws.faults({**fault, "status": 403, "code": "AccessDenied", "message": "not allowed"})

    first = project.apply(*FEW)

    assert first.code == 9
    (left_out,) = first.json["quarantined"]
    assert left_out["region"] == "us-east-1"
    assert f"{service}:" in left_out["reason"]
    assert "not allowed" in left_out["reason"]
    aws.faults()
    assert project.apply().code == 0
    assert snapshot(THREE) == unbroken


def test_an_upload_damaged_once_is_sent_again(
    aws: AwsServer, project: Project, snapshot: Snapshot
) -> None:
    project.write(LayerSpec(regions=THREE[:1]))
    aws.faults({"kind": "corrupt", "action": "PublishLayerVersion", "times": 1})

    assert project.apply().code == 0

    state = snapshot(THREE[:1])
    assert numbers(state) == {"eu-west-1": [2]}
    assert project.verify().code == 0


def test_an_upload_damaged_twice_leaves_nothing_published(
    aws: AwsServer, project: Project, snapshot: Snapshot
) -> None:
    project.write(LayerSpec(regions=THREE))
    aws.faults({"kind": "corrupt", "action": "PublishLayerVersion"})

    damaged = project.apply()

    assert damaged.code == 9
    assert "arrived damaged" in damaged.json["findings"][0]["found"]
    state = snapshot(THREE)
    assert numbers(state) == {region: [] for region in THREE}
    assert not any(has["parameters"] for has in state.values())


def test_an_upload_damaged_on_its_way_to_s3_is_refused(
    aws: AwsServer, project: Project, snapshot: Snapshot
) -> None:
    project.write(LayerSpec(regions=THREE, size=40_000))
    staging = {"service": "s3", "action": "PUT staging.*", "region": "us-east-1"}
    aws.faults({"kind": "corrupt", **staging})

    damaged = project.apply("--direct-limit", "20000", *FEW)

    assert damaged.code == 9
    assert "BadDigest" in damaged.json["quarantined"][0]["reason"]
    assert numbers(snapshot(THREE)) == {"eu-west-1": [1], "us-east-1": [], "sa-east-1": [1]}


def test_a_wrong_clock_is_said_in_one_line(aws: AwsServer, project: Project) -> None:
    project.write(LayerSpec())
    aws.post("/_test/skew", 3600)

    late = project.apply(*FEW)

    assert late.code == 9
    assert "the clock of this machine is more than 5 minutes off" in late.err
    assert "Traceback" not in late.err
    assert aws.calls("PublishLayerVersion") == []


def test_no_credentials_are_said_in_one_line(
    aws: AwsServer, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.write(LayerSpec())
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(project.root / "none"))

    absent = project.plan()

    assert absent.code == 9
    errors = [line for line in absent.err.splitlines() if line.startswith("error")]
    assert errors == ["error: AWS credentials cannot be used: Unable to locate credentials"]
    assert aws.calls() == []


def test_credentials_that_expire_during_a_run_end_it(
    aws: AwsServer,
    project: Project,
    snapshot: Snapshot,
    unbroken: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    summary = project.root / "summary.md"
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    expired = {"kind": "error", "status": 403, "code": "ExpiredTokenException"}
    aws.faults({**expired, "service": "lambda", "after": 12, "message": "The token has expired"})

    ended = project.apply(*FEW)

    assert ended.code == 9
    errors = [line for line in ended.err.splitlines() if line.startswith("error")]
    assert errors == [
        "error: AWS refuses the credentials (ExpiredTokenException): The token has expired"
    ]
    steps = [one["step"] for one in ended.json["done"]]
    assert "publish" in steps
    assert f"{len(steps)} steps done before the run ended" in ended.err
    assert "The run ended before it was through:** AWS refuses" in summary.read_text("utf-8")
    aws.faults()
    assert project.apply().code == 0
    assert snapshot(THREE) == unbroken


def test_what_the_index_lacks_is_said(aws: AwsServer, project: Project) -> None:
    project.write(LayerSpec(regions=THREE))
    assert project.apply().code == 0
    project.write(LayerSpec(version="1.0.1", regions=THREE))
    # The plan and the work read the pointers; the third time it is for the index.
    read = {"kind": "error", "action": "GetParametersByPath", "region": "us-east-1", "after": 2}
    aws.faults({**read, "status": 403, "code": "AccessDeniedException"})

    done = project.apply(*FEW)

    assert done.code == 9
    assert [(q["region"], q["reason"][:10]) for q in done.json["quarantined"]] == [
        ("us-east-1", "the index:")
    ]
    aws.faults()
    assert project.apply().code == 0


def test_a_region_that_is_not_enabled_is_named(aws: AwsServer, project: Project) -> None:
    project.write(LayerSpec(regions=THREE))
    fault = {"kind": "error", "service": "lambda", "region": "us-east-1", "status": 403}
    aws.faults({**fault, "code": "UnrecognizedClientException", "message": "invalid token"})

    done = project.apply(*FEW)

    (left_out,) = done.json["quarantined"]
    assert "not enabled for this account" in left_out["reason"]
    assert "take it out of `regions`" in left_out["hint"]


@pytest.mark.parametrize(
    ("layer", "said"),
    [
        (LayerSpec(regions=THREE, source="import missing_thing\n"), "No module named"),
        (
            LayerSpec(regions=THREE, smoke="def test_it():\n    assert 1 + 1 == 3, 'sum'\n"),
            "test_it: AssertionError: sum",
        ),
    ],
    ids=["import", "smoke test"],
)
def test_a_layer_that_does_not_start_stops_with_its_pilot(
    layer: LayerSpec, said: str, aws: AwsServer, project: Project, snapshot: Snapshot
) -> None:
    project.write(layer)

    broken = project.apply()

    assert broken.code == 9
    assert said in broken.json["findings"][0]["found"]
    state = snapshot(THREE)
    assert numbers(state) == {"eu-west-1": [1], "us-east-1": [], "sa-east-1": []}
    assert not any(has["parameters"] or has["functions"] for has in state.values())


def test_one_semver_never_gets_other_bytes(
    aws: AwsServer, project: Project, snapshot: Snapshot
) -> None:
    project.write(LayerSpec(regions=THREE[:1]))
    assert project.apply().code == 0
    project.write(LayerSpec(regions=THREE, source="VALUE = 2\n"))

    other = project.apply()

    assert other.code == 9
    assert other.json["done"] == []
    assert "bump the version" in other.json["findings"][0]["hint"]
    assert numbers(snapshot(THREE)) == {"eu-west-1": [1], "us-east-1": [], "sa-east-1": []}


def test_a_region_that_another_run_works_on_is_left_to_it(
    aws: AwsServer, project: Project, runners: Callable[[], Runner]
) -> None:
    project.write(LayerSpec(regions=THREE[:1]))
    aws.faults({"kind": "hold", "action": "PublishLayerVersion"})
    runner = runners()
    runner.start("publish", "apply", "--yes", "--json", *project.places)
    clocks.wait(lambda: aws.calls("PublishLayerVersion"), "the first run publishes")

    second = project.apply("--lock-wait", "0")
    aws.faults()

    assert second.code == 9
    assert "is publishing here" in second.json["quarantined"][0]["reason"]
    assert runner.result().code == 0
    assert len(aws.calls("PublishLayerVersion")) == 1


def test_concurrency_is_bounded(aws: AwsServer, project: Project) -> None:
    project.write(LayerSpec())
    aws.faults({"kind": "delay", "action": "ListLayerVersions", "seconds": 0.05})

    assert len(project.plan("--region", "all", "--concurrency", "3").json["actions"]) == 34 * 6 + 1

    assert 2 <= aws.post("/_test/peak") <= 3 + 1


@pytest.mark.usefixtures("interruptible")
def test_ctrl_c_ends_between_two_steps_and_the_next_run_goes_on(
    aws: AwsServer, project: Project, snapshot: Snapshot, unbroken: dict[str, Any]
) -> None:
    aws.faults({"kind": "hold", "action": "PublishLayerVersion"})
    argv = cli.argv("publish", "apply", "--yes")
    with subprocess.Popen([*argv, *project.places], stderr=subprocess.PIPE, text=True) as run:
        clocks.wait(lambda: aws.calls("PublishLayerVersion"), "a layer version is asked for")
        run.send_signal(signal.SIGINT)
        aws.faults()
        _, said = run.communicate(timeout=clocks.seconds(60))

    assert run.returncode == 130
    assert "Traceback" not in said
    assert project.apply().code == 0
    assert snapshot(THREE) == unbroken
    assert len(aws.calls("PublishLayerVersion")) == len(THREE)

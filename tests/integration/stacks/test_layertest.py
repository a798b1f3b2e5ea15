"""A layer version tried in a stack of its own: what it says, and that nothing stays."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from layersmith.errors import ShipError
from layersmith.ship.aws.accounts import Aws
from layersmith.stacks import layertest, templates
from layersmith.stacks import stage as stages

from tests.e2e.rehearsal.cloud import Cloud, empty_zip
from tests.e2e.rehearsal.functions import FunctionBridge, LocalHost
from tests.e2e.rehearsal.processes import ROOT
from tests.support import cli
from tests.support.envelopes import data_of

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator

FOLDER = ROOT / "infra-templates"


REGIONS = ("eu-west-1", "us-east-1", "ap-south-1")


@pytest.fixture
def cloud() -> Iterator[Cloud]:
    """An account with one layer in three regions, its pointers beside it, and no stack."""
    with Cloud() as made, FunctionBridge(LocalHost(made.outside)):
        for region in REGIONS:
            arn = made.regional("lambda", region).publish_layer_version(
                LayerName="some-layer-python3-13-arm64",
                Content={"ZipFile": empty_zip()},
                CompatibleRuntimes=["python3.13"],
            )["LayerVersionArn"]
            for name in ("latest", "1.0.0"):
                made.regional("ssm", region).put_parameter(
                    Name=f"/layers/some-layer/python3.13/arm64/{name}", Type="String", Value=arn
                )
        yield made


def tried(cloud: Cloud, *words: str) -> subprocess.CompletedProcess[str]:
    asked = [word for region in REGIONS for word in ("--region", region)]
    return cli.called(
        "stacks", "test-layer", *words, *asked, "--endpoint-url", cloud.endpoint,
        "--module", "json",
    )  # fmt: skip


def left(cloud: Cloud) -> list[Any]:
    """What the tests of a layer left in any region."""
    return [
        found
        for region in REGIONS
        for found in (
            *cloud.regional("cloudformation", region).describe_stacks()["Stacks"],
            *cloud.regional("lambda", region).list_functions()["Functions"],
        )
    ]


def test_one_call_tests_a_version_in_many_regions_and_leaves_nothing(cloud: Cloud) -> None:
    done = tried(cloud, "some-layer", "--json")
    assert done.returncode == 0, done.stderr
    verdicts = data_of(done.stdout)
    assert [one["region"] for one in verdicts] == list(REGIONS)
    for one in verdicts:
        assert f":{one['region']}:" in one["layer"]
        assert (one["answer"]["imported"], one["error"]) == (1, "")
    assert left(cloud) == []


def test_an_arn_is_tested_under_its_number_in_every_region(cloud: Cloud) -> None:
    arn = "arn:aws:lambda:eu-west-1:123456789012:layer:some-layer-python3-13-arm64:1"
    done = tried(cloud, arn)
    assert done.returncode == 0, done.stderr
    for region in REGIONS:
        assert any(region in line and "1 modules" in line for line in done.stdout.splitlines())
    assert left(cloud) == []


def test_a_module_that_fails_is_named_for_every_region(cloud: Cloud) -> None:
    done = tried(cloud, "some-layer", "--module", "no_such_module")
    assert done.returncode == 8
    for region in REGIONS:
        assert any(region in line and "no_such_module" in line for line in done.stderr.splitlines())
    assert left(cloud) == []


def test_a_region_without_the_version_stops_no_other(cloud: Cloud) -> None:
    cloud.regional("ssm", REGIONS[1]).delete_parameters(
        Names=["/layers/some-layer/python3.13/arm64/1.0.0"]
    )
    done = tried(cloud, "some-layer", "--version", "1.0.0", "--json")
    assert done.returncode == 9
    assert [one["answer"] is not None for one in data_of(done.stdout)] == [True, False, True]
    assert "is not published in us-east-1" in done.stderr
    assert left(cloud) == []


@pytest.fixture
def trial() -> Iterator[Callable[..., dict[str, Any]]]:
    stage = stages.load(FOLDER / "stages", "dev")
    loaded = templates.load(FOLDER)
    with Cloud() as cloud, FunctionBridge(LocalHost(cloud.outside)) as bridge:
        arn = cloud.publish_layer("some-layer", empty_zip())
        aws = Aws(endpoint_url=cloud.endpoint)

        def run(*modules: str, fail: str = "") -> dict[str, Any]:
            def before(*_: Any) -> None:
                if fail:
                    bridge.forget()
                    raise RuntimeError(fail)

            bridge.before = before
            wanted = layertest.Trial(arn, "python3.13", "arm64", modules)
            try:
                return layertest.run(aws, stage, loaded[layertest.TEMPLATE], wanted)
            finally:
                assert cloud.client("cloudformation").describe_stacks()["Stacks"] == []
                assert cloud.client("lambda").list_functions()["Functions"] == []

        yield run


def test_modules_are_imported_and_failures_are_named(
    trial: Callable[..., dict[str, Any]],
) -> None:
    answer = trial("json", "no_such_module")
    assert answer["imported"] == 1
    assert "no_such_module" in answer["failures"][0]


def test_the_stack_goes_when_the_invocation_fails(trial: Callable[..., dict[str, Any]]) -> None:
    with pytest.raises(ShipError, match="lambda:Invoke"):
        trial("json", fail="the service is down")

"""A layer version tried in a stack of its own: what it says, and that nothing stays."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from layersmith.errors import ShipError
from layersmith.ship.aws.clients import Aws
from layersmith.stacks import layertest, templates
from layersmith.stacks import stage as stages

from tests.e2e.rehearsal.cloud import Cloud, empty_zip
from tests.e2e.rehearsal.functions import FunctionBridge, LocalHost
from tests.e2e.rehearsal.processes import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

FOLDER = ROOT / "infra-templates"
FOUNDATION = ["layersmith-dev-artifacts", "layersmith-dev-boundary"]


@pytest.fixture
def trial() -> Iterator[Callable[..., dict[str, Any]]]:
    stage = stages.load(FOLDER / "stages", "dev")
    loaded = templates.load(FOLDER)
    with Cloud() as cloud, FunctionBridge(LocalHost(cloud.outside)) as bridge:
        arn = cloud.publish_layer("some-layer", empty_zip())
        aws = Aws(endpoint_url=cloud.endpoint)
        from tests.integration.stacks.test_deploy import layers

        assert layers(cloud, "--bootstrap", "--yes").returncode == 0

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
                names = cloud.client("cloudformation").describe_stacks()["Stacks"]
                assert sorted(one["StackName"] for one in names) == FOUNDATION
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

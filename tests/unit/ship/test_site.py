"""Which of a target's regions a run works on."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from layersmith.config.models import Config
from layersmith.errors import ConfigError
from layersmith.ship.publish.site import Filters, RegionChoice, home_region, spots


def target(*regions: str) -> Any:
    return SimpleNamespace(settings=SimpleNamespace(regions=regions), identifier=",".join(regions))


@pytest.mark.parametrize(
    ("choice", "found"),
    [
        (RegionChoice(), ("eu-west-1", "cn-north-1", "us-east-1")),
        (RegionChoice(names=("sa-east-1",)), ("sa-east-1",)),
        (RegionChoice(partition="aws"), ("eu-west-1", "us-east-1")),
        (RegionChoice(partition="aws-cn"), ("cn-north-1",)),
        (RegionChoice(pilot=True), ("eu-west-1",)),
        (RegionChoice(partition="aws-us-gov", pilot=True), ()),
    ],
)
def test_the_regions_of_a_target(choice: RegionChoice, found: tuple[str, ...]) -> None:
    assert choice.of(target("eu-west-1", "cn-north-1", "us-east-1")) == found


@pytest.mark.parametrize(
    ("choice", "passing"),
    [
        (RegionChoice(), {"eu-west-1", "us-east-1", "cn-north-1"}),
        (RegionChoice(partition="aws"), {"eu-west-1", "us-east-1"}),
        (RegionChoice(names=("us-east-1",)), {"us-east-1"}),
        (RegionChoice(names=("cn-north-1", "us-east-1"), partition="aws-cn"), {"cn-north-1"}),
        (RegionChoice(names=("us-east-1",), partition="aws-cn"), set()),
    ],
)
def test_a_region_passes_by_its_name_and_its_partition(
    choice: RegionChoice, passing: set[str]
) -> None:
    regions = ("eu-west-1", "us-east-1", "cn-north-1")
    assert {region for region in regions if choice.takes(region)} == passing


@pytest.mark.parametrize(
    ("choice", "counted"),
    [
        (RegionChoice(), ()),
        (RegionChoice(pilot=True), ("us-east-1",)),
        (RegionChoice(names=("sa-east-1",)), ("eu-west-1", "us-east-1")),
        (RegionChoice(partition="aws-cn"), ()),
    ],
)
def test_numbers_count_in_all_regions_of_layers_yaml(
    choice: RegionChoice, counted: tuple[str, ...]
) -> None:
    one = target("eu-west-1", "us-east-1", *["cn-north-1"] * (choice.partition is not None))
    one.settings.align = True
    assert choice.counted(one) == counted
    one.settings.align = False
    assert choice.counted(one) == ()


def test_regions_are_grouped_in_the_order_in_which_they_are_named() -> None:
    one, two = target("us-east-1"), target("eu-west-1", "us-east-1")
    assert RegionChoice().by_region([one, two]) == {"us-east-1": [one, two], "eu-west-1": [two]}
    with pytest.raises(ConfigError, match="no region is set") as caught:
        RegionChoice().by_region([target()])
    assert caught.value.hint == "pass --region, or add `regions` to layers.yaml"
    with pytest.raises(ConfigError, match="no region of the partition aws-cn is set") as caught:
        RegionChoice(partition="aws-cn").by_region([one], instead="")
    assert caught.value.hint == "leave out --partition, or add `regions` to layers.yaml"


def test_the_home_region_follows_from_layers_yaml_and_the_accounts_that_are_reached() -> None:
    layers = {
        "a": SimpleNamespace(regions=["cn-north-1"]),
        "b": SimpleNamespace(regions=["eu-west-1"]),
    }
    loaded: Any = SimpleNamespace(config=SimpleNamespace(layers=layers))
    assert home_region(loaded, ["us-east-1"]) == "eu-west-1"
    assert home_region(loaded, ["cn-northwest-1", "us-east-1"]) == "cn-north-1"
    assert home_region(loaded, ["us-gov-west-1"]) == "us-gov-west-1"


@pytest.mark.parametrize(
    ("filters", "taken"),
    [
        (Filters(), True),
        (Filters(layers=("alpha", "beta")), True),
        (Filters(layers=("beta",)), False),
        (Filters(runtimes=("python3.13",), architectures=("arm64",)), True),
        (Filters(runtimes=("python3.13",), architectures=("x86_64",)), False),
    ],
)
def test_a_target_passes_all_filters_that_name_something(filters: Filters, taken: bool) -> None:
    assert filters.take(("alpha", "python3.13", "arm64")) is taken


def published(layer: str, region: str) -> Any:
    return SimpleNamespace(layer=layer, runtime="python3.13", architecture="arm64", region=region)


def test_layers_of_the_index_are_worked_on_within_filters_and_regions() -> None:
    index: Any = SimpleNamespace(
        layers=[published("old", "eu-west-1"), published("old", "us-east-1"),
                published("gone", "eu-west-1")]
    )  # fmt: skip
    config = Config.model_validate(
        {"layers": {"alpha": {"description": "a", "version": "1.0.0", "requirements": ["a"],
                              "runtimes": ["python3.13"], "regions": ["eu-west-1"]}}}
    )  # fmt: skip
    old, alpha = (("old", "python3.13", "arm64"), ("alpha", "python3.13", "arm64"))
    found, wanted = spots(config, index, Filters(layers=["old"]), RegionChoice())
    assert (found, wanted) == ({"eu-west-1": [old], "us-east-1": [old]}, set())
    found, wanted = spots(config, index, Filters(), RegionChoice(names=("eu-west-1",)))
    assert found == {"eu-west-1": [alpha, old, ("gone", "python3.13", "arm64")]}
    assert wanted == {("eu-west-1", alpha)}
    with pytest.raises(ConfigError, match="no target matches the filters"):
        spots(config, index, Filters(layers=["old"]), RegionChoice(names=("sa-east-1",)))

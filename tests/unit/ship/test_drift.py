from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from layersmith.ship.publish import plan, progress
from layersmith.ship.publish.models import Grant, Quarantined

from tests.unit.ship.makers import placeholder, pointers, release, state, want

EU, US, AP = "eu-west-1", "us-east-1", "ap-south-1"
GOOD = pointers("1.2.0", v1_2_0=1)


def fields(*states: Any, **changes: Any) -> list[tuple[str, str]]:
    found = plan.differences([want(**changes)], {one.region: one for one in states})
    return [(finding.region, finding.field) for finding in found]


def test_what_is_as_wanted_has_no_findings() -> None:
    assert fields(state(EU, release(1), at=GOOD), state(US, release(1), at=GOOD)) == []


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"sha256": "other"}, "sha256"),
        ({"runtimes": ("python3.12",)}, "runtimes"),
        ({"architectures": ("x86_64",)}, "architectures"),
        ({"description": "something [layersmith 1.2.0 sha256:000000000000]"}, "description"),
        ({"license": "GPL-3.0"}, "license"),
        ({"grants": frozenset()}, "permissions"),
        ({"grants": frozenset({Grant("public"), Grant("210987654321")})}, "permissions"),
        ({"foreign_statements": ("somebody",)}, "permissions"),
        ({"semver": "1.1.0"}, "version"),
    ],
)
def test_every_attribute_is_compared(changes: dict[str, Any], field: str) -> None:
    assert fields(state(EU, release(1, **changes), at=GOOD)) == [(EU, field)]


def test_pointers_are_compared() -> None:
    assert fields(state(EU, release(1))) == [(EU, "pointer 1.2.0"), (EU, "pointer latest")]
    gone = pointers("1.1.0", v1_2_0=1, v1_1_0=9)
    assert fields(state(EU, release(1), at=gone)) == [(EU, "pointer latest")]


def test_a_latest_that_was_deleted_and_one_that_others_wrote_need_other_steps() -> None:
    deleted = pointers("1.1.0", v1_2_0=1, v1_1_0=9)
    others = dataclasses.replace(pointers(None, v1_2_0=1), latest="arn:of:another")
    for at, said in ((deleted, "it was deleted"), (others, "layersmith did not write it")):
        [found] = plan.differences([want(regions=(EU,))], {EU: state(EU, release(1), at=at)})
        assert found.hint.startswith(said)


def test_leftovers_and_doubles_are_named() -> None:
    left = state(EU, placeholder(1), release(2), at=pointers("1.2.0", v1_2_0=2))
    assert fields(left) == [(EU, "placeholder")]
    assert fields(state(EU, release(1), release(2), at=GOOD)) == [(EU, "version")]


def test_the_region_with_another_number_is_named_where_numbers_are_aligned() -> None:
    regions = (EU, US, AP)
    states = [
        state(EU, release(1), at=GOOD),
        state(US, release(2), at=pointers("1.2.0", v1_2_0=2)),
        state(AP, release(1), at=GOOD),
    ]
    assert fields(*states, align=True, regions=regions) == [(US, "number")]
    assert fields(*states, align=False, regions=regions) == []


def test_what_is_granted_to_nobody_is_spelled() -> None:
    nobody = state(EU, release(1, grants=frozenset()), at=GOOD)
    (finding,) = plan.differences([want()], {EU: nobody})
    assert (finding.expected, finding.found) == ("public", "none")


def test_the_region_whose_latest_is_not_that_of_the_most_is_named() -> None:
    def at(latest: str) -> Any:
        return pointers(latest, v1_2_0=1, v1_3_0=2)

    versions = (release(1), release(2, "1.3.0"))
    two = [state(EU, *versions, at=at("1.2.0")), state(US, *versions, at=at("1.3.0"))]
    assert fields(*two) == [(EU, "pointer latest")]
    three = [*two, state(AP, *versions, at=at("1.2.0"))]
    assert fields(*three, regions=(EU, US, AP)) == [(US, "pointer latest")]


def test_a_latest_that_is_yanked_or_foreign_parameters_are_named() -> None:
    yanked = dataclasses.replace(GOOD, yanked={"1.2.0": "broken"}, foreign=("mine",))
    found = plan.differences([want()], {EU: state(EU, release(1), at=yanked)})
    assert [(one.field, one.found) for one in found] == [
        ("parameters", "mine"),
        ("pointer latest", "1.2.0"),
    ]
    without = dataclasses.replace(yanked, latest=None, foreign=())
    assert fields(state(EU, release(1), at=without)) == []


def test_what_is_wanted_and_withdrawn_is_said_with_its_regions() -> None:
    yanked = dataclasses.replace(GOOD, yanked={"1.2.0": "broken"})
    other = dataclasses.replace(yanked, versions=GOOD.versions | {"1.1.0": "arn"})
    name = want().identifier
    states = {EU: state(EU, release(1), at=yanked), US: state(US, release(1), at=yanked)}
    assert plan.withdrawn([want()], states) == [
        f"{name}: 1.2.0 is yanked: broken; no release is left, so there is no `latest` ({EU}, {US})"
    ]
    assert plan.withdrawn([want()], {US: state(US, release(1), at=other)}) == [
        f"{name}: 1.2.0 is yanked: broken ({US})"
    ]
    assert plan.withdrawn([want()], {EU: state(EU, release(1), at=GOOD)}) == []


def test_the_markdown_escapes_what_would_break_its_table() -> None:
    found = plan.differences([want()], {EU: state(EU, release(1, license="a|b"), at=GOOD)})
    text = progress.markdown(found, [Quarantined(US, "down\nfor good", "wait")])
    assert "a\\|b" in text
    assert "down for good" in text
    assert "Every region holds" in progress.markdown([], [])

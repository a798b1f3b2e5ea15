from __future__ import annotations

import dataclasses
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from layersmith.ship.publish import plan as planner
from layersmith.ship.publish.models import (
    Action,
    Desired,
    Grant,
    Held,
    Pointers,
    RegionState,
    Step,
    Version,
)
from layersmith.ship.publish.plan import PlanOptions

from tests.unit.ship.makers import PUBLIC, arn, foreign, placeholder, pointers, release, state, want

EU, US = "eu-west-1", "us-east-1"


def plan(wanted: Desired, *states: RegionState, **options: bool) -> planner.Plan:
    return planner.plan([wanted], {one.region: one for one in states}, PlanOptions(**options))


def steps(made: planner.Plan, region: str = EU) -> list[tuple[Step, int]]:
    return [(a.step, a.number) for a in made.actions if a.region == region]


def test_an_empty_account_gets_everything() -> None:
    made = plan(want(), state(EU, bucket=False, kept=frozenset()))
    assert steps(made) == [
        (Step.BUCKET, 0),
        (Step.KEEP, 0),
        (Step.PUBLISH, 1),
        (Step.GRANT, 0),
        (Step.CANARY, 0),
        (Step.PROMOTE, 0),
        (Step.POINT, 0),
    ]


def test_what_is_there_is_left_alone() -> None:
    done = pointers("1.2.0", v1_2_0=1)
    assert plan(want(), state(EU, release(1), at=done)) == planner.Plan()
    # A bucket is made where it is needed, and nothing is needed here.
    assert plan(want(), state(EU, release(1), at=done, bucket=False)) == planner.Plan()


def test_the_zip_is_kept_with_the_pilot_alone() -> None:
    done: dict[str, Any] = {"at": pointers("1.2.0", v1_2_0=1), "kept": frozenset()}
    made = plan(want(), state(EU, release(1), **done), state(US, release(1), **done))
    assert [(a.step, a.region) for a in made.actions] == [(Step.KEEP, EU)]


def test_other_bytes_under_the_semver_stop_the_target_everywhere() -> None:
    made = plan(want(), state(EU), state(US, release(1, sha256="other")))
    assert made.actions == []
    (finding,) = made.findings
    assert (finding.region, finding.field, finding.blocking) == (US, "sha256", True)


def test_a_killed_canary_is_repeated_and_a_proven_one_is_not() -> None:
    unproven = plan(want(), state(EU, release(3)))
    assert [step for step, _ in steps(unproven)] == [Step.CANARY, Step.PROMOTE, Step.POINT]
    # Killed between the two pointers: latest is the release, its own pointer is missing.
    proven = plan(want(), state(EU, release(3), at=Pointers(latest=arn(3))))
    assert steps(proven) == [(Step.POINT, 3)]


def test_latest_that_was_rolled_back_stays() -> None:
    at = pointers("1.1.0", v1_1_0=1, v1_2_0=2)
    assert plan(want(), state(EU, release(1, "1.1.0"), release(2), at=at)).actions == []


def test_the_plan_says_from_where_latest_moves() -> None:
    said = [
        action.detail
        for at in (Pointers(), pointers("1.1.0", v1_1_0=1))
        for action in plan(want(), state(EU, release(2), at=at)).actions
        if action.step is Step.PROMOTE
    ]
    assert said == ["latest: nothing -> 1.2.0", "latest: 1.1.0 -> 1.2.0"]


def test_a_pre_release_becomes_latest_only_when_asked_and_gives_way_to_any_release() -> None:
    early = want(version="1.3.0-rc.1")
    assert Step.PROMOTE not in dict(steps(plan(early, state(EU))))
    assert Step.PROMOTE in dict(steps(plan(early, state(EU), pre=True)))
    known = {"1.3.0-rc.1": arn(1)}
    at = Pointers(arn(1), known)
    assert Step.PROMOTE in dict(steps(plan(want(), state(EU, release(1, "1.3.0-rc.1"), at=at))))
    older = want(version="1.3.0-rc.0")
    made = plan(older, state(EU, release(1, "1.3.0-rc.1"), at=at), pre=True)
    assert Step.PROMOTE not in dict(steps(made))


def test_latest_never_moves_backwards() -> None:
    at = pointers("2.0.0", v2_0_0=1)
    made = plan(want(), state(EU, release(1, "2.0.0"), at=at))
    assert Step.PROMOTE not in dict(steps(made))
    assert Step.POINT in dict(steps(made))


def test_latest_never_moves_to_what_was_yanked() -> None:
    at = dataclasses.replace(pointers("1.1.0", v1_1_0=1), yanked={"1.2.0": "wrong"})
    made = plan(want(), state(EU, release(1, "1.1.0"), at=at))
    assert Step.PROMOTE not in dict(steps(made))


def test_canary_and_promotion_can_be_left_out() -> None:
    made = plan(want(), state(EU), canary=False, promote=False)
    assert [step for step, _ in steps(made)] == [Step.PUBLISH, Step.GRANT, Step.POINT]


def test_permissions_follow_the_configuration() -> None:
    organization, account = Grant("o-abcdefghij"), Grant("210987654321")
    held = release(1, grants=PUBLIC | {account})
    made = plan(
        want(grants=frozenset({organization, account})),
        state(EU, held, at=pointers("1.2.0", v1_2_0=1)),
    )
    assert [(a.step, a.grant) for a in made.actions] == [
        (Step.GRANT, organization),
        (Step.REVOKE, Grant("public")),
    ]


def test_numbers_are_aligned_upwards_by_placeholders() -> None:
    made = plan(want(align=True), state(EU), state(US, foreign(1), foreign(2)))
    assert [(one.step, list(one.numbers)) for one in made.actions if one.region == EU][:3] == [
        (Step.FILL, [1, 2]),
        (Step.PUBLISH, [3]),
        (Step.UNFILL, [1, 2]),
    ]
    assert steps(made, US)[0] == (Step.PUBLISH, 3)


def test_a_region_that_comes_back_is_filled_up_to_the_number_of_the_release() -> None:
    done = pointers("1.2.0", v1_2_0=7)
    made = plan(want(align=True), state(EU, release(7), at=done), state(US, foreign(4)))
    assert steps(made, EU) == []
    assert steps(made, US)[:2] == [(Step.FILL, 5), (Step.PUBLISH, 7)]
    assert made.actions[0].to_json()["last"] == 6


def test_thousands_of_numbers_are_one_line_of_the_plan() -> None:
    made = plan(want(align=True), state(EU, foreign(2), placeholder(4)), state(US, foreign(7221)))
    assert [(one.step, one.detail) for one in made.actions if one.region == EU][:4] == [
        (Step.FILL, "5 to 7221"),
        (Step.PUBLISH, "1.2.0, 0.0 MB"),
        (Step.UNFILL, "4 to 7221"),
        (Step.GRANT, "public"),
    ]


def test_an_aligned_number_counts_every_region_that_a_filter_leaves_out() -> None:
    one = want(align=True, regions=(EU,), counted=(US,))
    made = plan(one, state(EU), state(US, foreign(6)))
    assert steps(made, EU)[:2] == [(Step.FILL, 1), (Step.PUBLISH, 7)]
    assert steps(made, US) == []


def test_other_bytes_in_a_region_that_a_filter_leaves_out_stop_an_aligned_release() -> None:
    one = want(align=True, regions=(EU,), counted=(US,))
    made = plan(one, state(EU), state(US, release(6, sha256="x" * 43 + "=")))
    assert made.actions == []
    assert [(finding.region, finding.blocking) for finding in made.findings] == [(US, True)]


def test_a_region_past_the_number_is_named_and_gets_the_release_all_the_same() -> None:
    done = pointers("1.2.0", v1_2_0=2)
    made = plan(want(align=True), state(EU, release(2), at=done), state(US, foreign(5)))
    (finding,) = made.findings
    assert (finding.region, finding.expected, finding.found) == (US, "2", "6")
    assert steps(made, US)[0] == (Step.PUBLISH, 6)


def test_placeholders_that_a_killed_run_left_go_once_a_real_version_is_above() -> None:
    done = pointers("1.2.0", v1_2_0=3)
    left = plan(want(), state(EU, placeholder(1), placeholder(2), release(3), at=done))
    assert [(one.step, list(one.numbers)) for one in left.actions] == [(Step.UNFILL, [1, 2])]
    # The last one shows how far the counter is, so it stays until the release is above it.
    counter = plan(want(version="1.3.0"), state(EU, release(1), placeholder(2)))
    assert steps(counter)[:2] == [(Step.KEEP, 0), (Step.PUBLISH, 3)]
    assert (Step.UNFILL, 2) in steps(counter)


COUNTS = st.lists(st.integers(0, 6), min_size=1, max_size=5)


@given(COUNTS)
def test_no_region_is_filled_past_what_another_one_holds(counts: list[int]) -> None:
    regions = tuple(f"region-{n}" for n in range(len(counts)))
    states = [
        state(region, *(foreign(n + 1) for n in range(count)))
        for region, count in zip(regions, counts, strict=True)
    ]
    made = plan(want(align=True, regions=regions), *states)
    published = {a.region: a.number for a in made.actions if a.step is Step.PUBLISH}
    assert set(published.values()) == {max(counts) + 1}
    assert all(a.number <= max(counts) for a in made.actions if a.step is Step.FILL)


def perform(region: RegionState, wanted: Desired, actions: list[Action], count: int) -> RegionState:
    """Do the first ``count`` actions on a model of a region, each number of a range for itself."""
    single = [dataclasses.replace(one, number=n, last=0) for one in actions for n in one.numbers]
    held = region.held[wanted.identifier]
    versions, at = list(held.versions), held.pointers
    kept = region.kept
    for action in single[:count]:
        mine = next((v for v in versions if v.semver == wanted.version), None)
        match action.step:
            case Step.KEEP:
                kept |= {wanted.artifact_key}
            case Step.FILL:
                versions.append(placeholder(_next(versions)))
            case Step.PUBLISH:
                number = _next(versions)
                versions.append(release(number, wanted.version, grants=frozenset()))
            case Step.UNFILL:
                versions = [v for v in versions if v.number != action.number]
            case Step.GRANT | Step.REVOKE if mine and action.grant:
                had = mine.grants or frozenset()
                one = {action.grant}
                now = had | one if action.step is Step.GRANT else had - one
                versions[versions.index(mine)] = dataclasses.replace(mine, grants=now)
            case Step.PROMOTE if mine:
                at = dataclasses.replace(at, latest=mine.arn)
            case Step.POINT if mine:
                at = dataclasses.replace(at, versions={**at.versions, wanted.version: mine.arn})
    return RegionState(region.region, {wanted.identifier: Held(tuple(versions), at)}, True, kept)


def _next(versions: list[Version]) -> int:
    return max((version.number for version in versions), default=0) + 1


@given(st.lists(st.integers(0, 12), max_size=6), st.integers(0, 4), st.booleans())
def test_stopped_anywhere_any_number_of_times_it_ends_the_same(
    stops: list[int], head_start: int, align: bool
) -> None:
    wanted = want(align=align, regions=(EU,))
    other = want(align=align, regions=(EU, US))
    ahead = state(US, *(foreign(n + 1) for n in range(head_start)))
    current = state(EU, kept=frozenset())
    for stop in [*stops, 99]:
        made = planner.plan([other], {EU: current, US: ahead}, PlanOptions())
        mine = [a for a in made.actions if a.region == EU]
        current = perform(current, wanted, mine, stop)
    held = current.held[wanted.identifier]
    number = head_start + 1 if align else 1
    assert [(v.number, v.semver) for v in held.versions] == [(number, "1.2.0")]
    assert held.pointers == pointers("1.2.0", v1_2_0=number)
    assert held.versions[0].grants == PUBLIC


def test_each_range_of_numbers_is_a_step_of_its_own() -> None:
    done = pointers("1.2.0", v1_2_0=9)
    old = [placeholder(number) for number in (1, 3, 4, 6)]
    made = plan(want(), state(EU, *old, release(9), at=done))
    assert [(one.detail, list(one.numbers)) for one in made.actions] == [
        ("1", [1]),
        ("3 to 4", [3, 4]),
        ("6", [6]),
    ]


def test_latest_moves_to_the_same_version_under_a_new_number() -> None:
    # The layer was deleted by hand and published again: `latest` names what is gone.
    at = pointers("1.2.0", v1_2_0=1)
    assert (Step.PROMOTE, 2) in steps(plan(want(), state(EU, foreign(1), release(2), at=at)))

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from layersmith import console
from layersmith.errors import ShipError
from layersmith.ship import arns
from layersmith.ship.pointers import moves
from layersmith.ship.publish.models import Pointers
from layersmith.ship.publish.site import Site

from tests.unit.ship.fakes import FakeAws, refusal
from tests.unit.ship.makers import arn, pointers

VERSION_ARN = "arn:aws:lambda:eu-west-1:123456789012:layer:alpha-python3-13-arm64:1"


def seen(at: Pointers, region: str = "eu-west-1") -> arns.ObservedPointers:
    return arns.ObservedPointers("alpha", "python3.13", "arm64", region, at)


def moved(result: moves.Moves) -> list[tuple[str, str | None]]:
    return [(move.name, move.value) for move in result[0]]


def test_rollback_skips_what_was_yanked() -> None:
    at = dataclasses.replace(
        pointers("1.3.0", v1_1_0=1, v1_2_0=2, v1_3_0=3), yanked={"1.2.0": "wrong"}
    )
    assert moved(moves.rollback([seen(at)], None)) == [("latest", arn(1))]


def test_rollback_again_after_a_partial_failure_goes_to_the_same_version() -> None:
    all_ = {"v1_0_0": 1, "v1_0_1": 2, "v1_1_0": 3}
    done, left = seen(pointers("1.0.1", **all_)), seen(pointers("1.1.0", **all_), "us-east-1")
    for read, unread in (([done, left], []), ([done], [left])):
        result, findings = moves.rollback(read, None, unread=unread)
        assert moves.goal([*read, *unread]) == "1.0.1"
        assert [(m.region, m.detail) for m in result] == [
            (one.region, "latest: 1.1.0 -> 1.0.1") for one in read if one is left
        ]
        assert findings == []


def test_rollback_takes_a_version_that_all_regions_have_and_moves_none_up() -> None:
    regions = [
        seen(pointers("1.2.0", v1_0_0=1, v1_1_0=2, v1_2_0=3)),
        seen(pointers("1.2.0", v1_0_0=1, v1_2_0=2), "us-east-1"),
        seen(pointers("0.9.0", v0_9_0=1, v1_0_0=2), "sa-east-1"),
    ]
    result, findings = moves.rollback(regions, None)
    assert [(m.region, m.detail) for m in result] == [
        ("eu-west-1", "latest: 1.2.0 -> 1.0.0"),
        ("us-east-1", "latest: 1.2.0 -> 1.0.0"),
    ]
    assert findings == []


def test_yanking_the_only_version_takes_latest_away() -> None:
    result = moves.yank([seen(pointers("1.0.0", v1_0_0=1))], "1.0.0", "broken")
    assert moved(result) == [("yanked/1.0.0", "broken"), ("latest", None)]


def test_yanking_twice_moves_nothing() -> None:
    at = dataclasses.replace(pointers("1.0.0", v1_0_0=1, v1_1_0=2), yanked={"1.1.0": "broken"})
    assert moves.yank([seen(at)], "1.1.0", "broken") == ([], [])
    assert moves.yank([seen(at)], "9.0.0", "broken")[1]


def test_promotion_moves_where_the_version_is_and_names_where_it_is_not() -> None:
    both = pointers("1.0.0", v1_0_0=1, v1_1_0=2)
    moves_, findings = moves.promote(
        [seen(both), seen(pointers("1.0.0", v1_0_0=1), "us-east-1")], "1.1.0"
    )
    assert [(m.region, m.name, m.value) for m in moves_] == [("eu-west-1", "latest", arn(2))]
    assert moves_[0].detail == "latest: 1.0.0 -> 1.1.0"
    assert [(f.region, f.found) for f in findings] == [
        ("us-east-1", "not published; there is 1.0.0")
    ]
    assert moves.promote([seen(both)], "1.0.0") == ([], [])


def test_what_was_yanked_is_not_promoted_and_the_mark_can_be_taken_back() -> None:
    at = dataclasses.replace(pointers("1.0.0", v1_0_0=1, v1_1_0=2), yanked={"1.1.0": "broken"})
    none, findings = moves.promote([seen(at)], "1.1.0")
    assert (none, findings[0].found) == ([], "yanked: broken")
    assert moved(moves.undo_yank([seen(at)], "1.1.0")) == [("yanked/1.1.0", None)]
    assert moves.undo_yank([seen(at)], "1.0.0") == ([], [])
    assert moves.undo_yank([seen(at)], "9.0.0")[1][0].found == "not published"


def test_rollback_goes_down_only_and_says_where_it_cannot() -> None:
    at = pointers("1.1.0", v1_0_0=1, v1_1_0=2, v1_2_0=3)
    assert moved(moves.rollback([seen(at)], None)) == [("latest", arn(1))]
    assert moved(moves.rollback([seen(at)], "1.2.0")) == [("latest", arn(3))]
    lowest = moves.rollback([seen(pointers("1.0.0", v1_0_0=1))], None)
    assert (lowest[0], lowest[1][0].found) == ([], "latest is 1.0.0")
    assert moves.rollback([seen(pointers(None, v1_0_0=1))], None)[1][0].found == "latest is nothing"


def test_latest_is_never_moved_to_a_version_that_somebody_deleted() -> None:
    all_ = {"v1_0_0": 1, "v1_1_0": 2, "v1_2_0": 3}
    holed = dataclasses.replace(seen(pointers("1.2.0", **all_)), gone=frozenset({"1.1.0"}))
    whole = seen(pointers("1.2.0", **all_), "us-east-1")

    assert moves.goal([holed, whole]) == "1.0.0"
    assert moved(moves.rollback([holed, whole], None)) == [("latest", arn(1))] * 2
    assert moved(moves.yank([holed], "1.2.0", "bad"))[1] == ("latest", arn(1))
    done, [finding] = moves.promote([holed, whole], "1.1.0")
    assert [one.region for one in done] == ["us-east-1"]
    assert (finding.region, finding.found) == ("eu-west-1", f"deleted: {arn(2)} is not there")


def test_a_latest_that_others_wrote_is_named() -> None:
    at = dataclasses.replace(pointers(None, v1_0_0=1), latest="arn:of:another")
    assert moves.rollback([seen(at)], None)[1][0].found == "latest is arn:of:another"
    assert moves.promote([seen(at)], "1.0.0")[0][0].detail == "latest: arn:of:another -> 1.0.0"


def test_where_versions_cannot_be_listed_pointers_still_move(
    capsys: pytest.CaptureFixture[str],
) -> None:
    parameter = {"Name": "/layers/alpha/python3.13/arm64/1.0.0", "Value": VERSION_ARN}
    place = ("alpha", "python3.13", "arm64")
    for answer, gone in (
        ([{"LayerVersions": []}], {"1.0.0"}),
        (refusal("AccessDeniedException"), set()),
    ):
        aws: Any = FakeAws(
            get_parameters_by_path=[[{"Parameters": [parameter]}]], list_layer_versions=[answer]
        )
        site = Site({"eu-west-1": aws}, "eu-west-1")
        [one], failed = moves.read(site, {"eu-west-1": [place]}, {}, versions=True)
        assert (set(one.gone), failed) == (gone, [])
    assert "was not looked at" in capsys.readouterr().err


def test_yanking_moves_latest_only_off_the_version_itself() -> None:
    at = pointers("1.1.0", v1_0_0=1, v1_1_0=2)
    assert moved(moves.yank([seen(at)], "1.0.0", "old")) == [("yanked/1.0.0", "old")]
    assert moved(moves.yank([seen(at)], "1.1.0", "new")) == [
        ("yanked/1.1.0", "new"),
        ("latest", arn(1)),
    ]
    marked = dataclasses.replace(at, yanked={"1.0.0": "old"})
    assert moved(moves.yank([seen(marked)], "1.0.0", "another")) == [("yanked/1.0.0", "another")]


def test_yanking_leaves_latest_where_a_person_put_it_below_the_highest() -> None:
    at = pointers("1.0.0", v1_0_0=1, v1_1_0=2, v1_2_0=3)
    assert moved(moves.yank([seen(at)], "1.1.0", "bad")) == [("yanked/1.1.0", "bad")]


def test_yanking_marks_where_the_version_is_and_where_it_may_still_come() -> None:
    def place(region: str, at: Pointers, *, wanted: bool) -> arns.ObservedPointers:
        return dataclasses.replace(seen(at, region), wanted=wanted)

    both, lower = pointers("1.0.0", v1_0_0=1, v1_1_0=2), pointers(None, v1_0_0=1)
    result, findings = moves.yank(
        [
            place("eu-west-1", both, wanted=True),
            place("eu-west-2", both, wanted=False),
            place("us-east-1", lower, wanted=True),
            place("us-east-2", lower, wanted=False),
        ],
        "1.1.0",
        "bad",
    )
    assert [(one.region, one.name, one.value) for one in result] == [
        (region, "yanked/1.1.0", "bad") for region in ("eu-west-1", "eu-west-2", "us-east-1")
    ]
    assert findings == []


def test_moves_are_written_or_removed_and_those_of_a_region_keep_their_order() -> None:
    aws: Any = FakeAws()
    result, _ = moves.yank([seen(pointers("1.0.0", v1_0_0=1))], "1.0.0", "broken")
    site = Site({"eu-west-1": aws}, "eu-west-1")
    assert moves.carry_out(site, result) == (result, [])
    assert aws.names() == ["put_parameter", "delete_parameter"]
    assert aws.asked("put_parameter")[0]["Value"] == "broken"
    assert aws.asked("delete_parameter")[0]["Name"].endswith("/latest")


def test_nothing_moves_without_a_yes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console, "confirm", lambda question: question.startswith("Do these 2"))
    moves.confirm(2, "account 123456789012")
    with pytest.raises(ShipError, match="not confirmed"):
        moves.confirm(3, "account 123456789012")


def early(latest: str) -> arns.ObservedPointers:
    known = {"1.0.0": arn(1), "1.0.1-rc.1": arn(2), "1.0.1": arn(3), "1.1.0-rc.1": arn(4)}
    return seen(Pointers(known[latest], known))


def test_a_pre_release_is_a_goal_only_when_it_is_asked_for() -> None:
    assert moves.goal([early("1.0.1")]) == "1.0.0"
    assert moves.goal([early("1.0.1")], pre=True) == "1.0.1-rc.1"
    assert moves.goal([early("1.1.0-rc.1")]) == "1.0.1"
    none, [finding] = moves.promote([early("1.0.1")], "1.1.0-rc.1")
    assert (none, finding.found, finding.hint) == ([], "a pre-release", "pass --pre to promote it")
    assert moves.rollback([early("1.0.1")], "1.0.1-rc.1")[0] == []
    assert moved(moves.promote([early("1.0.1")], "1.1.0-rc.1", pre=True)) == [("latest", arn(4))]


def test_latest_moves_off_a_yanked_version_to_a_release() -> None:
    off = moves.yank([early("1.0.1")], "1.0.1", "wrong")
    assert moved(off) == [("yanked/1.0.1", "wrong"), ("latest", arn(1))]
    assert moved(moves.yank([early("1.0.1")], "1.0.1", "wrong", pre=True))[1] == ("latest", arn(4))

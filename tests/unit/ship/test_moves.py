from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from layersmith.ship.index import document
from layersmith.ship.pointers import moves

from tests.unit.ship.makers import arn, pointers

if TYPE_CHECKING:
    from layersmith.ship.publish.models import Pointers


def seen(at: Pointers, region: str = "eu-west-1") -> document.ObservedPointers:
    return document.ObservedPointers("alpha", "python3.13", "arm64", region, at)


def moved(result: moves.Moves) -> list[tuple[str, str | None]]:
    return [(move.name, move.value) for move in result[0]]


def test_rollback_skips_what_was_yanked() -> None:
    at = dataclasses.replace(
        pointers("1.3.0", v1_1_0=1, v1_2_0=2, v1_3_0=3), yanked={"1.2.0": "wrong"}
    )
    assert moved(moves.rollback([seen(at)], None)) == [("latest", arn(1))]


def test_yanking_the_only_version_takes_latest_away() -> None:
    result = moves.yank([seen(pointers("1.0.0", v1_0_0=1))], "1.0.0", "broken")
    assert moved(result) == [("yanked/1.0.0", "broken"), ("latest", None)]


def test_yanking_twice_moves_nothing() -> None:
    at = dataclasses.replace(pointers("1.0.0", v1_0_0=1, v1_1_0=2), yanked={"1.1.0": "broken"})
    assert moves.yank([seen(at)], "1.1.0", "broken") == ([], [])
    assert moves.yank([seen(at)], "9.0.0", "broken")[1]

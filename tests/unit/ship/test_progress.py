"""What people see while regions are worked on, and the tables at the end."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from layersmith import console
from layersmith.ship.publish import progress
from layersmith.ship.publish.models import Action, Quarantined, RegionFinding, Step

from tests.unit.ship.makers import want

if TYPE_CHECKING:
    from rich.table import Table

EU, US = "eu-west-1", "us-east-1"
FINDING = RegionFinding(EU, "alpha-python3.13-arm64", "license", "MIT", "GPL-3.0", "bump it")
DOWN = Quarantined(US, "down for good", "wait")


def shown(table: Table, capsys: pytest.CaptureFixture[str]) -> list[list[str]]:
    console.stdout().print(table)
    return [line.split() for line in capsys.readouterr().out.splitlines()]


def test_without_a_terminal_what_is_done_is_a_line_and_what_has_begun_is_not(
    capsys: pytest.CaptureFixture[str],
) -> None:
    table = progress.ProgressTable([want()], [EU])
    with table.shown():
        table.say(EU, "alpha", "publish …")
        table.say(EU, "alpha", "publish 3")
        table.say(EU, "", "left out")
    lines = [line.split() for line in capsys.readouterr().err.splitlines()]
    assert lines == [[EU, "alpha:", "publish", "3"], [EU, "region:", "left", "out"]]


@pytest.mark.parametrize("count", [progress.NARROW, progress.NARROW + 1])
def test_few_targets_have_words_and_many_have_signs(
    count: int, capsys: pytest.CaptureFixture[str]
) -> None:
    names = [f"t{number}" for number in range(count)]
    table = progress.ProgressTable([want(identifier=name) for name in names], [EU, US])
    for name, what in zip(names, ("point 1.0.0", progress.LEFT_OUT, "publish…"), strict=False):
        table.say(EU, name, what)
    capsys.readouterr()
    drawn = shown(table.__rich__(), capsys)
    rest = ["·"] * (count - 3)
    if count == progress.NARROW:
        assert drawn[1] == ["region", *names]
        assert drawn[2] == [EU, "point", "1.0.0", "left", "out", "publish…", *rest]
    else:
        assert drawn[1] == ["region", *(str(number + 1) for number in range(count))]
        assert drawn[2] == [EU, "✓", "✗", "▸", *rest]
    assert drawn[3] == [US, *["·"] * count]


def test_a_plan_has_one_row_for_every_target_in_a_region(
    capsys: pytest.CaptureFixture[str],
) -> None:
    actions = [
        Action(Step.CANARY, EU, "alpha", 3, "1.2.0"),
        Action(Step.PUBLISH, EU, "alpha", 3, "1.2.0, 1.0 MB"),
        Action(Step.PROMOTE, EU, "alpha", 3, "latest: 1.1.0 -> 1.2.0"),
        Action(Step.CANARY, US, "alpha", 4, "1.2.0"),
    ]
    console.stdout().print(progress.actions_table(actions, 150))
    rows = [line.split() for line in capsys.readouterr().out.splitlines() if "alpha" in line]
    said = "canary · publish 1.2.0, 1.0 MB · latest: 1.1.0 -> 1.2.0"
    assert rows == [[EU, "alpha", "3", *said.split()], [US, "alpha", "canary"]]


def test_only_the_tables_that_have_rows_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    progress.show([], [])
    assert capsys.readouterr().err == ""
    progress.show([FINDING], [])
    said = capsys.readouterr().err
    assert "GPL-3.0" in said
    assert "regions left out" not in said
    progress.show([], [DOWN])
    said = capsys.readouterr().err
    assert "down for good" in said
    assert "drift" not in said


def test_the_summary_counts_what_was_published_and_what_is_not_in_order() -> None:
    name = FINDING.target
    done = [
        Action(Step.PUBLISH, EU, name, 1),
        Action(Step.POINT, EU, name, 1),
        Action(Step.PUBLISH, EU, "beta", 1),
    ]
    other = RegionFinding(US, "beta", "license", "MIT", "none", "bump it")
    wanted = [want(regions=(EU, US, "ap-south-1"))]
    text = progress.published(wanted, done, [FINDING, other], [], "account 1")
    assert f"| {name} | 1.2.0 | 3 | 1 | 1 |" in text
    text = progress.published(wanted, done, [FINDING], [DOWN, Quarantined("sa-east-1", "", "")], "")
    assert f"| {name} | 1.2.0 | 3 | 1 | 2 |" in text


def test_the_markdown_has_the_tables_that_have_rows() -> None:
    assert "left out" not in progress.markdown([FINDING], [])
    assert "GPL-3.0" in progress.markdown([FINDING], [])
    assert "expected" not in progress.markdown([], [DOWN])
    assert "down for good" in progress.markdown([], [DOWN])


def test_the_summary_counts_what_was_published_of_each_target() -> None:
    done = [Action(Step.PUBLISH, region, "beta", 1) for region in (EU, US)]
    done.append(Action(Step.POINT, EU, "beta", 1))
    text = progress.published([want(), want(identifier="beta")], done, [], [], "account 1")
    assert "| alpha-python3.13-arm64 | 1.2.0 | 2 | 0 | 0 |" in text
    assert "| beta | 1.2.0 | 2 | 2 | 0 |" in text

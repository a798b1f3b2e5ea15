"""What `weigh` prints, for small and for very large graphs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from layersmith.report import weights
from layersmith.weigh import verdict

from tests.unit.weigh.scales import MB, Scales

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def scales(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scales]:
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setenv("NO_COLOR", "1")
    yield Scales(tmp_path, monkeypatch)


def test_a_chain_of_600(scales: Scales, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(600):
        following = [f"d{number + 1}"] if number < 599 else []
        scales.add(f"d{number}", {f"d{number}.py": 1000}, *following)
    report = verdict.report(scales.weigh("d0"))
    assert len(report.distributions) == 600
    assert max(len(one.chain) for one in report.distributions) == 600
    weights.show(report, depth=1000)
    said = capsys.readouterr().out
    assert max(map(len, said.splitlines())) <= 120
    assert "└── d1 1.0" in said
    assert "(--depth)" in said


def test_one_of_a_thing_is_no_plural(scales: Scales, capsys: pytest.CaptureFixture[str]) -> None:
    scales.add("alone", {"alone.py": 1000})
    weights.show(verdict.report(scales.weigh("alone")))
    said = capsys.readouterr().out
    assert "1 distribution\n" in said
    assert "1 distributions" not in said


def test_a_star_of_600_that_all_need_each_other(
    scales: Scales, capsys: pytest.CaptureFixture[str]
) -> None:
    names = [f"d{number}" for number in range(600)]
    for number, name in enumerate(names):
        scales.add(name, {f"{name}.py": 1000}, *names[number + 1 : number + 6], "d0")
    scales.add("hub", {"hub.py": 1}, *names)
    weights.show(verdict.report(scales.weigh("hub")), top=0, depth=50)
    said = capsys.readouterr().out
    assert said.count("─ d599 1.0") == 1, "what was shown is not repeated"


def test_brackets_are_text_and_not_markup(
    scales: Scales, capsys: pytest.CaptureFixture[str]
) -> None:
    scales.add("app", {"app.py": 10}, 'loop; extra == "red"', extras="red")
    scales.add("loop", {"loop.so": MB})
    weights.show(verdict.report(scales.weigh("app[red]")))
    said = capsys.readouterr().out
    assert "app[red] on python3.13 arm64" in said
    assert "extra: app[red]" in said


def test_nothing_downloaded_is_said(scales: Scales) -> None:
    scales.add("app", {"app.py": 3000})
    report = verdict.report(scales.weigh("app"))
    assert weights.traffic_text(report).startswith("nothing was downloaded")

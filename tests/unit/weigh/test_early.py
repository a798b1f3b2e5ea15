"""What cannot fit is refused by the directories of its wheels, before it is downloaded."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from layersmith.assemble import budgets
from layersmith.base import runtimes
from layersmith.errors import BudgetError
from layersmith.weigh import verdict

from .scales import MB, Scales

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def scales(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scales:
    return Scales(tmp_path, monkeypatch)


@pytest.mark.parametrize(
    ("files", "settings", "refused"),
    [
        ({"app/data.bin": 300 * MB}, {}, True),
        ({"app/data.bin": 200 * MB}, {}, False),
        ({"app/data.bin": 200 * MB}, {"budgets": {"unzipped": "190MB"}}, True),
        ({"app/data.bin": 200 * MB}, {"budgets": {"zipped": "60MB"}}, True),
        ({"app/app.so": 300 * MB}, {}, False),
        ({"app/app.so": 300 * MB}, {"strip": False}, True),
        ({"app/app.py": 200 * MB}, {}, True),
        ({"app/app.py": 200 * MB}, {"bytecode": "none"}, False),
        ({"app/tests/data.bin": 300 * MB}, {}, False),
        ({"app/data.bin": 300 * MB}, {"prune": {"add": ["app/data.bin"]}}, False),
    ],
)
def test_the_least_that_a_layer_can_become_is_judged(
    scales: Scales,
    monkeypatch: pytest.MonkeyPatch,
    files: dict[str, int],
    settings: dict[str, object],
    refused: bool,
) -> None:
    monkeypatch.setattr(budgets, "possible_mode", lambda target: target.settings.bytecode)
    scales.add("app", files)
    target = scales.target(["app"], **settings)
    if refused:
        with pytest.raises(BudgetError, match="at least"):
            verdict.check_wheels(target, scales.root, None)
    else:
        verdict.check_wheels(target, scales.root, None)


def test_it_is_asked_where_it_could_matter(scales: Scales) -> None:
    target = scales.target(["app"])
    least = runtimes.UNZIPPED_LIMIT // verdict.EXPANSION
    assert not verdict.may_exceed(target, least)
    assert verdict.may_exceed(target, least + 1)
    assert verdict.may_exceed(scales.target(["app"], budgets={"zipped": "1MB"}), MB + 1)
    assert not verdict.may_exceed(scales.target(["app"], budgets={"zipped": "1MB"}), MB)

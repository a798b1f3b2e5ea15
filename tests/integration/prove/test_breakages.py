"""The breakages of Pillow are caught by starting them, with the audit off.

What each of them is, and that the audit catches it first, stands in tests/support/breakages.py and
tests/integration/audit.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from layersmith.prove.smoke import layer

from tests.support import breakages

if TYPE_CHECKING:
    from pathlib import Path

    from layersmith.prove.runners import Runner

pytestmark = [pytest.mark.docker, pytest.mark.slow]

CAUSES = {
    "foreign-machine": r"wrong architecture: python/PIL/_imaging\S* is built for x86_64",
    "foreign-python": r"wrong Python: python/PIL/_imaging\S* is built for Python 3\.12",
    "missing-extension": r"missing extension: python/PIL/_imaging\*\.so is not in the layer",
    "missing-libraries": r"missing shared library: lib\S+ is neither in the layer",
    "renamed-extension": r"wrong architecture: python/PIL/_imaging\S* is a file for x86_64",
}
"""Breakage -> what the smoke test must say of its cause."""


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> breakages.Wheelhouse:
    return breakages.Wheelhouse(tmp_path_factory.mktemp("wheels"))


@pytest.mark.parametrize(
    "breakage", breakages.PIL_BREAKAGES, ids=[one.name for one in breakages.PIL_BREAKAGES]
)
def test_pillow_broken_on_purpose(
    breakage: breakages.Breakage,
    house: breakages.Wheelhouse,
    engine: Runner,
    tmp_path: Path,
) -> None:
    path = breakage.write(house, tmp_path / "layer.zip")
    report = layer.prove(layer.Subject("imaging", path, "arm64"), engine)
    assert not report.ok
    told = "\n".join(report.problems)
    assert breakage.symptom is not None
    assert re.search(breakage.symptom, told)
    assert re.search(CAUSES[breakage.name], told)
    # One broken file is one problem, however many modules it takes along.
    failed = next(one for one in report.imports.failed if "PIL" in one.module and one.diagnosis)
    assert failed.hidden

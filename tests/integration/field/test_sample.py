"""Twenty of the sets of the field run, built and started at every change."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from layersmith.base import runtimes

from tests.field.run import Field
from tests.field.sets import read

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.docker
@pytest.mark.slow
def test_the_sample_works_as_layers(tmp_path: Path) -> None:
    sample = [one for one in read() if one.sample]
    assert len(sample) == 20
    outcomes = Field(tmp_path, runtimes.get("python3.13"), sample).run()
    assert [one.name for one in outcomes] == [one.name for one in sample]
    assert [one for one in outcomes if not one.right] == []
    assert {one.name for one in outcomes if not one.built} == {"pynacl-built", "six-only"}

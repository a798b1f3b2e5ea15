"""Layers are laid over each other as Lambda does it."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

import pytest
from layersmith.errors import ProofError
from layersmith.prove.layer_zip import unpack

from tests.support import zips

if TYPE_CHECKING:
    from pathlib import Path


def test_a_later_layer_wins(tmp_path: Path) -> None:
    one = zips.write(tmp_path / "1.zip", {"python/a.py": "1", "python/b.py": "1"})
    two = zips.write(tmp_path / "2.zip", {"python/b.py": "2", "bin/tool": "x"})
    opt = unpack((one, two), tmp_path / "opt")
    assert (opt / "python/a.py").read_text() == "1"
    assert (opt / "python/b.py").read_text() == "2"
    assert stat.S_IMODE((opt / "bin/tool").stat().st_mode) == 0o755


def test_a_folder_among_zips(tmp_path: Path) -> None:
    one = zips.write(tmp_path / "1.zip", {"python/a.py": "1"})
    (tmp_path / "twin/python").mkdir(parents=True)
    (tmp_path / "twin/python/a.py").write_text("twin")
    assert (unpack((one, tmp_path / "twin"), tmp_path / "o") / "python/a.py").read_text() == "twin"


@pytest.mark.parametrize("name", ["../outside.py", "python/../../outside.py", "/etc/outside"])
def test_members_that_point_out_of_the_layer_are_refused(tmp_path: Path, name: str) -> None:
    evil = zips.write(tmp_path / "evil.zip", {name: "x"})
    with pytest.raises(ProofError, match="points out of the layer"):
        unpack((evil,), tmp_path / "opt")
    assert not (tmp_path / "outside.py").exists()


def test_missing_and_damaged_zips(tmp_path: Path) -> None:
    with pytest.raises(ProofError, match="does not exist"):
        unpack((tmp_path / "none.zip",), tmp_path / "a")
    (tmp_path / "text.zip").write_text("no zip")
    with pytest.raises(ProofError, match="not a readable zip"):
        unpack((tmp_path / "text.zip",), tmp_path / "b")

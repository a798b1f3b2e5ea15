"""Layers are laid over each other as Lambda does it."""

from __future__ import annotations

import stat
import zipfile
from typing import TYPE_CHECKING

import pytest
from layersmith.errors import ProofError
from layersmith.prove.runners.unpack import unpack

if TYPE_CHECKING:
    from pathlib import Path


def make(path: Path, files: dict[str, str]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            info = zipfile.ZipInfo(name)
            info.external_attr = (0o100755 if name.startswith("bin/") else 0o100644) << 16
            archive.writestr(info, content)
    return path


def test_a_later_layer_wins(tmp_path: Path) -> None:
    one = make(tmp_path / "1.zip", {"python/a.py": "1", "python/b.py": "1"})
    two = make(tmp_path / "2.zip", {"python/b.py": "2", "bin/tool": "x"})
    opt = unpack((one, two), tmp_path / "opt")
    assert (opt / "python/a.py").read_text() == "1"
    assert (opt / "python/b.py").read_text() == "2"
    assert stat.S_IMODE((opt / "bin/tool").stat().st_mode) == 0o755


def test_a_folder_among_zips(tmp_path: Path) -> None:
    one = make(tmp_path / "1.zip", {"python/a.py": "1"})
    (tmp_path / "twin/python").mkdir(parents=True)
    (tmp_path / "twin/python/a.py").write_text("twin")
    assert (unpack((one, tmp_path / "twin"), tmp_path / "o") / "python/a.py").read_text() == "twin"


@pytest.mark.parametrize("name", ["../outside.py", "python/../../outside.py", "/etc/outside"])
def test_members_that_point_out_of_the_layer_are_refused(tmp_path: Path, name: str) -> None:
    evil = make(tmp_path / "evil.zip", {name: "x"})
    with pytest.raises(ProofError, match="points out of the layer"):
        unpack((evil,), tmp_path / "opt")
    assert not (tmp_path / "outside.py").exists()


def test_missing_and_damaged_zips(tmp_path: Path) -> None:
    with pytest.raises(ProofError, match="is not there"):
        unpack((tmp_path / "none.zip",), tmp_path / "a")
    (tmp_path / "text.zip").write_text("no zip")
    with pytest.raises(ProofError, match="no zip that can be read"):
        unpack((tmp_path / "text.zip",), tmp_path / "b")

"""No reader of a file crashes over a damaged one; `nox -s fuzz` tries many more of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from layersmith.base import damage

from tests import fuzz

if TYPE_CHECKING:
    from pathlib import Path

READERS = {one.name: one for one in fuzz.readers()}

ROUNDS = 40
"""Damaged files for each reader, the same in every run."""


@pytest.mark.parametrize("name", [name for name, one in READERS.items() if one.sound])
def test_a_sound_file_is_read(name: str, tmp_path: Path) -> None:
    """Otherwise the damages would only ever be refused at the first look."""
    path = tmp_path / "sound" / READERS[name].filename
    path.parent.mkdir()
    path.write_bytes(READERS[name].seed)
    READERS[name].read(path)


@pytest.mark.parametrize("name", READERS)
def test_a_damaged_file_is_read_or_refused(name: str, tmp_path: Path) -> None:
    crashes = list(fuzz.run([READERS[name]], 0, range(ROUNDS), tmp_path))
    assert not crashes, crashes[0].trace


@pytest.mark.parametrize("name", ["wheel", "wheel store", "audit", "layer", "sdist.gz", "listing"])
def test_a_missing_guard_is_found(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(damage, "RAISED", ())
    assert list(fuzz.run([READERS[name]], 0, range(ROUNDS), tmp_path))

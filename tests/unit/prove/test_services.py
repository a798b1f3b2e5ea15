"""A smoke file says which servers it needs, and is not run to find out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from layersmith.errors import ConfigError
from layersmith.prove.services import wanted_by

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def smoke(tmp_path: Path) -> Callable[[str], Path]:
    def write(text: str) -> Path:
        path = tmp_path / "smoke.py"
        path.write_text(text)
        return path

    return write


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("SERVICES = ('chroma',)", ("chroma",)),
        ("SERVICES = ['chroma']", ("chroma",)),
        ("import nothing_like_this\nraise SystemExit\nSERVICES = ()", ()),
        ("def f():\n    SERVICES = ('chroma',)", ()),
        ("", ()),
    ],
)
def test_services(smoke: Callable[[str], Path], text: str, expected: tuple[str, ...]) -> None:
    assert wanted_by(smoke(text)) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("SERVICES = ('postgres',)", "asks for the service 'postgres'"),
        ("SERVICES = make()", "not a tuple of strings"),
        ("SERVICES = 3", "not a tuple of strings"),
        ("def broken(:", "is no Python"),
    ],
)
def test_what_cannot_be_meant_is_refused(
    smoke: Callable[[str], Path], text: str, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        wanted_by(smoke(text))


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is not there"):
        wanted_by(tmp_path / "none.py")

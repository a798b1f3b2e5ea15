"""Which Python builds packages that compile nothing."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from layersmith.base import runtimes, uv
from layersmith.crossbuild import isolated


@pytest.mark.parametrize("found", [Path("python3.14"), None])
def test_the_runtime_s_version_or_this_one_with_a_warning(
    found: Path | None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    isolated.pure_interpreter.cache_clear()
    monkeypatch.setattr(uv, "interpreter", lambda _: found)
    program = isolated.pure_interpreter(runtimes.get("python3.14"))
    isolated.pure_interpreter.cache_clear()
    said = capsys.readouterr().err
    if found:
        assert program == found
        assert said == ""
    else:
        assert program == Path(sys.executable)
        assert "no CPython 3.14 on this machine" in said

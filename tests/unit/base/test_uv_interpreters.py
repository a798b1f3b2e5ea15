"""Which interpreter is taken: folders laid out as PATH and pyenv have them."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from layersmith import process, repeats
from layersmith.base import uv

MINOR = sys.version_info[1]
NOBODY = 99
"""A minor version that no machine has."""


@pytest.fixture(autouse=True)
def nothing_is_found_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No PATH, no pyenv, and no interpreters of uv's own."""
    uv.interpreter.cache_clear()
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path / "pyenv"))
    monkeypatch.setenv("UV_PYTHON_INSTALL_DIR", str(tmp_path / "managed"))


def test_the_one_that_runs_needs_no_uv(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uv, "find_python", lambda *_: pytest.fail("uv was asked"))
    assert uv.interpreter(MINOR) == Path(sys.executable)


@pytest.mark.parametrize("install", [False, True])
def test_uv_installs_one_only_where_it_may_and_there_is_none(
    install: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    found: list[Path | None] = [None, Path("/managed/python")]
    monkeypatch.setattr(uv, "find_python", lambda *_: found.pop(0))
    monkeypatch.setattr(uv, "install_python", lambda minor: told.append(f"3.{minor}"))
    monkeypatch.setattr(repeats, "refuse", lambda: told.append("none"))
    monkeypatch.setattr(repeats, "saw", lambda path: told.append(str(path)))
    there = uv.interpreter(NOBODY, install=install)
    assert there == (Path("/managed/python") if install else None)
    assert told == ([f"3.{NOBODY}", "/managed/python"] if install else ["none"])


def test_an_interpreter_that_is_found_is_not_installed_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(uv, "find_python", lambda *_: Path("/usr/python"))
    monkeypatch.setattr(uv, "install_python", lambda _: pytest.fail("uv was asked"))
    assert uv.interpreter(NOBODY) == Path("/usr/python")


def test_where_uv_cannot_install_it_is_said_and_there_is_none(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(_: int) -> None:
        raise process.CommandFailed(process.Completed(("uv",), 1, "", "a\nno such build"))

    monkeypatch.setattr(uv, "find_python", lambda *_: None)
    monkeypatch.setattr(uv, "install_python", fail)
    assert uv.interpreter(NOBODY) is None
    assert "cannot install CPython 3.99 here: no such build" in capsys.readouterr().err


def test_pyenvs_versions_stand_for_its_shims(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = tmp_path / f"pyenv/versions/3.{MINOR}.4"
    there.mkdir(parents=True)
    shims = tmp_path / "pyenv/shims"
    monkeypatch.setenv("PATH", f"{shims}{os.pathsep}{os.pathsep}/usr/none")

    path = uv.search_path(MINOR)

    assert path.split(os.pathsep) == ["/usr/none", str(there / "bin")]


def test_the_newest_of_pyenv_comes_first(tmp_path: Path) -> None:
    versions = tmp_path / "pyenv/versions"
    for name in ("3.9.2", "3.9.10", "3.9.9", "3.90.1", "13.9.1", "3.9.x", "3.9", "pypy3.9.4"):
        (versions / name).mkdir(parents=True)
    folders = [str(versions / name / "bin") for name in ("3.9.10", "3.9.9", "3.9.2")]
    assert uv.search_path(9).split(os.pathsep) == folders


def test_a_pyenv_that_cannot_be_listed_has_no_versions(tmp_path: Path) -> None:
    (tmp_path / "pyenv").write_text("as little to list as in a folder of another user")
    assert uv.search_path(9) == ""


def test_without_pyenv_the_path_is_the_users(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"/a{os.pathsep}/b")
    assert uv.search_path(NOBODY) == f"/a{os.pathsep}/b"


def test_one_is_installed_where_there_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    found = [None, tmp_path / "new"]
    monkeypatch.setattr(uv, "find_python", lambda minor, path: found[len(asked)])
    monkeypatch.setattr(uv, "install_python", asked.append)
    assert uv.interpreter(NOBODY, install=False) is None
    assert asked == []
    assert uv.interpreter(NOBODY) == tmp_path / "new"
    assert asked == [NOBODY]
    assert uv.interpreter(NOBODY) == tmp_path / "new"
    assert asked == [NOBODY], "it was not remembered"


def test_none_is_what_is_left_where_uv_cannot_install_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(minor: int) -> None:
        raise process.CommandFailed(process.Completed(("uv",), 2, "", "first\nno network "))

    monkeypatch.setattr(uv, "find_python", lambda *_: None)
    monkeypatch.setattr(uv, "install_python", fail)
    assert uv.interpreter(NOBODY) is None
    assert f"uv cannot install CPython 3.{NOBODY} here: no network\n" in capsys.readouterr().err

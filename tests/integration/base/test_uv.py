"""What the real uv finds and knows."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from layersmith import process
from layersmith.base import uv

MINOR = sys.version_info[1]
HERE = Path(sys.executable).resolve()
NOBODY = 99
"""A minor version that no machine has."""


@pytest.fixture(autouse=True)
def uv_has_none_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UV_PYTHON_INSTALL_DIR", str(tmp_path / "managed"))


def link(folder: Path) -> Path:
    folder.mkdir(parents=True)
    path = folder / f"python3.{MINOR}"
    path.symlink_to(HERE)
    return path


def test_uv_finds_what_is_on_the_path(tmp_path: Path) -> None:
    there = link(tmp_path / "bin")
    assert uv.find_python(MINOR, str(tmp_path / "bin")) == there
    assert uv.find_python(MINOR, str(tmp_path / "empty")) is None
    assert uv.find_python(NOBODY, str(tmp_path / "bin")) is None


def test_a_virtualenv_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    uv.create_virtualenv(tmp_path / "venv", HERE)
    there = link(tmp_path / "bin")
    monkeypatch.setenv("VIRTUAL_ENV", str(tmp_path / "venv"))
    path = f"{tmp_path / 'venv/bin'}{os.pathsep}{tmp_path / 'bin'}"
    assert uv.find_python(MINOR, path) == there


def test_pyenvs_versions_stand_for_its_shims(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shims, versions = tmp_path / "pyenv/shims", tmp_path / "pyenv/versions"
    shims.mkdir(parents=True)
    shim = shims / f"python3.{MINOR}"
    shim.write_text(f"#!/bin/sh\ntouch {tmp_path}/started\nexit 127\n")
    shim.chmod(0o755)
    there = link(versions / f"3.{MINOR}.4/bin")
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path / "pyenv"))
    monkeypatch.setenv("PATH", f"{shims}{os.pathsep}{os.pathsep}/usr/none")

    path = uv.search_path(MINOR)

    assert path.split(os.pathsep) == ["/usr/none", str(there.parent)]
    assert uv.find_python(MINOR, path) == there
    assert not (tmp_path / "started").exists()


def test_uv_has_every_platform_of_the_table(tmp_path: Path) -> None:
    for minor in uv.GLIBC:
        name = f"x86_64-manylinux_2_{minor}"
        uv.compile_pins("-", "--offline", "--python-platform", name, stdin="", timeout=60)
    with pytest.raises(process.CommandFailed):
        uv.compile_pins("-", "--python-platform", "x86_64-manylinux_2_26", stdin="", timeout=60)


@pytest.mark.parametrize("content", ["#!/bin/none\n", "", "text"])
def test_a_program_that_cannot_be_started(tmp_path: Path, content: str) -> None:
    """For instance a closed folder on a PATH of root, or a file for another machine."""
    path = tmp_path / "uv"
    path.write_text(content)
    path.chmod(0o755 if content else 0o644)
    with pytest.raises(process.CommandFailed) as caught:
        process.run([path])
    assert caught.value.completed.returncode == 127
    assert str(path) in caught.value.output


def test_what_was_killed_and_said_nothing_is_told(tmp_path: Path) -> None:
    with pytest.raises(process.CommandFailed) as caught:
        process.run(["sh", "-c", "kill -9 $$"])
    assert caught.value.output == "it was ended by SIGKILL"


def test_uv_gets_a_cache_where_its_own_cannot_be_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "home").write_text("a file where the home should be")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("LAYERSMITH_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.delenv("UV_CACHE_DIR", raising=False)
    assert uv.run("cache", "dir", timeout=60).stdout.strip() == str(tmp_path / "cache/uv")

"""Local packages: what their builds see, and that the same sources make the same zip."""

from __future__ import annotations

import zipfile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from .conftest import Project

CONFIG = """\
defaults:
  runtimes: ["python3.11"]
layers:
  demo:
    description: a layer for tests
    version: 1.0.0
    packages: [{folder}]
"""

HATCHLING = """\
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"
[project]
name = "mypkg"
version = "1.0"
"""


def sources(folder: Path, pyproject: str, **files: str) -> Path:
    """Write a package mypkg, whose files are those given and an __init__.py."""
    for name, text in {"__init__.py": "", **files}.items():
        path = folder / "src" / "mypkg" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (folder / "pyproject.toml").write_text(pyproject)
    return folder


def modes(project: Project) -> dict[str, int]:
    """Return path below python/ to its mode, of the one zip in dist/."""
    (path,) = project.dist.glob("*.zip")
    with zipfile.ZipFile(path) as archive:
        return {
            info.filename.removeprefix("python/"): info.external_attr >> 16 & 0o777
            for info in archive.infolist()
        }


def test_sub_packages_called_build_and_dist_are_in_the_layer(project: Project) -> None:
    files = {"build/__init__.py": "A = 1\n", "dist/__init__.py": "B = 2\n"}
    sources(project.root / "pkg", HATCHLING, **files)
    project.write(CONFIG.format(folder="pkg"))
    project.lock()
    project.build()
    assert {"mypkg/build/__init__.py", "mypkg/dist/__init__.py"} <= modes(project).keys()


def test_a_mode_that_changes_is_built_anew(project: Project) -> None:
    tool = sources(project.root / "pkg", HATCHLING, tool="#!/bin/sh\n") / "src/mypkg/tool"
    project.write(CONFIG.format(folder="pkg"))
    project.lock()
    project.build()
    assert modes(project)["mypkg/tool"] == 0o644
    tool.chmod(0o755)
    assert project.build()[0]["status"] == "built"
    assert modes(project)["mypkg/tool"] == 0o755


def test_a_package_that_is_the_checkout_is_built_once(project: Project) -> None:
    sources(project.root, HATCHLING)
    project.write(CONFIG.format(folder='"."'))
    project.lock()
    assert project.build()[0]["status"] == "built"
    assert project.build()[0]["status"] == "unchanged"

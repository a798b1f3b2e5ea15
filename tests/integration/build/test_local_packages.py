"""Local packages: what their builds see, and that the same sources make the same zip."""

from __future__ import annotations

import zipfile
from typing import TYPE_CHECKING

import pytest
from layersmith.base import runtimes, uv
from layersmith.crossbuild import host, isolated
from layersmith.lock import targets as locking

from tests.support import zips

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


SETUPTOOLS = """\
[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"
[project]
name = "mypkg"
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


def test_the_backend_is_the_locked_one(project: Project) -> None:
    pyproject = HATCHLING.replace('"hatchling"', '"hatchling<1.27"')
    sources(project.root / "pkg", pyproject)
    project.write(CONFIG.format(folder="pkg"))
    project.run("lock")
    (lock,) = (project.root / "locks").glob("*.txt")
    assert "# package mypkg\n" in lock.read_text()
    assert "    # build hatchling==1.26.3 --hash=sha256:" in lock.read_text()
    constraint = {"UV_BUILD_CONSTRAINT": str(project.root / "constraint.txt")}
    (project.root / "constraint.txt").write_text("hatchling<1.26\n")
    first = project.zips() if project.build() else {}
    project.build("--force", LAYERSMITH_CACHE=str(project.root / "other-cache"), **constraint)
    assert project.zips() == first


def test_a_build_system_that_changed_is_locked_anew(project: Project) -> None:
    package = sources(project.root / "pkg", HATCHLING)
    project.write(CONFIG.format(folder="pkg"))
    project.lock()
    sources(package, HATCHLING.replace('"hatchling"', '"hatchling<2"'))
    assert "packages changed" in project.run("build", check=4).stderr


def test_what_only_the_backend_asks_for_is_in_the_lock(project: Project) -> None:
    package = sources(project.root / "pkg", HATCHLING)
    project.write(CONFIG.format(folder="pkg"))
    project.lock()
    sources(package, HATCHLING + '[tool.hatch.build.hooks.x]\ndependencies = ["six==1.16"]\n')
    done = project.run("build", check=5)
    assert "the lock names no six==1.16, which the local package pkg needs" in done.stderr
    project.run("lock")
    (lock,) = (project.root / "locks").glob("*.txt")
    assert "# build six==1.16.0 --hash=sha256:" in lock.read_text()


def test_dependencies_that_come_from_a_requirements_file_are_covered(project: Project) -> None:
    dynamic = 'version = "1.0"\ndynamic = ["dependencies"]\n[tool.setuptools.dynamic]\n'
    named = 'dependencies = {file = ["requirements.txt"]}\n'
    package = sources(project.root / "pkg", SETUPTOOLS + dynamic + named)
    (package / "requirements.txt").write_text("")
    project.write(CONFIG.format(folder="pkg"))
    project.run("lock")
    (package / "requirements.txt").write_text("idna\n")
    assert "packages changed" in project.run("build", check=4).stderr
    (result,) = locking.update(project.targets(), project.root, quiet=True)
    assert result.lock
    assert [entry.name for entry in result.lock.entries] == ["idna"]


def test_dependencies_that_come_from_nowhere_are_held_against_the_lock(project: Project) -> None:
    script = (
        "import os\nfrom setuptools import setup\n"
        "setup(install_requires=['six>=1.16'] if os.environ.get('NEED') else [])\n"
    )
    dynamic = 'version = "1.0"\ndynamic = ["dependencies"]\n'
    package = sources(project.root / "pkg", SETUPTOOLS + dynamic)
    (package / "setup.py").write_text(script)
    project.write(CONFIG.format(folder="pkg"))
    project.lock()
    project.write(CONFIG.format(folder="pkg") + '    environment: {NEED: "1"}\n')
    done = project.run("build", check=4)
    assert "mypkg asks for six>=1.16, and the lock holds no six" in done.stderr


OWN_BACKEND = """\
import sys
from setuptools import build_meta

def build_wheel(to, config_settings=None, metadata_directory=None):
    with open("src/mypkg/built.py", "w") as stream:
        stream.write(f"PYTHON = {sys.version_info[:2]}\\n")
    return build_meta.build_wheel(to, config_settings, metadata_directory)
"""


@pytest.mark.needs("python3.11", "python3.13")
def test_the_python_of_the_target_builds(project: Project) -> None:
    in_tree = SETUPTOOLS.replace('"setuptools.build_meta"', '"backend"\nbackend-path = ["."]')
    package = sources(project.root / "pkg", in_tree + 'version = "1.0"\n')
    (package / "backend.py").write_text(OWN_BACKEND)
    (package / ".python-version").write_text("3.7\n")  # that of the developer's tools
    config = CONFIG.format(folder="pkg").replace('"python3.11"', '"python3.11", "python3.13"')
    project.write(config + "    bytecode: none\n")
    project.lock()
    project.build()
    for minor in (11, 13):
        with zipfile.ZipFile(project.dist / f"demo-1.0.0-python3.{minor}-arm64.zip") as archive:
            assert archive.read("python/mypkg/built.py") == f"PYTHON = (3, {minor})\n".encode()
    assert not (package / "src/mypkg/built.py").exists()


def test_a_machine_without_that_python_builds_with_its_own_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(uv, "interpreter", lambda _minor: None)
    isolated.pure_interpreter.cache_clear()
    package = sources(tmp_path / "pkg", HATCHLING)
    build = host.HostBuild(package, runtimes.get("python3.13"), {})
    try:
        assert build.wheel(build.requirements()).name.endswith("none-any.whl")
    finally:
        isolated.pure_interpreter.cache_clear()
    assert "no CPython 3.13 on this machine" in capsys.readouterr().err


def test_an_sdist_that_is_a_zip_is_built_and_any_pure_tag_will_do(tmp_path: Path) -> None:
    pyproject = HATCHLING + '[tool.hatch.build.targets.wheel.hooks.custom]\npath = "tag.py"\n'
    tag = (
        "from hatchling.builders.hooks.plugin.interface import BuildHookInterface\n"
        "class Hook(BuildHookInterface):\n"
        "    def initialize(self, version, data):\n"
        "        data['tag'] = 'cp313-none-any'\n"
    )
    files = {"pyproject.toml": pyproject, "tag.py": tag, "src/mypkg/__init__.py": ""}
    members = {f"mypkg-1.0/{path}": text for path, text in files.items()}
    sdist = zips.write(tmp_path / "mypkg-1.0.zip", members)
    build = host.HostBuild(sdist, runtimes.get("python3.13"), {})
    assert build.wheel(build.requirements()).name == "mypkg-1.0-cp313-none-any.whl"

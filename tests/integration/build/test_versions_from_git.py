"""Local packages whose version, and whose list of files, come from git."""

from __future__ import annotations

import sys
import zipfile
from typing import TYPE_CHECKING

import pytest
from layersmith.base import runtimes
from layersmith.crossbuild import folder, host
from layersmith.lock import targets as locking

from tests.support.repositories import git

from .test_local_packages import CONFIG, modes

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from .conftest import Project

HERE = f"python3.{sys.version_info[1]}"

SETUPTOOLS_SCM = """\
[build-system]
requires = ["setuptools", "setuptools-scm"]
build-backend = "setuptools.build_meta"
[project]
name = "mypkg"
dynamic = ["version"]
[tool.setuptools_scm]
root = ".."
"""

HATCH_VCS = """\
[build-system]
requires = ["hatchling", "hatch-vcs"]
build-backend = "hatchling.build"
[project]
name = "mypkg"
dynamic = ["version"]
[tool.hatch.version]
source = "vcs"
[tool.hatch.version.raw-options]
root = ".."
"""


def commit(folder: Path) -> None:
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "x", "--allow-empty")


def built(package: Path, pins: Sequence[str] | None = None, **environment: str) -> Path:
    return host.HostBuild(package, runtimes.get(HERE), environment).wheel(pins)


def version(wheel: Path) -> str:
    return wheel.name.split("-")[1]


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A package below the top of a repository with one commit and a tag."""
    top = tmp_path / "repository"
    source = top / "pkg" / "src" / "mypkg"
    source.mkdir(parents=True)
    (source / "__init__.py").write_text("")
    (source / "data.txt").write_text("known to git alone\n")
    (top / "shared.txt").write_text("one\n")
    (source / "linked.txt").symlink_to("../../../shared.txt")
    (top / "pkg" / "pyproject.toml").write_text(SETUPTOOLS_SCM)
    git(top, "init", "--quiet")
    commit(top)
    git(top, "tag", "v1.2.0")
    return top / "pkg"


def test_the_version_follows_tags_commits_and_changes(package: Path) -> None:
    pins = host.HostBuild(package, runtimes.get(HERE), {}).requirements()
    (package / "src/mypkg/untracked.py").write_text("")
    wheel = built(package, pins)
    assert version(wheel) == "1.2.0"
    with zipfile.ZipFile(wheel) as archive:
        assert "mypkg/data.txt" in archive.namelist()  # listed by git, not by setuptools
    (package.parent / "shared.txt").write_text("two\n")
    assert version(built(package, pins)).endswith(".d19800101")  # dated by the build's own clock
    commit(package)
    assert version(built(package, pins)).startswith("1.2.1.dev1+g")
    git(package, "tag", "v2.0")
    before = folder.digest(package)
    assert version(built(package, pins)) == "2.0"
    assert folder.digest(package) == before
    assert git(package, "status", "--short") == ""


def test_hatch_vcs_reads_the_same_repository(package: Path) -> None:
    (package / "pyproject.toml").write_text(HATCH_VCS)
    commit(package)
    git(package, "tag", "v1.3.0")
    assert version(built(package)) == "1.3.0"


def test_without_a_repository_the_hint_names_the_variable(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    package = project.root / "pkg"
    (package / "src" / "mypkg").mkdir(parents=True)
    (package / "pyproject.toml").write_text(SETUPTOOLS_SCM)
    project.write(CONFIG.format(folder="pkg"))
    (refused,) = locking.update(project.targets(), project.root, quiet=True)
    assert refused.error
    variable = "SETUPTOOLS_SCM_PRETEND_VERSION_FOR_MYPKG"
    assert f"{variable} under `environment:`" in str(refused.error.hint)
    assert "git cannot read" in " ".join(capsys.readouterr().err.split())
    project.write(CONFIG.format(folder="pkg") + f'    environment: {{{variable}: "3.1"}}\n')
    project.run("lock")
    assert "git cannot read" not in project.run("build").stderr
    assert "mypkg-3.1.dist-info/METADATA" in modes(project)


def test_a_shallow_clone_is_said(
    package: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (package.parent / "shared.txt").write_text("two\n")
    commit(package)
    git(tmp_path, "clone", "--quiet", "--depth=1", f"file://{package.parent}", "shallow")
    wheel = built(tmp_path / "shallow" / "pkg")
    assert "is a shallow clone, which may lack tags" in " ".join(capsys.readouterr().err.split())
    assert version(wheel).startswith("0.1.dev1+g")

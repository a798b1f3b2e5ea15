"""Local packages whose version, and whose list of files, come from git."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from .test_local_packages import CONFIG, modes

if TYPE_CHECKING:
    from pathlib import Path

    from .conftest import Project

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


def git(folder: Path, *words: str) -> str:
    argv = ["git", "-c", "user.name=T", "-c", "user.email=t@example.invalid", *words]
    return subprocess.run(argv, cwd=folder, check=True, capture_output=True, text=True).stdout


def commit(folder: Path) -> None:
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "x", "--allow-empty")


def version(project: Project) -> str:
    (name,) = {path.split("/")[0] for path in modes(project) if ".dist-info/" in path}
    return name.removeprefix("mypkg-").removesuffix(".dist-info")


@pytest.fixture
def repository(project: Project) -> Path:
    """A repository with the package below its top, one commit with a tag, ready to build."""
    source = project.root / "pkg" / "src" / "mypkg"
    source.mkdir(parents=True)
    (source / "__init__.py").write_text("")
    (source / "data.txt").write_text("known to git alone\n")
    (project.root / "shared.txt").write_text("one\n")
    (source / "linked.txt").symlink_to("../../../shared.txt")
    (project.root / "pkg" / "pyproject.toml").write_text(SETUPTOOLS_SCM)
    (project.root / ".gitignore").write_text("dist/\nlocks/\n")
    project.write(CONFIG.format(folder="pkg"))
    git(project.root, "init", "--quiet")
    commit(project.root)
    git(project.root, "tag", "v1.2.0")
    return project.root


def test_the_version_follows_tags_commits_and_changes(project: Project, repository: Path) -> None:
    project.lock()
    project.build()
    assert version(project) == "1.2.0"
    assert "mypkg/data.txt" in modes(project)  # listed by git, not by setuptools
    (repository / "pkg/src/mypkg/untracked.py").write_text("")
    assert project.build()[0]["status"] == "built"
    assert version(project) == "1.2.0"
    (repository / "shared.txt").write_text("two\n")
    project.build()
    assert version(project).endswith(".d19800101")  # changed, dated by the build's own clock
    commit(repository)
    project.build()
    assert version(project).startswith("1.2.1.dev1+g")
    git(repository, "tag", "v2.0")
    project.build()
    assert version(project) == "2.0"
    assert project.build()[0]["status"] == "unchanged"
    assert git(repository, "status", "--short") == ""


def test_hatch_vcs_reads_the_same_repository(project: Project, repository: Path) -> None:
    (repository / "pkg" / "pyproject.toml").write_text(HATCH_VCS)
    commit(repository)
    git(repository, "tag", "v1.3.0")
    project.lock()
    project.build()
    assert version(project) == "1.3.0"


def test_without_a_repository_the_hint_names_the_variable(
    project: Project, repository: Path
) -> None:
    project.lock()
    shutil.rmtree(repository / ".git")
    done = project.run("build", check=5)
    assert "SETUPTOOLS_SCM_PRETEND_VERSION_FOR_MYPKG under `environment:`" in done.stderr
    variable = '    environment: {SETUPTOOLS_SCM_PRETEND_VERSION_FOR_MYPKG: "3.1"}\n'
    project.write(CONFIG.format(folder="pkg") + variable)
    project.run("lock")
    assert "git cannot read" not in project.run("build").stderr
    assert version(project) == "3.1"


def test_a_shallow_clone_is_said(project: Project, repository: Path, tmp_path: Path) -> None:
    (repository / "shared.txt").write_text("two\n")
    commit(repository)
    git(tmp_path, "clone", "--quiet", "--depth=1", f"file://{repository}", "shallow")
    shutil.rmtree(repository)
    (tmp_path / "shallow").rename(repository)
    project.lock()
    done = project.run("build")
    assert "is a shallow clone, which may lack tags" in " ".join(done.stderr.split())
    assert version(project).startswith("0.1.dev1+g")

"""Requirements by URL and from git repositories."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest
from layersmith import lock
from layersmith.errors import BuildError
from layersmith.lock import wheelstore

from tests.support import repositories

if TYPE_CHECKING:
    from pathlib import Path

    from .conftest import Project
    from .index import Index

PYPROJECT = """\
[project]
name = "thing"
version = "1.5"
dependencies = ["a"]
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
"""


class Repository:
    """A git repository with a project in a subfolder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "pkg").mkdir(parents=True)
        (folder / "pkg" / "pyproject.toml").write_text(PYPROJECT)
        (folder / "pkg" / "backend.py").write_text("")
        (folder / "pkg" / "run.sh").write_text("#!/bin/sh\n")
        (folder / "pkg" / "run.sh").chmod(0o755)
        (folder / "pkg" / "link").symlink_to("run.sh")
        self.git("init", "--quiet", "--initial-branch=main")
        self.commit("first")

    def git(self, *words: str) -> str:
        """Run git."""
        return repositories.git(self.folder, *words)

    def commit(self, text: str) -> str:
        """Commit a change, and return its hash."""
        (self.folder / "pkg" / "data.txt").write_text(text)
        self.git("add", ".")
        self.git("commit", "--quiet", "-m", text)
        return self.git("rev-parse", "HEAD")

    def requirement(self, revision: str) -> str:
        """Return the line for layers.yaml."""
        return f"thing @ git+{self.folder.as_uri()}@{revision}#subdirectory=pkg"


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "repository")


def test_a_git_requirement_is_locked_to_its_commit(
    project: Project, index: Index, repository: Repository
) -> None:
    index.wheel("a", "1.0")
    first = repository.git("rev-parse", "HEAD")
    project.write(f"requirements: ['{repository.requirement('main')}']")
    found, target = project.lock(), project.targets()[0]
    thing = found.entry("thing")
    assert thing
    assert (thing.version, thing.filename, thing.commit) == ("1.5", "thing-1.5.tar", first)
    assert {e.name: e.via for e in found.entries} == {"a": ("thing",), "thing": ("layers.yaml",)}
    assert str(repository.folder) not in project.path().read_text()

    second = repository.commit("second")
    assert project.lock() == found, "the locked commit is kept"
    shutil.rmtree(project.root.parent / "cache")
    url, filename, _ = lock.urls(found, target, root=project.root)[thing.sha256]
    assert f"@{first}#" in url
    again = wheelstore.fetch_one(wheelstore.Download(thing.sha256, url, filename))
    assert wheelstore.verified(thing.sha256, filename) == again

    upgraded = project.lock(upgrade=["thing"]).entry("thing")
    assert upgraded
    assert upgraded.commit == second
    assert upgraded.sha256 != thing.sha256


def test_an_archive_of_a_commit_is_the_same_everywhere(
    repository: Repository, tmp_path: Path
) -> None:
    commit = repository.git("rev-parse", "HEAD")
    copy = tmp_path / "copy"
    repository.git("clone", "--quiet", "--bare", str(repository.folder), str(copy))
    repository.git("repack", "-a", "-q")
    one, two = (
        wheelstore.pack_commit(f"git+{folder.as_uri()}@{commit}#subdirectory=pkg", "thing-1.5")
        for folder in (repository.folder, copy)
    )
    assert one == two
    for text in (b"thing-1.5/PKG-INFO", b"Version: 1.5\n", b"thing-1.5/link"):
        assert text in one
    assert b".git/" not in one
    with pytest.raises(BuildError, match="has no folder nowhere"):
        wheelstore.pack_commit(f"git+{copy.as_uri()}@{commit}#subdirectory=nowhere", "thing-1.5")
    with pytest.raises(BuildError, match="git could not fetch commit 0000"):
        wheelstore.pack_commit(f"git+{copy.as_uri()}@{'0' * 40}", "thing-1.5")


def test_a_wheel_by_its_url_is_locked_with_its_hash(project: Project, index: Index) -> None:
    index.wheel("a", "1.0")
    index.wheel("direct", "1.0", "py3-none-any", requires=["a"])
    index.sdist("source", "2.0")
    place = index.url.replace("/simple", "/files")
    project.write(
        f"requirements: ['direct @ {place}/direct-1.0-py3-none-any.whl#md5=0',"
        f" 'source @ {place}/source-2.0.tar.gz']"
    )
    found, target = project.lock(), project.targets()[0]
    assert {entry.filename: entry.sha256 for entry in found.entries} == {
        name: index.sha256(name)
        for name in ("a-1.0-py3-none-any.whl", "direct-1.0-py3-none-any.whl", "source-2.0.tar.gz")
    }
    assert "://" not in project.path().read_text()
    listed = lock.urls(found, target, root=project.root)
    assert lock.urls(found, target, root=project.root, refresh=True) == listed


def test_a_wheel_by_its_url_has_to_fit(project: Project, index: Index) -> None:
    index.wheel("direct", "1.0", "cp313-cp313-manylinux_2_39_aarch64")
    place = index.url.replace("/simple", "/files")
    wheel = "direct-1.0-cp313-cp313-manylinux_2_39_aarch64.whl"
    project.write(f"requirements: ['direct @ {place}/{wheel}']")
    assert "direct" in project.refused().message


def test_a_source_of_a_local_package_that_is_a_repository_is_named(
    project: Project, index: Index, repository: Repository
) -> None:
    index.wheel("a", "1.0")
    app = project.root / "app"
    app.mkdir()
    (app / "pyproject.toml").write_text(
        "[project]\nname = 'app'\nversion = '1'\ndependencies = ['thing']\n[tool.uv.sources]\n"
        f"thing = {{ git = '{repository.folder.as_uri()}', subdirectory = 'pkg' }}\n"
        "[build-system]\nrequires = []\nbuild-backend = 'backend'\nbackend-path = ['.']\n"
    )
    (app / "backend.py").touch()
    project.write("packages: [app]")
    error = project.refused()
    assert "thing comes from a URL or git repository" in error.message
    assert f"`thing @ git+{repository.folder.as_uri()}@" in str(error.hint)
    line = str(error.hint).split("`")[1]
    project.write("packages: [app]", f"requirements: ['{line}']")
    assert project.lock().entry("thing")


def test_a_source_of_the_file_of_requirements_is_a_requirement(
    project: Project, index: Index, repository: Repository
) -> None:
    index.wheel("a", "1.0")
    (project.root / "app").mkdir()
    (project.root / "app" / "pyproject.toml").write_text(
        "[dependency-groups]\nmain = ['thing>=1', 'a']\n[tool.uv.sources]\nthing = "
        f"{{ git = '{repository.folder.as_uri()}', subdirectory = 'pkg', branch = 'main' }}\n"
    )
    project.write("requirements: {file: app/pyproject.toml, groups: [main]}")
    found = project.lock()
    thing = found.entry("thing")
    assert thing
    assert thing.commit == repository.git("rev-parse", "HEAD")
    assert lock.check(project.targets()[0], project.root) == found

"""Local packages that other local packages bring along: workspaces and path sources of uv."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from layersmith import lock
from layersmith.errors import LockError

from .conftest import Project, versions

if TYPE_CHECKING:
    from pathlib import Path

    from .index import Index

WORKSPACE = (
    "[project]\nname = 'all'\nversion = '0'\n[tool.uv.workspace]\nmembers = ['libs/*', 'app']\n"
)
SYSTEM = """\
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
"""
DYNAMIC = f'dynamic = ["dependencies"]\n{SYSTEM}'
BACKEND = """\
import pathlib
def prepare_metadata_for_build_wheel(to, config_settings=None):
    info = pathlib.Path(to, "lib-1.dist-info"); info.mkdir()
    text = "Metadata-Version: 2.1\\nName: lib\\nVersion: 1\\nRequires-Dist: a\\n"
    info.joinpath("METADATA").write_text(text)
    info.joinpath("WHEEL").write_text("Wheel-Version: 1.0\\nTag: py3-none-any\\n")
    return info.name
"""


def package(folder: Path, *lines: str) -> None:
    folder.mkdir(parents=True)
    text = "\n".join(["[project]", f"name = '{folder.name}'", "version = '1'", *lines])
    if "[build-system]" not in text:  # the index of these tests has no setuptools
        text += f"\n{SYSTEM}"
        (folder / "backend.py").touch()
    (folder / "pyproject.toml").write_text(f"{text}\n")


@pytest.fixture(autouse=True)
def offered(index: Index) -> None:
    index.wheel("a", "1.0")
    index.wheel("b", "1.0")


def test_members_of_a_workspace_are_local_packages(project: Project) -> None:
    (project.root / "pyproject.toml").write_text(WORKSPACE)
    package(project.root / "app", "dependencies = ['lib[more]']",
            "[tool.uv.sources]", "lib = { workspace = true }")  # fmt: skip
    package(project.root / "libs" / "lib", "dependencies = ['a']",
            "[project.optional-dependencies]", "more = ['b']")  # fmt: skip
    package(project.root / "libs" / "unused", "dependencies = ['b']")
    project.write("packages: [app]")
    found, target = project.lock(), project.targets()[0]
    assert found.members == {"lib": "libs/lib"}
    assert {e.name: e.via for e in found.entries} == {"a": ("lib",), "b": ("lib",)}
    assert lock.folders(found, target) == ["app", "libs/lib"]
    assert "# local lib libs/lib\n" in project.path().read_text()
    lock.check(target, project.root)
    path = project.root / "libs" / "lib" / "pyproject.toml"
    path.write_text(path.read_text().replace("['a']", "['a', 'b']"))
    with pytest.raises(LockError, match="packages changed since it was written"):
        lock.check(target, project.root)


def test_a_member_that_another_folder_replaces_is_locked_again(project: Project) -> None:
    (project.root / "pyproject.toml").write_text(WORKSPACE)
    package(project.root / "app", "dependencies = ['lib']",
            "[tool.uv.sources]", "lib = { workspace = true }")  # fmt: skip
    package(project.root / "libs" / "lib")
    project.write("packages: [app]")
    project.lock()
    package(project.root / "other" / "lib")
    (project.root / "pyproject.toml").write_text(WORKSPACE.replace("libs/*", "other/*"))
    with pytest.raises(LockError, match="packages changed since it was written"):
        lock.check(project.targets()[0], project.root)
    assert project.lock().members == {"lib": "other/lib"}


def test_path_sources_outside_the_folder_with_dynamic_dependencies(project: Project) -> None:
    package(project.root / "app", "dependencies = [\"lib; sys_platform == 'linux'\"]",
            "[tool.uv.sources]", "lib = { path = '../../lib' }")  # fmt: skip
    package(project.root.parent / "lib", DYNAMIC)
    (project.root.parent / "lib" / "backend.py").write_text(BACKEND)
    project.write("packages: [app]")
    found = project.lock()
    assert found.members == {"lib": "../lib"}
    assert versions(found) == {"a": "1.0"}


def test_a_requirement_with_a_path_source_is_a_local_package(project: Project) -> None:
    (project.root / "pyproject.toml").write_text("[tool.uv.sources]\nlib = { path = 'lib' }\n")
    package(project.root / "lib", "dependencies = ['a']")
    project.write("requirements: [lib]", "excludes: {lib: 'in the function itself'}")
    found, target = project.lock(), project.targets()[0]
    assert found.members == {"lib": "lib"}
    assert lock.folders(found, target) == [], "it is excluded"

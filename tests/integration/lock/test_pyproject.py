"""Requirements that are those of a pyproject.toml, resolved by uv."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from layersmith import lock
from layersmith.errors import LockError

from .conftest import Project, versions
from .test_members import package

if TYPE_CHECKING:
    from .index import Index

WORKSPACE = """\
[project]
name = "orders"
version = "1"
dependencies = ["a", "lib", "nothing; sys_platform == 'win32'"]
optional-dependencies = { more = ["b>=1"] }
[dependency-groups]
lambda = [{ include-group = "base" }]
base = ["c<2"]
dev = ["unknown-tool"]
[tool.uv.workspace]
members = ["libs/*"]
[tool.uv.sources]
lib = { workspace = true, extra = "more" }
"""


def test_a_project_its_extras_and_its_groups(project: Project, index: Index) -> None:
    for name, version in (("a", "1.0"), ("b", "1.0"), ("c", "1.0"), ("c", "2.0")):
        index.wheel(name, version)
    path = project.root / "pyproject.toml"
    path.write_text(WORKSPACE)
    package(project.root / "libs" / "lib", "dependencies = ['a']")
    project.write("requirements: {file: pyproject.toml, extras: [more], groups: [lambda]}")
    found, target = project.lock(), project.targets()[0]
    assert versions(found) == {"a": "1.0", "b": "1.0", "c": "1.0"}
    assert found.members == {"lib": "libs/lib"}
    assert lock.check(target, project.root) == found
    path.write_text(WORKSPACE.replace('["unknown-tool"]', '["other-tool"]'))
    assert lock.check(target, project.root) == found, "a group that is not used changes nothing"
    path.write_text(WORKSPACE.replace("c<2", "c"))
    with pytest.raises(LockError, match="requirements changed since it was written"):
        lock.check(target, project.root)
    assert project.cli("--check").returncode == 4


def test_what_is_wrong_in_the_file_fails_its_target(project: Project) -> None:
    path = project.root / "pyproject.toml"
    path.write_text(WORKSPACE + "[tool.poetry]\n")
    project.write("requirements: pyproject.toml")
    path.write_text(WORKSPACE.replace('version = "1"', "dynamic = ['dependencies']"))
    error = project.refused()
    assert error.message.startswith("pyproject.toml:3: the dependencies of the project are dynamic")
    assert error.place == ("pyproject.toml", 3, None)

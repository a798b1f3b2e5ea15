"""A team's lock as constraints: its versions are taken where they fit."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from layersmith import lock
from layersmith.base import uv
from layersmith.errors import LockError

from .conftest import versions

if TYPE_CHECKING:
    from .conftest import Project
    from .index import Index


@pytest.fixture(autouse=True)
def team(project: Project, index: Index) -> None:
    """A team's project that is locked, after which the index got newer versions."""
    for name in ("alpha", "unrelated"):
        index.wheel(name, "1.0")
    index.wheel("native", "1.0", "cp313-cp313-win_amd64", "cp313-cp313-manylinux_2_17_aarch64")
    (project.root / "pyproject.toml").write_text(
        '[project]\nname = "team"\nversion = "0"\nrequires-python = ">=3.11"\n'
        'dependencies = ["alpha", "native", "unrelated"]\n'
    )
    uv.run("lock", timeout=60, cwd=project.root)
    for name in ("alpha", "unrelated"):
        index.wheel(name, "2.0")
    index.wheel("native", "2.0", "cp313-cp313-manylinux_2_17_aarch64")


def test_its_versions_are_taken(project: Project) -> None:
    project.write("requirements: [alpha, native]")
    assert versions(project.lock()) == {"alpha": "2.0", "native": "2.0"}
    project.write("requirements: [alpha, native]", "constraints: uv.lock")
    (result,) = project.results()
    assert result.lock
    assert versions(result.lock) == {"alpha": "1.0", "native": "1.0"}
    assert not result.notes
    (result,) = project.results(upgrade=True)
    assert result.lock
    assert versions(result.lock) == {"alpha": "1.0", "native": "1.0"}


def test_what_does_not_fit_is_said(project: Project, index: Index) -> None:
    index.remove("native-1.0-cp313-cp313-manylinux_2_17_aarch64.whl")
    project.write("requirements: [alpha, native]", "constraints: {file: uv.lock}")
    (result,) = project.results()
    assert result.lock
    assert versions(result.lock) == {"alpha": "1.0", "native": "2.0"}
    (note,) = result.notes
    assert note.startswith("native 2.0: uv.lock has 1.0, which does not fit python3.13 on aarch64")


def test_only_versions_of_what_the_layer_holds_make_its_lock_stale(project: Project) -> None:
    project.write("requirements: [alpha]", "constraints: uv.lock")
    project.lock()
    (target,) = project.targets()
    path = project.root / "uv.lock"
    uv.run("lock", "--upgrade-package", "unrelated", timeout=60, cwd=project.root)
    assert 'version = "2.0"' in path.read_text()
    lock.check(target, project.root)
    uv.run("lock", "--upgrade-package", "alpha", timeout=60, cwd=project.root)
    with pytest.raises(LockError, match="pins changed"):
        lock.check(target, project.root)
    assert versions(project.lock()) == {"alpha": "2.0"}


def test_a_lock_is_no_list_of_requirements(project: Project) -> None:
    project.write("requirements: uv.lock")
    (result,) = project.results()
    assert result.error
    assert "write `constraints: uv.lock`" in str(result.error.hint)

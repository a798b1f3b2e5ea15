"""Locks beside configurations of uv that users have."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from layersmith import lock
from layersmith.errors import LockError

from .conftest import Project, versions
from .index import Handler, Index, serving

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def configured(index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let uv read the configuration of the project, and none of this machine."""
    monkeypatch.delenv("UV_NO_CONFIG")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_DIRS", str(tmp_path))
    index.wheel("a", "1.0", requires=["b"])
    index.wheel("b", "1.0")


def test_how_uv_writes_its_answer_does_not_matter(project: Project) -> None:
    settings = "generate-hashes = true\nno-annotate = true\nannotation-style = 'split'\n"
    (project.root / "uv.toml").write_text(f"[pip]\n{settings}emit-index-url = true\n")
    project.write("requirements: [a]")
    found = project.lock()
    assert {e.name: e.via for e in found.entries} == {"a": ("layers.yaml",), "b": ("a",)}


@pytest.mark.parametrize("setting", ["no-deps = true", "no-emit-package = ['b']"])
def test_a_setting_that_would_shorten_the_lock_leaves_it_alone(
    project: Project, setting: str
) -> None:
    project.write("requirements: [a]")
    project.lock()
    before = project.path().read_bytes()
    (project.root / "uv.toml").write_text(f"[pip]\n{setting}\n")
    assert f"sets `pip.{setting.split(maxsplit=1)[0]}`" in project.refused().message
    assert project.path().read_bytes() == before


def test_a_variable_that_changes_the_resolution_is_refused(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UV_OVERRIDE", "overrides.txt")
    project.write("requirements: [a]")
    assert "the environment sets UV_OVERRIDE" in project.refused().message


def test_an_explicit_index_is_used_for_its_sources(
    project: Project, index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Index(tmp_path / "other")
    other.folder.mkdir()
    other.wheel("a", "0.9", requires=["b"])
    other.wheel("b", "3.0")
    with serving(other, type("Other", (Handler,), {}), tmp_path, monkeypatch):
        monkeypatch.delenv("UV_NO_CONFIG")
        monkeypatch.setenv("UV_DEFAULT_INDEX", index.url)
        (project.root / "pyproject.toml").write_text(
            "[tool.uv.sources]\na = { index = 'other' }\nb = { index = 'other' }\n"
            f"[[tool.uv.index]]\nname = 'other'\nurl = '{other.url}'\nexplicit = true\n"
        )
        project.write("requirements: [a]")
        found, target = project.lock(), project.targets()[0]
        assert versions(found) == {"a": "0.9", "b": "1.0"}, "nobody asked for b itself"
        places = lock.urls(found, target, root=project.root, refresh=True)
    assert f":{other.port}/" in places[other.sha256("a-0.9-py3-none-any.whl")][0]
    assert "://" not in project.path().read_text()
    (project.root / "pyproject.toml").unlink()
    with pytest.raises(LockError, match="sources changed since"):
        lock.check(target, project.root)

"""The manifest names the commit that its artifact was built from."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.support import cli, repositories

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LAYERSMITH_CACHE", str(tmp_path / "cache"))
    return repositories.make(tmp_path / "repository")


def built(folder: Path) -> dict[str, Any]:
    done = cli.layers("build", "--quiet", cwd=folder)
    assert done.returncode == 0, done.stderr
    paths = (folder / "dist").glob("*-arm64.json")
    return {path.name.split("-")[0]: json.loads(path.read_text("utf-8")) for path in paths}


def test_commit_and_what_was_changed(repository: Path) -> None:
    """Named without a login, after a build, from the cache, and where nothing had to be built."""
    first = repositories.git(repository, "rev-parse", "HEAD")
    made = built(repository)
    expected = {
        "repository": "https://example.org/a/b.git",
        "commit": first,
        "config": "layers/layers.yaml",
        "changed": [],
    }
    assert made["demo"]["source"] == expected

    (repository / "demo.py").write_text("VALUE = 2\n", "utf-8")
    (repository / "unrelated.txt").write_text("", "utf-8")
    edited = built(repository)
    assert edited["demo"]["source"]["changed"] == ["layers/demo.py"]
    assert edited["other"]["source"] == expected

    repositories.git(repository, "commit", "--quiet", "--all", "--message", "Change")
    second = built(repository)
    head = repositories.git(repository, "rev-parse", "HEAD")
    assert second["demo"]["source"] == {**expected, "commit": head}
    assert second["demo"]["artifact"] == edited["demo"]["artifact"]
    assert second["demo"]["artifact"] != made["demo"]["artifact"]


def test_no_commit_outside_a_repository(repository: Path) -> None:
    (repository.parent / ".git").rename(repository.parent / "hidden")
    assert "source" not in built(repository)["demo"]

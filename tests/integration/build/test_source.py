"""The manifest names the commit that its artifact was built from."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from tests.support import cli

if TYPE_CHECKING:
    from pathlib import Path

CONFIG = """\
layers:
  demo:
    description: A layer of one module
    version: 1.0.0
    runtimes: [python3.13]
    bytecode: none
    files: {python/demo.py: demo.py}
  other:
    description: A layer of another module
    version: 1.0.0
    runtimes: [python3.13]
    bytecode: none
    files: {python/other.py: other.py}
"""


def git(root: Path, *words: str) -> str:
    identity = ("-c", "user.name=Tests", "-c", "user.email=tests@example.org")
    done = subprocess.run(
        ["git", *identity, *words], cwd=root, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository whose layers.yaml is in a folder of its own, with one commit."""
    monkeypatch.setenv("LAYERSMITH_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "repository" / "layers"
    folder.mkdir(parents=True)
    (folder / "layers.yaml").write_text(CONFIG, "utf-8")
    (folder / ".gitignore").write_text("dist/\n", "utf-8")
    for name in ("demo", "other"):
        (folder / f"{name}.py").write_text("VALUE = 1\n", "utf-8")
    assert cli.layers("lock", cwd=folder).returncode == 0
    git(folder.parent, "init", "--quiet", "--template=")
    git(folder.parent, "add", ".")
    git(folder.parent, "commit", "--quiet", "--message", "Start")
    git(folder.parent, "remote", "add", "origin", "https://user:secret@example.org/a/b.git")
    return folder


def sources(folder: Path) -> dict[str, Any]:
    done = cli.layers("build", "--quiet", cwd=folder)
    assert done.returncode == 0, done.stderr
    paths = (folder / "dist").glob("*-arm64.json")
    return {path.name.split("-")[0]: json.loads(path.read_text("utf-8")) for path in paths}


def test_commit_and_what_was_changed(repository: Path) -> None:
    """Named without a login, after a build, from the cache, and where nothing had to be built."""
    first = git(repository, "rev-parse", "HEAD")
    made = sources(repository)
    expected = {
        "repository": "https://example.org/a/b.git",
        "commit": first,
        "config": "layers/layers.yaml",
        "changed": [],
    }
    assert made["demo"]["source"] == expected

    (repository / "demo.py").write_text("VALUE = 2\n", "utf-8")
    (repository / "unrelated.txt").write_text("", "utf-8")
    edited = sources(repository)
    assert edited["demo"]["source"]["changed"] == ["layers/demo.py"]
    assert edited["other"]["source"] == expected

    git(repository, "commit", "--quiet", "--all", "--message", "Change")
    second = sources(repository)
    assert second["demo"]["source"] == {**expected, "commit": git(repository, "rev-parse", "HEAD")}
    assert second["demo"]["artifact"] == edited["demo"]["artifact"]
    assert second["demo"]["artifact"] != made["demo"]["artifact"]


def test_no_commit_outside_a_repository(repository: Path) -> None:
    (repository.parent / ".git").rename(repository.parent / "hidden")
    assert "source" not in sources(repository)["demo"]

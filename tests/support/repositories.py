"""Repositories of git with a layers.yaml whose layers need no download."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

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
    regions: [eu-west-1]
    bytecode: none
    files: {python/demo.py: demo.py, python/tool: tool}
  other:
    description: A layer of another module
    version: 1.0.0
    runtimes: [python3.13]
    regions: [eu-west-1]
    bytecode: none
    files: {python/other.py: other.py}
"""


def git(root: Path, *words: str) -> str:
    """Run git under a name of the tests and return what it said; skip the test without git."""
    if shutil.which("git") is None:
        pytest.skip("needs git, which is not on PATH")
    identity = ("-c", "user.name=Tests", "-c", "user.email=tests@example.org")
    done = subprocess.run(
        ["git", *identity, *words], cwd=root, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def make(top: Path) -> Path:
    """Make a repository with one commit, and return the folder of its layers.yaml, layers/."""
    folder = top / "layers"
    folder.mkdir(parents=True)
    (folder / "layers.yaml").write_text(CONFIG, "utf-8")
    (folder / ".gitignore").write_text("dist/\n", "utf-8")
    for name in ("demo.py", "other.py", "tool"):
        (folder / name).write_text("VALUE = 1\n", "utf-8")
    (folder / "tool").chmod(0o755)
    assert cli.layers("lock", cwd=folder).returncode == 0
    git(top, "init", "--quiet", "--template=")
    git(top, "add", ".")
    git(top, "commit", "--quiet", "--message", "Start")
    git(top, "remote", "add", "origin", "https://user:secret@example.org/a/b.git")
    return folder

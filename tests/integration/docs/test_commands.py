"""The commands of pages, in their order, in a folder with the files that the page shows."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.support import cli, clocks, pages

if TYPE_CHECKING:
    from pathlib import Path

EXAMPLES = pages.DOCS / "examples"


def run(line: str, folder: Path) -> str:
    """Run a command of a page as a user does, and return what it printed."""
    words = ["bash", "-euc", f'layersmith() {{ {" ".join(cli.argv())} "$@"; }}\n{line}']
    done = subprocess.run(
        words,
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=clocks.seconds(cli.TIMEOUT),
    )
    assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
    return done.stdout + done.stderr


def shown(page: Path, folder: Path) -> None:
    """Write the files of a page below a folder."""
    for one in pages.shown(page):
        path = folder / one.path.relative_to(EXAMPLES)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(one.text)


def test_use_in_your_repository(tmp_path: Path) -> None:
    page = pages.DOCS / "use-in-your-repository.md"
    shown(page, tmp_path)
    shutil.copytree(EXAMPLES / "tests", tmp_path / "tests")
    for line in pages.commands(page):
        run(line, tmp_path)
    assert list((tmp_path / "dist").glob("imaging-*.zip"))


CHEAP = ("plan", "lock --check", "schema --check")
"""Verbs of CLAUDE.md that run here; tests/unit/docs holds the others against what there is."""


@pytest.mark.parametrize("verb", CHEAP)
def test_what_the_next_worker_types(verb: str) -> None:
    assert f"python build/layers.py {verb}" in pages.commands(pages.ROOT / "CLAUDE.md")
    done = cli.layers(*verb.split())
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
@pytest.mark.docker
def test_first_layer(tmp_path: Path) -> None:
    page = pages.DOCS / "first-layer.md"
    shown(page, tmp_path)
    said = {line: run(line, tmp_path) for line in pages.commands(page)}
    assert "proven by Docker" in said["layersmith smoke"]
    assert "1 of 1 tests pass" in said["layersmith smoke"]

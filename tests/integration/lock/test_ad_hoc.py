"""`build` of requirements, where there is no layers.yaml."""

from __future__ import annotations

import zipfile
from typing import TYPE_CHECKING

import pytest
from layersmith import lock

from tests.support import cli
from tests.support.envelopes import data_of

if TYPE_CHECKING:
    from pathlib import Path

    from .conftest import Project
    from .index import Index


@pytest.fixture
def folder(project: Project, index: Index, tmp_path: Path) -> Path:
    """A folder without anything, and an index."""
    index.wheel("alpha", "1.0")
    index.wheel("alpha", "2.0")
    index.wheel("beta", "1.0", requires=["alpha"])
    folder = tmp_path / "empty"
    folder.mkdir()
    return folder


def test_requirements_become_a_layer(folder: Path) -> None:
    words = ("beta", "alpha<2", "--runtime", "python3.12", "--runtime", "python3.13")
    done = cli.called("build", *words, "--json", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert [one["target"] for one in data_of(done.stdout)] == [
        "beta-python3.12-arm64",
        "beta-python3.13-arm64",
    ]
    with zipfile.ZipFile(folder / "dist/beta-0.0.0-python3.13-arm64.zip") as layer:
        assert {"python/alpha.py", "python/beta.py"} <= set(layer.namelist())
    locked = lock.read(folder / "dist/ad-hoc/beta/locks/beta-python3.13-arm64.txt")
    assert {one.name: one.version for one in locked.entries} == {"alpha": "1.0", "beta": "1.0"}
    kept = cli.called("build", "--config", "dist/ad-hoc/beta", "--dist", "dist", cwd=folder)
    assert kept.returncode == 0, kept.stderr
    assert "unchanged" in kept.stdout


@pytest.mark.parametrize(
    ("word", "code", "said"),
    [
        ("al pha", 2, "'al pha' is not a requirement"),
        ("gamma", 4, "gamma was not found"),
        ("requirements.txt", 2, "requirements.txt is the name of a file that does not exist, and"),
        ("here.txt", 2, "here.txt is a file, and not a requirement"),
    ],
)
def test_words_that_are_no_requirement(folder: Path, word: str, code: int, said: str) -> None:
    (folder / "here.txt").write_text("alpha\n")
    done = cli.called("build", word, cwd=folder)
    assert done.returncode == code
    assert said in done.stderr
    assert not list((folder / "dist").glob("*.zip"))


def test_a_layers_yaml_above_names_layers(project: Project, folder: Path) -> None:
    project.write("requirements: [alpha]")
    done = cli.called("build", "alpha", cwd=project.root)
    assert done.returncode == 2
    assert "no layer alpha" in done.stderr or "unknown layer" in done.stderr, done.stderr

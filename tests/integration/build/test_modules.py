"""Code without a pyproject.toml that goes into a layer: the key `modules`."""

from __future__ import annotations

import json
import zipfile
from typing import TYPE_CHECKING

import pytest

from tests.support import wheels
from tests.support.envelopes import data_of

if TYPE_CHECKING:
    from .conftest import Project

CONFIG = """\
defaults: {runtimes: ["python3.11"]}
layers:
  mine:
    description: code of our own
    version: 1.0.0
    requirements: %s
    modules: [code/shared/, libs/util.py]
"""
ZIP = "mine-1.0.0-python3.11-arm64.zip"


@pytest.fixture
def mine(project: Project) -> Project:
    code = project.root / "code" / "shared"
    for folder in (code / "tests", code / "__pycache__", code / ".cache", project.root / "libs"):
        folder.mkdir(parents=True)
    (code / "__init__.py").write_text("import util\n")
    (code / "table.json").write_text("{}")
    (code / "tests" / "test_shared.py").write_text("import pytest\n")
    (code / "__pycache__" / "__init__.cpython-311.pyc").touch()
    (code / ".cache" / "x").touch()
    (project.root / "libs" / "util.py").write_text("ANSWER = 42\n")
    project.write(CONFIG % "[]")
    return project


@pytest.mark.needs("python3.11")
def test_modules_from_lock_to_audit(mine: Project) -> None:
    mine.run("lock")
    mine.build()
    with zipfile.ZipFile(mine.dist / ZIP) as archive:
        names = {name for name in archive.namelist() if "__pycache__" not in name}
        compiled = {name for name in archive.namelist() if name.endswith(".pyc")}
    assert names == {"python/shared/__init__.py", "python/shared/table.json", "python/util.py"}
    assert len(compiled) == 2
    made = json.loads((mine.dist / ZIP).with_suffix(".json").read_text())
    (own,) = made["distributions"]
    assert (own["name"], own["modules"]) == ("modules:", ["shared", "util"])
    assert "code/shared/__init__.py" in {one["source"] for one in made["inputs"]["files"]}
    assert [one["rule"] for one in made["pruned"]] == ["tests"]
    assert data_of(mine.run("audit", "--json").stdout)["reports"][0]["findings"] == []
    (weighed,) = data_of(mine.run("weigh", "--json").stdout)["reports"]
    assert weighed["distributions"][0]["name"] == "modules:"

    (mine.root / "libs" / "util.py").write_text("ANSWER = 43\n")
    mine.build()
    with zipfile.ZipFile(mine.dist / ZIP) as archive:
        assert archive.read("python/util.py") == b"ANSWER = 43\n"


def test_a_module_that_a_distribution_brings_too_is_refused(mine: Project) -> None:
    mine.write(CONFIG % "[thing]")
    folder = mine.root / "wheels"
    folder.mkdir()
    mine.lock(wheels.make(folder, "thing", {"util/__init__.py": b"", "thing.py": b""}))
    refused = mine.run("build", check=5)
    assert "modules: util (libs/util.py) is also a module of thing" in refused.stderr
    mine.lock(wheels.make(folder, "thing", {"util.py": b"X = 1\n"}))
    refused = mine.run("build", check=5)
    assert "rename the file that is listed under `modules`" in refused.stderr

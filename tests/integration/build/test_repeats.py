"""A run that had nothing to do is told again until something that it looked at changes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from layersmith import repeats

from tests.support import cli, wheels

if TYPE_CHECKING:
    from collections.abc import Callable

    from .conftest import Project

CONFIG = """\
defaults:
  runtimes: ["python3.11"]
  architectures: [arm64]
layers:
  demo:
    description: a layer for tests
    version: 1.0.0
    requirements: [alpha]
    constraints: constraints.txt
    packages: [own]
    files: {python: code}
    smoke: smoke/demo.py
"""
TOLD = "told from the record"

STATTED = """\
import json, os, sys
seen, stat = [], os.stat
def noted(path, *args, **kwargs):
    seen.append(os.path.abspath(path)) if isinstance(path, (str, os.PathLike)) else None
    return stat(path, *args, **kwargs)
sys.path[:0] = json.loads(sys.argv.pop(1))
from layersmith import cli
main = cli.main
def watched(words):
    os.stat = noted
    try:
        return main(words)
    finally:
        os.stat = stat
cli.main = watched
from layersmith.start import program
program()
with open(sys.argv[0] + ".json", "w") as stream:
    json.dump(seen, stream)
"""
"""Runs the tool and writes down every path that it asked the system for."""


@pytest.fixture
def demo(project: Project, tmp_path: Path) -> Project:
    """A project with files of all kinds, built, and left alone for a while since."""
    project.apart = True
    texts = {
        "constraints.txt": "alpha<9\n",
        "own/pyproject.toml": '[project]\nname = "own"\nversion = "1"\n',
        "own/own.py": "A = 1\n",
        "code/more.py": "B = 2\n",
        "smoke/demo.py": "import alpha\n",
    }
    for name, text in texts.items():
        path = project.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    project.write(CONFIG)
    project.lock(wheels.make(tmp_path, "alpha", {"alpha/__init__.py": b"X = 1\n"}))
    project.build()
    time.sleep(3 * repeats.SETTLED / 1e9)
    return project


def record(project: Project) -> Path:
    (path,) = (project.cache / repeats.SECTION).glob("*.json")
    return path


def mark(project: Project) -> None:
    """Let the record say what no run would."""
    path = record(project)
    content = json.loads(path.read_text())
    content["said"].append([0, TOLD])
    path.write_text(json.dumps(content))


@pytest.mark.needs("python3.11")
def test_the_same_run_is_told_again_in_the_same_words(demo: Project) -> None:
    first = demo.run("build")
    assert "unchanged" in first.stdout
    mark(demo)
    second = demo.run("build")
    assert (first.stdout + TOLD, first.stderr) == (second.stdout, second.stderr)
    summary = str(demo.root.parent / "summary")
    assert TOLD not in demo.run("build", GITHUB_STEP_SUMMARY=summary).stdout
    record(demo).write_text('{"format": 1, "files": {}}')
    assert demo.run("build").stdout == first.stdout


def remove(name: str) -> Callable[[Project], object]:
    return lambda project: (project.root / name).unlink()


def write(name: str, text: str = "# another\n") -> Callable[[Project], object]:
    return lambda project: (project.root / name).write_text(text)


STEM = "dist/demo-1.0.0-python3.11-arm64"
CHANGES: dict[str, Callable[[Project], object]] = {
    "layers.yaml": write("layers.yaml", CONFIG.replace("for tests", "for others")),
    "a constraint": write("constraints.txt", "alpha<8\n"),
    "code of a package": write("own/own.py"),
    "new code of a package": write("own/new.py"),
    "a file": write("code/more.py"),
    "a new file": write("code/new.py"),
    "the zip": remove(f"{STEM}.zip"),
    "the bill of materials": remove(f"{STEM}.cdx.json"),
    "the manifest": write(f"{STEM}.json", "{}"),
    "the index": write("dist/index.json", "{}"),
    "the name that stays": remove("dist/latest/demo-python3.11-arm64.zip"),
    "the lock, in nothing but its time": lambda one: os.utime(next(one.root.glob("locks/*"))),
    "sources of a project above": write("../pyproject.toml", ""),
    "the smoke file": remove("smoke/demo.py"),
    "the mode of a file": lambda one: (one.root / "code/more.py").chmod(0o755),
}


@pytest.mark.needs("python3.11")
def test_what_changed_is_looked_at(demo: Project) -> None:
    demo.run("build")
    content = json.loads(record(demo).read_text())
    for what, change in CHANGES.items():
        assert repeats.told(record(demo)), what
        change(demo)
        assert not repeats.told(record(demo)), what
        content["files"] = repeats.stats(content["files"])
        record(demo).write_text(json.dumps(content))


@pytest.mark.parametrize("damage", ["", "[]", "{}", '{"format": 1, "files": {}}', '{"format": 2}'])
def test_a_damaged_record_is_ignored(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "record.json"
    path.write_text(damage)
    assert not repeats.told(path)


@pytest.mark.needs("python3.11")
def test_every_path_that_is_asked_for_is_compared(demo: Project, tmp_path: Path) -> None:
    """What stat alone sees of the project is in the record, or in a folder that is."""
    script = tmp_path / "statted.py"
    script.write_text(STATTED)
    demo.run(json.dumps(cli.PACKAGES), "build", script=script)
    asked = json.loads((tmp_path / "statted.py.json").read_text())
    known = json.loads(record(demo).read_text())["files"]
    ours = {path for path in asked if path.startswith(f"{demo.root}{os.sep}")}
    assert len(ours) > 10
    assert {path for path in ours if {path, str(Path(path).parent)}.isdisjoint(known)} == set()


def test_the_version_needs_none_of_the_rest() -> None:
    code = "import sys; from layersmith.start import program; program(); print(*sys.modules)"
    script = f"import sys; sys.path[:0] = {cli.PACKAGES!r}; sys.argv[1:] = ['--version']; {code}"
    said = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert said.stdout.startswith("layersmith ")
    assert {"argparse", "layersmith.cli", "pydantic"}.isdisjoint(said.stdout.split())

"""Imports of a function that nothing needs until the first answer are found, and measured."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import pytest
from layersmith.config import loader
from layersmith.prove.cold import lazy as proposals
from layersmith.prove.cold import measure

from tests.support import cli
from tests.support.envelopes import data_of

from .conftest import HERE

if TYPE_CHECKING:
    from pathlib import Path

    from layersmith.prove.runners import Runner

LAYERS_YAML = f"""\
layers:
  tools:
    description: modules
    version: 1.0.0
    runtimes: [{HERE}]
    architectures: [arm64]
    files: {{python: tools}}
functions:
  query: {{layers: [tools], code: query, handler: app/main.handle, event: event.json, memory: 512}}
"""

MAIN = '''\
import rare
import always
import early
import base
from app import helper

START = early.value()


def made():
    return always.VALUE


def handle(event, context):
    """Handle."""
    if event["rare"]:
        return rare.VALUE
    return {"got": made(), "own": helper.answer()}
'''
HELPER = """\
import counted
import strict


def answer():
    import sys
    assert "strict" in sys.modules
    return 1


def other():
    return strict, counted
"""
COUNTED = "with open({!r}, 'a') as stream:\n    stream.write('x')\n"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LAYERSMITH_CACHE", str(tmp_path / "cache"))
    (tmp_path / "layers.yaml").write_text(LAYERS_YAML)
    (tmp_path / "event.json").write_text('{"rare": false}')
    for name in ("tools", "query/app"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("rare", "always", "base", "strict"):
        (tmp_path / "tools" / f"{name}.py").write_text("VALUE = 1\n")
    (tmp_path / "tools/early.py").write_text("def value():\n    return 1\n")
    (tmp_path / "tools/counted.py").write_text(COUNTED.format(str(tmp_path / "count")))
    (tmp_path / "query/app/main.py").write_text(MAIN)
    (tmp_path / "query/app/helper.py").write_text(HELPER)
    for verb in ("lock", "build"):
        done = cli.called(verb, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    return tmp_path


def lazy(folder: Path, *words: str) -> dict[str, Any]:
    done = cli.called("lazy", *words, "--json", cwd=folder)
    assert done.returncode == 0, done.stderr
    [found] = data_of(done.stdout)
    assert isinstance(found, dict)
    return found


def test_what_can_wait_is_found_and_measured(project: Path) -> None:
    sources = {path: path.read_bytes() for path in (project / "query").rglob("*.py")}
    report = lazy(project, "query", "--starts", "2")
    states = {one["statement"]: (one["state"], one["why"]) for one in report["imports"]}
    assert states.pop("import strict")[0] == "fails"
    assert states == {
        "import counted": ("waits", ""),
        "import rare": ("waits", ""),
        "import always": ("first-call", ""),
        "import early": ("stays", "early is used while the module is imported"),
        "import base": ("stays", "no function of the module uses it"),
        "from app import helper": ("first-call", ""),
    }
    saved = {one["statement"]: one["saved"] for one in report["imports"] if one["saved"]}
    assert set(saved) == {"import counted", "import rare"}
    for one in (*saved.values(), report["together"]):
        assert one["million"] is not None
        assert one["ms"]["low"] <= one["ms"]["median"] <= one["ms"]["high"]
    # Three starts unchanged and with `rare` moved, the one that is watched, and each import alone
    # after all together failed; never where it was moved itself.
    assert len((project / "count").read_text()) == 3 + 3 + 1 + 4
    assert {path: path.read_bytes() for path in sources} == sources
    assert json.loads((project / "dist/query.lazy.json").read_text()) == report
    assert "python3.15 has" in report["notes"][0]


def test_lazy_imports_of_the_interpreter_are_a_variant(
    project: Path, host: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    # An older interpreter ignores the variable, and so shows that it was given.
    monkeypatch.setattr(measure, "LAZY_SINCE", host.runtime.minor)
    said = project / "said"
    (project / "query/app/main.py").write_text(
        f"import os\nwith open({str(said)!r}, 'a') as stream:\n"
        "    print(os.environ.get('PYTHON_LAZY_IMPORTS'), file=stream)\n\n"
        "def handle(event, context):\n    return 1\n"
    )
    loaded = loader.load(project / "layers.yaml")
    settings = loaded.config.functions["query"]
    function = proposals.LazyFunction("query", settings, loaded, [])
    report = proposals.propose(function, host, 2)
    assert report.interpreter is not None
    assert report.notes == ["app/helper.py is not imported until the first answer"]
    assert report.interpreter.million is None, "nothing is priced without a price"
    # Watched, tried, warmed up and measured twice, in turns.
    assert said.read_text().split() == ["None", "all", "None", "all", *(["None", "all"] * 2)]


def test_what_cannot_be_watched_is_an_error(project: Path) -> None:
    done = cli.called("lazy", "nothing", cwd=project)
    assert done.returncode == 2
    assert "has no function 'nothing'" in done.stderr
    (project / "event.json").write_text("{}")
    done = cli.called("lazy", "--starts", "1", cwd=project)
    assert done.returncode == 8
    assert "KeyError" in done.stderr
    shutil.rmtree(project / "dist")
    assert cli.called("lazy", cwd=project).returncode == 5

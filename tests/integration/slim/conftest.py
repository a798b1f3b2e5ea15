"""A project whose one layer holds things that its proofs need, and things that they do not."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from tests.integration.build.conftest import Project
from tests.support import wheels

if TYPE_CHECKING:
    from pathlib import Path

BALLAST = b"".join(b"VALUE_%d = %d\n" % (number, number) for number in range(400))
HERE = f"python3.{sys.version_info[1]}"

LAYERS_YAML = f"""\
layers:
  engine:
    description: an engine
    version: 1.0.0
    runtimes: ["{HERE}"]
    architectures: [arm64]
    requirements: [engine]
    smoke: smoke.py
"""

ENGINE = {
    "engine/__init__.py": b"from engine import core\n",
    "engine/core.py": b"""\
import importlib
from pathlib import Path

HERE = Path(__file__).parent

def run():
    importlib.import_module("engine." + "dyn" + "amic")
    assert (HERE / "tables" / "index.txt").exists()
    return (HERE / "data.txt").read_text()

def rare():
    from engine import lazy
    return lazy
""",
    "engine/data.txt": b"started",
    "engine/tables/index.txt": b"1 2 3\n" * 500,
    "engine/samples/one.txt": b"a sample\n" * 500,
    "engine/dynamic.py": BALLAST,
    "engine/lazy.py": BALLAST,
    "engine/server/__init__.py": b"from engine.server import routes\n",
    "engine/server/routes.py": BALLAST,
    "engine/command.py": b"from engine import server\n",
}
BALLAST_WHEEL = {"ballast/__init__.py": BALLAST}
SMOKE = "import engine\n\ndef test_it_starts():\n    assert engine.core.run() == 'started'\n"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    made = Project(tmp_path / "checkout", tmp_path / "cache")
    made.root.mkdir()
    monkeypatch.setenv("LAYERSMITH_CACHE", str(made.cache))
    made.write(LAYERS_YAML)
    (made.root / "smoke.py").write_text(SMOKE)
    made.lock(
        wheels.make(tmp_path, "engine", ENGINE, requires=["ballast"]),
        wheels.make(tmp_path, "ballast", BALLAST_WHEEL),
    )
    return made

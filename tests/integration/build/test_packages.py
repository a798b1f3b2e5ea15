"""The packages of functions through the command line: their content, their locks, their proof."""

from __future__ import annotations

import json
import sys
import zipfile
from typing import TYPE_CHECKING, Any

import pytest

from tests.support import wheels
from tests.support.tiny_elf import EM_X86_64, TinyElf

if TYPE_CHECKING:
    from pathlib import Path

    from .conftest import Project

HERE = f"python3.{sys.version_info[1]}"
"""The runtime whose interpreter runs these tests, so that no other is needed."""

CONFIG = f"""\
defaults: {{runtimes: ["{HERE}"], budgets: {{unzipped: 1MB}}}}
layers:
  base:
    description: a layer for tests
    version: 1.0.0
    requirements: [alpha, "gamma<2"]
functions:
  orders:
    layers: [base]
    code: src/orders
    handler: app.lambda_handler
    event: event.json
    package: true
    requirements: {{file: src/orders/requirements.txt}}
"""
HANDLER = """\
import os
import alpha, beta, own.deep

def lambda_handler(event, context):
    assert event == {"id": 7}, event
    assert own.deep.answer() == 42
    assert os.path.basename(os.path.dirname(alpha.__file__)) == "python", alpha.__file__
    assert os.path.dirname(beta.__file__) == os.path.dirname(__file__), beta.__file__
"""
STEM = f"orders-{HERE}-arm64"


@pytest.fixture
def shop(project: Project, tmp_path: Path, client: list[Path]) -> Project:
    offered = tmp_path / "offered"
    offered.mkdir()
    wheels.make(offered, "alpha", {"alpha.py": b"x = 1\n"})
    wheels.make(offered, "beta", {"beta.py": b"import alpha\n"}, requires=["alpha"])
    for version in ("1.0", "2.0"):
        wheels.make(offered, "gamma", {"gamma.py": b"x = 1\n"}, version=version)
    project.offer(offered)
    project.know(client)
    files = {
        "event.json": '{"id": 7}',
        "src/orders/app.py": HANDLER,
        "src/orders/own/deep.py": "def answer():\n    return 42\n",
        "src/orders/requirements.txt": "beta\n",
        "src/orders/.env": "SECRET=1\n",
        "src/orders/.venv/lib/big.py": "x = 1\n",
        "src/orders/__pycache__/app.pyc": "old",
    }
    for name, text in files.items():
        (project.root / name).parent.mkdir(parents=True, exist_ok=True)
        (project.root / name).write_text(text)
    project.write(CONFIG)
    return project


def manifest(project: Project) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((project.dist / f"{STEM}.json").read_text())
    return found


def test_a_package_holds_the_code_and_what_no_layer_brings(shop: Project) -> None:
    shop.run("lock")
    said = shop.run("build", "orders").stderr
    assert "left out of its code: 2 hidden files" in " ".join(said.split())
    with zipfile.ZipFile(shop.dist / f"{STEM}.zip") as archive:
        names = archive.namelist()
        compiled = archive.read(next(name for name in names if "__pycache__/app" in name))
    plain = [name for name in names if "__pycache__" not in name and "dist-info" not in name]
    assert plain == ["app.py", "beta.py", "own/deep.py", "requirements.txt"]
    assert b"/var/task/app.py" in compiled
    made = manifest(shop)
    assert made["function"] == {"handler": "app.lambda_handler", "layers": ["base"]}
    assert [(one["name"], one["reason"]) for one in made["dropped"]] == [
        ("alpha", "provided by the layer base")
    ]
    assert [one["path"] for one in made["files"]] == names
    assert "function" not in json.loads((shop.dist / f"base-1.0.0-{HERE}-arm64.json").read_text())
    before = shop.zips()
    shop.build("--force", LAYERSMITH_CACHE=str(shop.root / "other"))
    assert shop.zips() == before

    done = shop.run("smoke", "--runner", "host")
    assert f"function orders from {STEM}.zip: answers" in done.stdout
    proof = json.loads((shop.dist / f"{STEM}.smoke.json").read_text())
    assert (proof["sha256"], proof["problems"]) == (made["artifact"]["sha256"], [])
    shop.run("audit", "orders")
    shop.run("audit", str(shop.dist / f"{STEM}.zip"))
    shop.run("report")


def test_a_package_is_locked_and_judged_with_its_layers(shop: Project) -> None:
    alone = shop.run("lock", "orders", check=4)
    assert "its layer base has no lock that fits" in " ".join(alone.stderr.split())
    shop.run("lock")
    assert "the lock fits" in shop.run("lock", "--check").stderr
    text = CONFIG.replace("[alpha, ", "[")
    shop.write(text)
    shop.run("lock", "base")
    stale = shop.run("lock", "--check", check=4)
    assert f"{STEM}: the lock no longer fits: layers changed" in " ".join(stale.stderr.split())
    shop.write(CONFIG)
    (shop.root / "src/orders/requirements.txt").write_text("beta\ngamma>=2\n")
    other = " ".join(shop.run("lock", check=4).stderr.split())
    assert "the layer base provides gamma 1.0, which `gamma>=2` of layers.yaml excludes" in other
    assert "`keep-provided: [gamma]`" in other
    shop.write(f"{CONFIG}    keep-provided: [gamma]\n    budgets: {{zipped: 1kB}}\n")
    shop.run("lock")
    assert "zipped, budget 0.0 MB" in shop.run("build", "orders", check=7).stderr
    shop.write(f"{CONFIG}    keep-provided: [gamma]\n")
    shop.build("orders")
    versions = {one["name"]: one["version"] for one in manifest(shop)["distributions"]}
    assert versions["gamma"] == "2.0"


def test_a_package_that_cannot_work_is_not_built_or_not_proven(shop: Project) -> None:
    shop.run("lock")
    code = shop.root / "src/orders"
    (code / "wrong.so").write_bytes(TinyElf(machine=EM_X86_64).build())
    assert "x86-64" in shop.run("build", "orders", check=6).stderr.replace("x86_64", "x86-64")
    (code / "wrong.so").unlink()
    (code / "app.py").write_text("import nowhere\n\ndef lambda_handler(event, context): ...\n")
    shop.write(CONFIG.replace("    event: event.json\n", ""))
    shop.build("orders")
    done = shop.run("smoke", "orders", "--runner", "host", check=8)
    assert f"function orders from {STEM}.zip: FAILED" in done.stdout
    assert "does not start: Runtime.ImportModuleError" in done.stderr
    (code / "alpha.py").write_text("")
    (code / "beta.py").write_text("")
    same = shop.run("build", "orders", check=5)
    assert "src/orders/beta.py: python/beta.py collides with python/beta.py of beta" in same.stderr

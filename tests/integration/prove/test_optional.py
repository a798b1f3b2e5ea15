"""Layers of small wheels, built and imported by a real interpreter: which of them are proven.

All have the same wheels; what breaks a layer is what layers.yaml does to them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import yaml
from layersmith import cache
from layersmith.prove.smoke import layer, probing

from tests.integration.build.conftest import Project
from tests.support import wheels, zips
from tests.support.envelopes import data_of

from .conftest import HERE

if TYPE_CHECKING:
    from pathlib import Path

    from layersmith.prove.runners import Runner

SHOP = {
    "shop/__init__.py": b"",
    "shop/tables.py": b"import layersmith_no_such_thing as table\n",
    "shop/frames.py": b"""
try:
    import layersmith_no_such_thing as table
except ImportError as problem:
    raise ImportError("run `pip install shop[tables]`") from problem
""",
    "shop/went_on.py": b"""
try:
    import layersmith_no_such_thing as table
except ImportError:
    table = None
Base = table.Frame
""",
    "shop/plugin.py": b"""
from importlib import import_module
class NotThere(Exception): ...
try:
    import_module("layersmith_no_such_thing.frames")
except ImportError:
    raise NotThere("tables are not installed")
""",
    "shop/_winconsole.py": b"import sys\nassert sys.platform == 'win32'\n",
    "shop/console.py": b"from ctypes import WinDLL\n",
    "shop/pay.py": b"from bank import transfer\nfrom bank.api import Account\n",
    "shop/disguised.py": b"""
try:
    import layersmith_no_such_thing
except ImportError:
    from bank import transfer
""",
    "shop/blames.py": b"""
try:
    from bank import api
except ImportError:
    raise ImportError("run `pip install shop[tables]`") from None
""",
}
BANK = {
    "bank/__init__.py": b"def transfer(): ...\n",
    "bank/api.py": b"class Account: ...\n",
}

SETTINGS: dict[str, dict[str, object]] = {
    "whole": {},
    "excluded": {"excludes": {"bank": "not wanted"}},
    "pruned": {"prune": {"add": ["bank/api.py"]}},
    "pruned-whole": {"prune": {"add": ["bank/"]}},
    "stubbed": {"stubs": {"bank": {"path": "stub", "reason": "small"}}},
    "modules": {"modules": ["ours/"]},
    "managed": {"managed-layers": [{"name": "theirs", "distributions": {"bank": "1.0"}}]},
    "top-level": {"requirements": ["shop", "window"]},
}


def layers_yaml(*names: str) -> str:
    asked = {"requirements": ["shop"], "description": "for a test", "version": "1.0.0"}
    return yaml.safe_dump(
        {
            "defaults": {"runtimes": [HERE], "architectures": ["arm64"]},
            "layers": {name: asked | SETTINGS[name] for name in names},
        }
    )


BROKEN = {
    "excluded": ("No module named 'bank'", "keep bank"),
    "pruned": ("No module named 'bank.api'", "the prune rule 'bank/api.py' leaves it out"),
    "pruned-whole": ("No module named 'bank'", "the prune rule 'bank/'"),
    "stubbed": ("cannot import name 'transfer' from 'bank'", None),
    "modules": ("import ours.console fails: ImportError: cannot import name 'WinDLL'", None),
    "top-level": ("No module named 'layersmith_no_such_thing'", "add the distribution"),
}
"""Layer -> what Python says, and what to do about it."""


@pytest.fixture(scope="module")
def smoked(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What `smoke --json` says of each layer."""
    root = tmp_path_factory.mktemp("shop")
    made = [
        wheels.make(root, "shop", SHOP, requires=["bank"]),
        wheels.make(root, "bank", BANK),
    ]
    window = wheels.make(root, "window", {"window.py": b"import layersmith_no_such_thing\n"})
    (root / "ours").mkdir()
    (root / "ours" / "console.py").write_bytes(SHOP["shop/console.py"])
    (root / "stub").mkdir()
    (root / "stub" / "bank.py").write_text("Account = None\n")
    found: dict[str, Any] = {}
    without = [name for name in SETTINGS if name != "top-level"]
    for names, used in ((without, made), (["top-level"], [*made, window])):
        project = Project(root, cache.cache_root())
        project.write(layers_yaml(*names))
        project.lock(*used)
        project.build()
        smoke = ("smoke", "--runner", "host", "--json")
        done = project.run(*smoke, check=None, UV_FIND_LINKS=str(root))
        found |= {
            one["identifier"].removesuffix(f"-{HERE}-arm64"): one
            for one in data_of(done.stdout)["layers"]
        }
    return found


def test_what_nobody_asked_for_is_optional(smoked: dict[str, Any]) -> None:
    assert smoked["whole"]["problems"] == []
    assert set(smoked["whole"]["imports"]["optional"]) == {
        "shop._winconsole",
        "shop.console",
        "shop.frames",
        "shop.plugin",
        "shop.tables",
        "shop.went_on",
    }


def test_a_package_of_the_index_stands_for_a_managed_layer(smoked: dict[str, Any]) -> None:
    assert smoked["managed"]["problems"] == []
    assert "shop.pay" not in smoked["managed"]["imports"]["optional"]
    told = "\n".join(smoked["managed"]["warnings"])
    assert "bank 1.0 of the package index stood for the managed layer theirs" in told


@pytest.mark.parametrize("layer", BROKEN)
def test_a_broken_layer_is_not_proven(smoked: dict[str, Any], layer: str) -> None:
    said, cure = BROKEN[layer]
    told = "\n".join(smoked[layer]["problems"])
    assert said in told
    assert cure is None or cure in told


@pytest.mark.parametrize("layer", ["excluded", "pruned", "pruned-whole"])
def test_what_names_an_extra_and_misses_something_else(smoked: dict[str, Any], layer: str) -> None:
    assert "shop.blames" not in smoked[layer]["imports"]["optional"]


@pytest.mark.parametrize("layer", ["excluded", "pruned-whole", "stubbed"])
def test_a_break_behind_an_optional_import(smoked: dict[str, Any], layer: str) -> None:
    assert "shop.disguised" not in smoked[layer]["imports"]["optional"]


def test_an_import_that_does_not_return_is_named(
    tmp_path: Path, host: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {
        "python/shop/__init__.py": b"",
        "python/shop/busy.py": b"while True:\n    pass\n",
        "python/shop/good.py": b"",
        "python/shop/socket_.py": b"""
import socket
try:
    server = socket.create_server(("127.0.0.1", 0))
    server.accept()
except Exception:
    pass
""",
        "python/shop/user.py": b"from shop import socket_\n",
    }
    monkeypatch.setattr(probing, "IDLE", 0.5)
    monkeypatch.setattr(probing, "IMPORT_TIMEOUT", 1.5)
    zipped = zips.write(tmp_path / "layer.zip", files)
    report = layer.prove(layer.Subject("shop", zipped, "arm64"), host)

    told = {one.module: str(one.failure.chain[0]) for one in report.imports.failed}
    hidden = {one.module: one.hidden for one in report.imports.failed}
    assert "takes longer than 1.5 s" in told["shop.busy"]
    assert "waits for more than 0.5 s (in accept, socket.py line" in told["shop.socket_"]
    assert hidden == {"shop.busy": [], "shop.socket_": ["shop.user"]}


def test_what_is_left_is_accepted_in_layers_yaml(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAYERSMITH_CACHE", str(cache.cache_root()))
    project = Project(tmp_path, cache.cache_root())
    broken = {"shop/__init__.py": b"", "shop/odd.py": b"raise TypeError('not for import')\n"}
    before = f"""
# ours
layers:
  shop:
    description: for a test
    version: 1.0.0
    requirements: [shop]   # all of it
    runtimes: [{HERE}]
    architectures: [arm64]
"""
    project.write(before)
    project.lock(wheels.make(tmp_path, "shop", broken))
    project.build()
    smoke = ("smoke", "--runner", "host")
    text = project.root / "layers.yaml"

    assert "--accept" in project.run(*smoke, check=8).stderr
    dry = project.run(*smoke, "--accept", "--dry-run", check=8).stderr
    assert "+      shop.odd: 'TypeError: not for import'" in dry
    assert text.read_text() == before

    project.run(*smoke, "--accept")
    assert text.read_text() == (
        before + "    import-exceptions:\n      shop.odd: 'TypeError: not for import'\n"
    )
    assert "1 excepted" in project.run(*smoke).stdout

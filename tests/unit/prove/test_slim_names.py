"""Which modules code names."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from layersmith.prove.slim.names import Names, absolute, entry_points

from tests.support import zips

if TYPE_CHECKING:
    from pathlib import Path

SOURCES = {
    "python/pkg/__init__.py": "from . import core\n",
    "python/pkg/core.py": "def f():\n    import pkg.late\n    from .sub import deep\n",
    "python/pkg/late.py": "from pkg import further\n",
    "python/pkg/further.py": "",
    "python/pkg/sub/__init__.py": "",
    "python/pkg/sub/deep.py": "",
    "python/pkg/typed.py": "",
    "python/pkg/plugin.py": "",
    "python/pkg/idle.py": "import pkg.idle_friend\n",
    "python/pkg/idle_friend.py": "",
}


def zipped(folder: Path, sources: dict[str, str]) -> Path:
    return zips.write(folder / "layer.zip", sources)


def reached(folder: Path, changed: dict[str, str]) -> dict[str, list[str]]:
    return Names(zipped(folder, {**SOURCES, **changed})).reached(["pkg", "pkg.core"])


def test_imports_in_functions_count_and_so_does_what_they_import(tmp_path: Path) -> None:
    assert reached(tmp_path, {}) == {
        "pkg.late": ["pkg.core"],
        "pkg.further": ["pkg.late"],
        "pkg.sub": ["pkg.core"],
        "pkg.sub.deep": ["pkg.core"],
    }


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from pkg import typed\n", False),
        ("import typing\nif typing.TYPE_CHECKING:\n    from pkg import typed\n", False),
        ("if not TYPE_CHECKING:\n    from pkg import typed\n", True),
        ("if TYPE_CHECKING:\n    pass\nelse:\n    from pkg import typed\n", True),
        # anyio's way: the branch runs where lazy imports are off.
        ("if TYPE_CHECKING or not lazy():\n    from .typed import A\n", True),
        ("if TYPE_CHECKING:\n    from .typed import A\ndef __getattr__(name): ...\n", True),
        ("PLACES = {'A': '.typed'}\n", True),
        ("PLACES = {'A': 'pkg.typed'}\n", True),
        ("PLUGINS = ['typed']\n", True),
        ("TEXT = 'this is typed'\n", False),
        ("this is no Python", False),
    ],
)
def test_what_names_a_module(tmp_path: Path, source: str, found: bool) -> None:
    assert ("pkg.typed" in reached(tmp_path, {"python/pkg/__init__.py": source})) is found


def test_plugins_are_named_by_metadata_and_commands_are_not(tmp_path: Path) -> None:
    points = "[pytest11]\npkg = pkg.plugin\n[console_scripts]\npkg = pkg.idle:main\n"
    found = reached(tmp_path, {"python/pkg-1.dist-info/entry_points.txt": points})
    assert found["pkg.plugin"] == ["entry points"]
    assert "pkg.idle" not in found
    assert "pkg.idle_friend" not in found


@pytest.mark.parametrize(
    ("name", "package", "expected"),
    [
        ("a.b", "x.y", "a.b"),
        (".b", "x.y", "x.y.b"),
        ("..b", "x.y", "x.b"),
        (".", "x.y", "x.y"),
        ("..", "x.y", "x"),
    ],
)
def test_relative_names(name: str, package: str, expected: str) -> None:
    assert absolute(name, package) == expected


def test_entry_points_with_extras_and_objects() -> None:
    text = "[group]\na = pkg.mod:thing\nb = pkg.other [extra]\n\n[gui_scripts]\nc = pkg.gui:main\n"
    assert list(entry_points(text)) == ["pkg.mod", "pkg.other"]

"""Locks of other tools: the versions they hold for a target."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from layersmith.base import runtimes
from layersmith.config.models import Layer
from layersmith.errors import LockError
from layersmith.lock import teamlock
from layersmith.plan import Target

if TYPE_CHECKING:
    from pathlib import Path

TARGET = Target(
    "demo",
    runtimes.get("python3.13"),
    "arm64",
    Layer(description="d", version="1.0.0", runtimes=["python3.13"], requirements=["alpha"]),
)

UV = """
version = 1
[[package]]
name = "alpha"
version = "1.0"
source = { registry = "https://index.invalid/simple" }
[[package]]
name = "forked"
version = "1.0"
source = { registry = "https://index.invalid/simple" }
resolution-markers = ["python_full_version < '3.13'"]
[[package]]
name = "forked"
version = "2.0"
source = { registry = "https://index.invalid/simple" }
resolution-markers = ["python_full_version >= '3.13'", "os_name == 'nt'"]
[[package]]
name = "member"
version = "0.1"
source = { editable = "member" }
"""

POETRY = """
[[package]]
name = "Alpha"
version = "1.0"
python-versions = ">=3.9"
[[package]]
name = "forked"
version = "1.0"
python-versions = ">=3.8,<3.12"
[[package]]
name = "forked"
version = "2.0"
python-versions = "!=3.9.7,>=3.9 || 3.14.*"
[[package]]
name = "local"
version = "0.1"
python-versions = "*"
[package.source]
type = "directory"
url = "local"
"""

PIPENV = """
{"_meta": {}, "default": {
  "alpha": {"version": "==1.0", "markers": "python_version >= '3.9'"},
  "forked": {"version": "==2.0"},
  "windows": {"version": "==1.0", "markers": "sys_platform == 'win32'"},
  "local": {"path": ".", "editable": true}
}, "develop": {"pytest": {"version": "==8.0"}}}
"""

PYLOCK = """
lock-version = "1.0"
created-by = "a test"
[[packages]]
name = "alpha"
version = "1.0"
[[packages]]
name = "forked"
version = "1.0"
marker = "python_version < '3.13'"
[[packages]]
name = "forked"
version = "2.0"
marker = "python_version >= '3.13'"
[[packages]]
name = "local"
[packages.directory]
path = "local"
"""


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("uv.lock", UV),
        ("poetry.lock", POETRY),
        ("Pipfile.lock", PIPENV),
        ("pylock.toml", PYLOCK),
        ("pylock.lambda.toml", PYLOCK),
    ],
)
def test_the_versions_that_a_lock_holds_for_a_target(tmp_path: Path, name: str, text: str) -> None:
    path = tmp_path / name
    path.write_text(text)
    assert teamlock.is_lock(name)
    assert teamlock.read(path, TARGET) == {"alpha": "1.0", "forked": "2.0"}


def test_two_versions_for_one_target_pin_nothing(tmp_path: Path) -> None:
    path = tmp_path / "uv.lock"
    path.write_text(UV.replace("python_full_version < '3.13'", "sys_platform == 'linux'"))
    assert teamlock.read(path, TARGET) == {"alpha": "1.0"}


@pytest.mark.parametrize("text", ["<<<<<<< HEAD", "", "[package]\nname = 1", "[[package]]\nx = 1"])
@pytest.mark.parametrize("name", ["uv.lock", "pylock.toml", "Pipfile.lock"])
def test_a_damaged_lock_is_named(tmp_path: Path, name: str, text: str) -> None:
    path = tmp_path / name
    path.write_text(text)
    if name == "uv.lock" and text in {"", "[[package]]\nx = 1"}:
        assert teamlock.read(path, TARGET) == {}
        return
    with pytest.raises(LockError, match=name):
        teamlock.read(path, TARGET)


def test_a_requirements_file_is_no_lock() -> None:
    assert not teamlock.is_lock("requirements.txt")
    assert not teamlock.is_lock("pyproject.toml")


def test_a_pylock_lists_requirements_without_versions(tmp_path: Path) -> None:
    path = tmp_path / "pylock.toml"
    more = "".join(
        f"[[packages]]\nname = '{name}'\nmarker = \"{marker}\"\n"
        for name, marker in (
            ("extra", "'dev' in extras"),
            ("group", "python_version > '3' and 'test' in dependency_groups"),
        )
    )
    path.write_text(f"{PYLOCK}{more}")
    assert teamlock.listed(path) == [
        "alpha",
        "forked; python_version < '3.13'",
        "forked; python_version >= '3.13'",
        "local",
    ]

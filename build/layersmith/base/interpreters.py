"""Finds an interpreter of a given minor version of CPython on this machine, through uv.

The one that runs comes first, then what uv finds on PATH, in pyenv's versions and among its own;
last, uv is asked to install one. uv remembers what it learned of a program until that changes.
"""

from __future__ import annotations

import functools
import os
import re
import sys
from pathlib import Path

from layersmith import console, process, repeats
from layersmith.base import uv


@functools.cache
def find(minor: int, *, install: bool = True) -> Path | None:
    """Return an interpreter of CPython 3.``minor``, or None where none can be had.

    Args:
        minor: Minor version, 13 for CPython 3.13.
        install: Let uv download a managed one where the machine has none.
    """
    if sys.version_info[:2] == (3, minor) and sys.implementation.name == "cpython":
        return Path(sys.executable)
    found = uv.find_python(minor, search_path(minor))
    if found is None and install and _install(minor):
        found = uv.find_python(minor, search_path(minor))
    if found is None:
        repeats.refuse()  # where one may be installed is known to uv alone
    else:
        repeats.saw(found)
    return found


def search_path(minor: int) -> str:
    """Return the PATH on which uv looks for CPython 3.``minor``.

    uv knows pyenv only by its shims, which are left out: one that stands for a version that is not
    chosen fails, and uv then gives up; the others start a shell first, up to 0.4 s a call. In their
    place stand pyenv's versions themselves, the newest first.
    """
    named = [Path(folder) for folder in os.environ.get("PATH", "").split(os.pathsep) if folder]
    folders = [folder for folder in named if "shims" not in folder.parts]
    pattern = re.compile(rf"3\.{minor}\.(\d+)")
    patches = {int(match[1]): path for path in _pyenv() if (match := pattern.fullmatch(path.name))}
    folders += [patches[patch] / "bin" for patch in sorted(patches, reverse=True)]
    return os.pathsep.join(map(str, folders))


def _pyenv() -> list[Path]:
    """Return the folders of pyenv's versions; none where another user's pyenv is not readable."""
    root = os.environ.get("PYENV_ROOT") or os.path.expanduser("~/.pyenv")  # noqa: PTH111
    try:
        return list((Path(root) / "versions").iterdir())
    except OSError:
        return []


def _install(minor: int) -> bool:
    try:
        uv.install_python(minor)
    except process.CommandFailed as failed:
        said = failed.output.splitlines() or ["it said nothing"]
        console.info(f"uv cannot install CPython 3.{minor} here: {said[-1].strip()}")
        return False
    return True

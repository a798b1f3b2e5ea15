"""Finds an interpreter of a given minor version of CPython on this machine.

Searched in this order: the one that runs, PATH, pyenv's versions, uv's managed ones; last, uv is
asked to install one. Shims are passed over: they start a shell first, up to 0.4 s a call.
"""

from __future__ import annotations

import functools
import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from layersmith import console, process
from layersmith.base import uv

if TYPE_CHECKING:
    from collections.abc import Iterator

PROBE = "import sys; print('%d.%d %s' % (*sys.version_info[:2], sys.implementation.name))"


@functools.cache
def find(minor: int, *, install: bool = True) -> Path | None:
    """Return an interpreter of CPython 3.``minor``, or None where none can be had.

    Args:
        minor: Minor version, 13 for CPython 3.13.
        install: Let uv download a managed one where the machine has none.
    """
    for candidate in _candidates(minor):
        if _is_cpython(candidate, minor):
            return candidate
    return _managed(minor) if install else None


def _candidates(minor: int) -> Iterator[Path]:
    name = f"python3.{minor}"
    if sys.version_info[:2] == (3, minor) and sys.implementation.name == "cpython":
        yield Path(sys.executable)
    for folder in os.environ.get("PATH", "").split(os.pathsep):
        path = Path(folder) / name
        if folder and path.is_file() and "shims" not in path.parts:
            yield path
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    yield from _newest_first(pyenv / "versions", rf"3\.{minor}\.\d+", name)
    data = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")
    managed = Path(os.environ.get("UV_PYTHON_INSTALL_DIR") or data / "uv" / "python")
    yield from _newest_first(managed, rf"cpython-3\.{minor}\.\d+-.*", name)


def _newest_first(folder: Path, pattern: str, name: str) -> Iterator[Path]:
    if not folder.is_dir():
        return
    found = [path for path in folder.iterdir() if re.fullmatch(pattern, path.name)]
    for path in sorted(found, key=lambda path: _numbers(path.name), reverse=True):
        yield path / "bin" / name


def _numbers(text: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", text)]


def _is_cpython(path: Path, minor: int) -> bool:
    if not path.is_file():
        return False
    try:
        said = process.run([path, "-I", "-S", "-c", PROBE], timeout=20).stdout.strip()
    except process.CommandFailed:
        return False
    return said == f"3.{minor} cpython"


def _managed(minor: int) -> Path | None:
    managed = ("--managed-python", "--no-python-downloads")
    try:
        uv.run("python", "install", f"3.{minor}", timeout=300)
        found = uv.run("python", "find", *managed, f"3.{minor}", timeout=60)
    except process.CommandFailed as failed:
        said = failed.output.splitlines() or ["it said nothing"]
        console.info(f"uv cannot install CPython 3.{minor} here: {said[-1].strip()}")
        return None
    return Path(found.stdout.strip())

"""Finds an interpreter of a given minor version of CPython on this machine."""

from __future__ import annotations

import functools
import re
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from layersmith import process
from layersmith.errors import ProofError

if TYPE_CHECKING:
    from collections.abc import Iterator

_IMPLEMENTATION = (
    "import sys; print(sys.implementation.name, *sys.version_info[:2], hasattr(sys, 'gettotalrefcount'))"
)


def find(minor: int) -> Path:
    """Return an interpreter of CPython 3.``minor``.

    Looked for in this order: the one that runs now, PATH, pyenv's versions, those that uv manages
    (the last may download one).

    Raises:
        ProofError: There is none, and none could be fetched.
    """
    found = _find(minor)
    if found is None:
        raise ProofError(
            f"no CPython 3.{minor} on this machine",
            cause="bytecode and the host runner need the minor version of the target",
            hint=f"install it, for instance with `uv python install 3.{minor}`",
        )
    return found


def find_or_none(minor: int) -> Path | None:
    """Return an interpreter of CPython 3.``minor``, or None."""
    return _find(minor)


@functools.cache
def _find(minor: int) -> Path | None:
    return next((path for path in _candidates(minor) if _is_cpython(path, minor)), None)


def _candidates(minor: int) -> Iterator[Path]:
    if sys.version_info[:2] == (3, minor):
        yield Path(sys.executable)
    # What pyenv has comes before its shims, which refuse versions that are not chosen.
    yield from sorted(Path("~/.pyenv/versions").expanduser().glob(f"3.{minor}.*/bin/python3"))
    on_path = shutil.which(f"python3.{minor}")
    if on_path:
        yield Path(on_path)
    managed = _from_uv(minor)
    if managed:
        yield managed


def _from_uv(minor: int) -> Path | None:
    for verb in (["find", "--managed-python"], ["install", "--quiet"]):
        try:
            done = process.run(["uv", "python", *verb, f"3.{minor}"], timeout=120)
        except process.CommandFailed:
            continue
        if verb[0] == "find":
            return Path(done.stdout.strip())
    try:
        done = process.run(["uv", "python", "find", "--managed-python", f"3.{minor}"], timeout=30)
    except process.CommandFailed:
        return None
    return Path(done.stdout.strip())


def _is_cpython(path: Path, minor: int) -> bool:
    try:
        said = process.run([path, "-I", "-S", "-c", _IMPLEMENTATION], timeout=30).stdout
    except process.CommandFailed:
        return False
    return re.fullmatch(rf"cpython 3 {minor} False\s*", said) is not None

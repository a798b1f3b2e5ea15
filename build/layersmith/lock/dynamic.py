"""The files that dynamic dependencies (PEP 621) of a local package may come from.

Only its backend knows for sure, and it is not run to find out whether a lock still fits. So every
file counts that its configuration names: requirement files, hooks, scripts, and what those include.
"""

from __future__ import annotations

import os
import re
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from layersmith import cache

if TYPE_CHECKING:
    from collections.abc import Iterator

CONFIGURATION = ("pyproject.toml", "setup.cfg", "setup.py", "hatch_build.py", "requirements.txt")
"""Files that count wherever they are, and are read for the names of others. The last two are what
hatchling and hatch-requirements-txt take where nothing else is named."""

PROSE = frozenset({".md", ".rst"})
"""Suffixes of files that are named as descriptions."""

NEVER = frozenset({"version", "readme", "description", "license", "license-files"})
"""Keys under which files are named that hold other metadata."""

_WORD = re.compile(r"[\w./+-]+")


def sources(folder: Path) -> dict[str, str]:
    """Return the files that may decide dynamic dependencies, each with its SHA-256 in hex.

    Args:
        folder: The local package, as an absolute path.
    """
    waiting = [folder / name for name in CONFIGURATION if (folder / name).is_file()]
    found: dict[str, str] = {}
    while waiting:
        path = waiting.pop()
        name = path.relative_to(folder).as_posix()
        if name in found:
            continue
        found[name] = cache.sha256_file(path)
        if name in CONFIGURATION or path.suffix != ".py":
            waiting += _named(path, folder)
    return dict(sorted(found.items()))


def _named(path: Path, folder: Path) -> Iterator[Path]:
    """Give the files that the text of a file names, below ``folder``."""
    text = path.read_text("utf-8", "replace")
    if path.name == "pyproject.toml":
        tables = tomllib.loads(text)
        system, tool = tables.get("build-system", {}), tables.get("tool", {})
        for place in map(str, system.get("backend-path", [])):
            yield from (folder / place.lstrip("/")).glob("*.py")
        text = "\n".join(_texts([system, tool]))
    words = {name for word in _WORD.findall(text) for name in (word, f"{word}.py")}
    for base in (folder, path.parent):
        for named in {Path(os.path.normpath(base / word)) for word in words}:
            if named.is_relative_to(folder) and named.suffix not in PROSE and _is_file(named):
                yield named


def _is_file(path: Path) -> bool:
    return os.path.isfile(path)  # noqa: PTH113 -- Path.is_file raises where a name is too long


def _texts(value: Any) -> Iterator[str]:
    """Give every text within TOML values."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)
    elif isinstance(value, dict):
        for key, item in value.items():
            if key not in NEVER:
                yield from _texts(item)

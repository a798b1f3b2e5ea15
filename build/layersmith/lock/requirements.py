"""Reads requirements files: requirements, nested files and nothing else."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from packaging.requirements import InvalidRequirement, Requirement

from layersmith.errors import LockError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_COMMENT = re.compile(r"(^|\s+)#.*$")
_NESTED = re.compile(r"(?:-r|--requirement|-c|--constraint)[ =]\s*(?P<file>\S.*)")


def read(path: Path, root: Path) -> list[str]:
    """Return the requirements of a file and of the files it names with ``-r``.

    Args:
        path: The file.
        root: Folder of layers.yaml; a file outside it is refused.

    Raises:
        LockError: A file is missing or outside ``root``, or a line is not a requirement. Options
            are refused: an index belongs in uv's own configuration, a hash into the lock.
    """
    return list(_read(path, root.resolve(), (), []))


def files(path: Path, root: Path) -> list[Path]:
    """Return a requirements file and the files it names with ``-r``, resolved.

    Raises:
        LockError: As ``read`` does.
    """
    found: list[Path] = []
    list(_read(path, root.resolve(), (), found))
    return found


def _read(path: Path, root: Path, above: tuple[Path, ...], seen: list[Path]) -> Iterator[str]:
    path = path.resolve()
    if not path.is_relative_to(root):
        raise LockError(f"{path.name} lies outside the folder of layers.yaml")
    if path in above:
        raise LockError(f"{path.relative_to(root)} includes itself")
    try:
        text = path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise LockError(f"{path.relative_to(root)} cannot be read: {error}") from None
    seen.append(path)
    for number, line in _logical_lines(text):
        nested = _NESTED.fullmatch(line)
        if nested and line.startswith(("-r", "--requirement")):
            yield from _read(path.parent / nested["file"], root, (*above, path), seen)
        else:
            yield _requirement(line, f"{path.relative_to(root)}:{number}")


def _logical_lines(text: str) -> Iterator[tuple[int, str]]:
    """Yield the lines that say something, with continuation lines joined."""
    pending, start = "", 0
    for number, line in enumerate(text.splitlines(), start=1):
        start = start if pending else number
        pending += line
        if pending.endswith("\\"):
            pending = pending[:-1] + " "
            continue
        content, pending = _COMMENT.sub("", pending).strip(), ""
        if content:
            yield start, content
    content = _COMMENT.sub("", pending).strip()
    if content:
        yield start, content


def _requirement(line: str, where: str) -> str:
    if line.startswith("-"):
        raise LockError(
            f"{where}: the option {line.split(maxsplit=1)[0]} is not used here",
            hint="name an index in uv's configuration; put constraints under `constraints`",
        )
    try:
        requirement = Requirement(line)
    except InvalidRequirement as problem:
        raise LockError(f"{where}: {line!r} is not a requirement (PEP 508): {problem}") from None
    if requirement.url:
        raise LockError(f"{where}: {requirement.name} is a direct reference; an index is needed")
    return line

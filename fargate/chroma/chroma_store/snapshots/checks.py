"""What untrusted values of a manifest must be; each returns the value, or raises.

A wrong type or number is a ValueError or TypeError, which the reader of the manifest names Damaged;
what would be unsafe on a file system is Refused.
"""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING, Any

from vector_common.errors import Refused
from vector_common.ids import is_id

if TYPE_CHECKING:
    import re

_MAX_SEGMENT = 255


def check_path(path: str) -> str:
    """Return a file's path within a snapshot, or raise Refused if it could lead outside."""
    segments = path.split("/")
    bad = (
        not path
        or len(path) > 1024
        or "\\" in path
        or any(unicodedata.category(c).startswith("C") for c in path)
        or any(s in {"", ".", ".."} or len(s.encode()) > _MAX_SEGMENT for s in segments)
    )
    if bad:
        raise Refused(f"manifest: path {path[:120]!r} is not a plain relative path")
    return path


def check_names(paths: list[str]) -> None:
    """Raise Refused if two files have one name, or a file is the folder of another."""
    # EFS and ext4 tell case apart, but a case-insensitive folder would let one file hide another.
    files = {path.casefold() for path in paths}
    if len(files) != len(paths):
        raise Refused("manifest: two files have one name")
    for path in files:
        parent = path.rpartition("/")[0]
        while parent:
            if parent in files:
                raise Refused(f"manifest: {parent[:120]!r} is a file and a folder")
            parent = parent.rpartition("/")[0]


def identifier(raw: Any) -> str:
    """A UUIDv7 in lower case."""
    if not isinstance(raw, str) or not is_id(raw):
        raise ValueError("an id is not a UUIDv7")
    return raw


def integer(raw: Any, low: int = 0, high: int = 2**53) -> int:
    """An integer within bounds, both included; a boolean is none."""
    if type(raw) is not int or not low <= raw <= high:
        raise ValueError(f"a number is not an integer of {low} to {high}")
    return raw


def text(raw: Any) -> str:
    """A string of at most 1,024 characters."""
    if not isinstance(raw, str) or len(raw) > 1024:
        raise ValueError("a text is missing or too long")
    return raw


def matching(pattern: re.Pattern[str], raw: Any) -> str:
    """A string that a pattern matches whole."""
    if not pattern.fullmatch(text(raw)):
        raise ValueError(f"{raw[:80]!r} does not match {pattern.pattern}")
    return str(raw)

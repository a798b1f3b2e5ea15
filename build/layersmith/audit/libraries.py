"""Finds the library that a native file needs, in the order of glibc's loader (ld.so(8)).

DT_RPATH of the file and of whoever loaded it, LD_LIBRARY_PATH (on Lambda it holds /opt/lib),
DT_RUNPATH of the file, then the folders of the system.
"""

from __future__ import annotations

import posixpath
import re
from functools import cached_property
from typing import TYPE_CHECKING

from layersmith.audit.policy import LIBRARY_PATH

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from layersmith.base.elf import ElfFacts

ROOT = "/opt"
"""Where Lambda unpacks layers."""

_ORIGIN = re.compile(r"\$(?:ORIGIN\b|\{ORIGIN\})")


class Links:
    """Which file of a layer satisfies which need.

    Args:
        elves: Facts of the ELF files by path in the layer.
        paths: All paths of the layer; a library that is damaged is still found.
    """

    def __init__(self, elves: Mapping[str, ElfFacts], paths: Mapping[str, object]) -> None:
        self._elves = elves
        self._paths = paths

    def find(self, path: str, library: str) -> str | None:
        """Return the file of the layer that ``path`` gets for ``library``, or None."""
        if "/" in library:
            inside = self._inside(library)
            return inside if inside in self._paths else None
        for folder in self._folders(path):
            candidate = posixpath.join(folder, library) if folder else library
            if candidate in self._paths:
                return candidate
        return None

    def elsewhere(self, library: str) -> str | None:
        """Return a file of that name anywhere in the layer, or None."""
        return next(iter(self._by_name.get(library, ())), None)

    def _folders(self, path: str) -> Iterator[str]:
        facts = self._elves[path]
        if not facts.runpath:
            # A file with DT_RUNPATH ignores every DT_RPATH, its own and inherited.
            for loader in self._loaders(path):
                if not self._elves[loader].runpath:
                    yield from self._expand(loader, self._elves[loader].rpath)
        yield from LIBRARY_PATH
        yield from self._expand(path, facts.runpath)

    def _loaders(self, path: str) -> Iterator[str]:
        """Yield the file and everything that may have loaded it, nearest first."""
        seen, queue = {path}, [path]
        while queue:
            current = queue.pop(0)
            yield current
            for user in self._users.get(posixpath.basename(current), ()):
                if user not in seen:
                    seen.add(user)
                    queue.append(user)

    def _expand(self, path: str, folders: tuple[str, ...]) -> Iterator[str]:
        here = posixpath.dirname(posixpath.join(ROOT, path))
        for folder in folders:
            inside = self._inside(_ORIGIN.sub(lambda _: here, folder))
            if inside is not None:
                yield inside

    @staticmethod
    def _inside(path: str) -> str | None:
        """Return an absolute path relative to the layer, or None if it leaves the layer."""
        normal = posixpath.normpath(path)
        if normal == ROOT:
            return ""
        return normal.removeprefix(ROOT + "/") if normal.startswith(ROOT + "/") else None

    @cached_property
    def _by_name(self) -> dict[str, list[str]]:
        names: dict[str, list[str]] = {}
        for path in sorted(self._elves):
            names.setdefault(posixpath.basename(path), []).append(path)
        return names

    @cached_property
    def _users(self) -> dict[str, list[str]]:
        users: dict[str, list[str]] = {}
        for path, facts in sorted(self._elves.items()):
            for library in facts.needed:
                users.setdefault(library, []).append(path)
        return users


def is_absolute(folder: str) -> bool:
    """Whether a search path names a folder outside the layer for certain."""
    return not _ORIGIN.match(folder) and not (folder + "/").startswith(ROOT + "/")

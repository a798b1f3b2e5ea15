"""Which modules a layer has, read from the paths of its files."""

from __future__ import annotations

import fnmatch
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from layersmith.base.modules import module_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_SITE = re.compile(r"^lib/python3\.\d+/site-packages/")


@dataclass(frozen=True)
class Module:
    """A module of a layer.

    Attributes:
        name: As it is imported, ``PIL._imaging``.
        path: Its file in the layer, ``python/PIL/_imaging.cpython-313-aarch64-linux-gnu.so``.
    """

    name: str
    path: str

    @property
    def top(self) -> str:
        """The top-level module that it belongs to."""
        return self.name.partition(".")[0]


def modules_of(paths: Iterable[str]) -> list[Module]:
    """Return the modules among a layer's files, parents before children, each once.

    Folders that are not identifiers (``pillow.libs``, ``*.dist-info``, ``bin``'s scripts) hold no
    modules. ``__main__`` is left out: it is a program, and runs when it is imported.

    Args:
        paths: Paths in the zip, with ``python/`` in front.
    """
    found: dict[str, Module] = {}
    for path in sorted(paths):
        name = _imported_as(path)
        if name:
            found.setdefault(name, Module(name, path))
    return sorted(found.values(), key=lambda module: module.name.split("."))


def excepted(name: str, exceptions: Mapping[str, str]) -> str | None:
    """Return the pattern of ``import-exceptions`` that covers a module, or None.

    A pattern covers what it matches and everything below it.
    """
    for pattern in exceptions:
        if fnmatch.fnmatchcase(name, pattern) or fnmatch.fnmatchcase(name, f"{pattern}.*"):
            return pattern
    return None


def _imported_as(path: str) -> str | None:
    if not path.startswith("python/"):
        return None
    inner = _SITE.sub("", path.removeprefix("python/"))
    *folders, file = inner.split("/")
    if file.endswith(".py") or (file.endswith(".pyc") and "__pycache__" not in folders):
        stem = file.rpartition(".")[0]
    else:
        extension = module_name(file)
        if extension is None or not extension.is_for_cpython:
            return None
        stem = extension.module
    if stem == "__main__":
        return None
    parts = folders if stem == "__init__" else [*folders, stem]
    if not parts or not all(part.isidentifier() for part in parts):
        return None
    return ".".join(parts)

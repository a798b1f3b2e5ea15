"""Reads which modules the code of a layer names, without running it.

A module that no proof loaded is safer to leave out where no loaded code names it at all than
where a function that no proof called would import it. Names are import statements at any depth,
and strings that spell a module of the layer, which is how lazy packages list theirs.
"""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

from layersmith.base import modules
from layersmith.prove import layer_zip

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

_DOTTED = re.compile(r"^\.*[A-Za-z_]\w*(\.[A-Za-z_]\w*)*$")
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_TYPE_CHECKING = {"TYPE_CHECKING", "typing.TYPE_CHECKING"}
_COMMAND_GROUPS = {"console_scripts", "gui_scripts"}


class Names:
    """The names in a layer's code.

    Args:
        layer: The zip.
    """

    def __init__(self, layer: Path) -> None:
        with layer_zip.opened(layer) as archive:
            paths = archive.namelist()
            self.modules = {one.name: one.path for one in modules.modules_of(paths)}
            self._sources = {
                name: archive.read(path)
                for name, path in self.modules.items()
                if path.endswith(".py")
            }
            plugins = [
                archive.read(path).decode("utf-8", errors="replace")
                for path in paths
                if path.endswith(".dist-info/entry_points.txt")
            ]
        self._plugins = {name for text in plugins for name in entry_points(text)}

    def reached(self, loaded: Iterable[str]) -> dict[str, list[str]]:
        """Return what loaded modules name, and what those name in turn.

        Args:
            loaded: Names of modules.

        Returns:
            Module that is not loaded -> the modules that name it; ``entry points`` stands for
            the metadata of plugins.
        """
        start = set(loaded)
        found: dict[str, list[str]] = {
            name: ["entry points"]
            for name in self._plugins & set(self.modules)
            if name not in start
        }
        waiting, seen = sorted({*start, *found}), set(start) | set(found)
        while waiting:
            name = waiting.pop()
            for other in sorted(self.named_by(name)):
                if other not in start:
                    found.setdefault(other, []).append(name)
                if other not in seen:
                    seen.add(other)
                    waiting.append(other)
        return found

    def named_by(self, name: str) -> set[str]:
        """Return the modules of this layer that one module names, itself left out."""
        source = self._sources.get(name)
        if source is None:
            return set()
        try:
            tree = ast.parse(source)
        except (SyntaxError, ValueError):
            # Code for another Python, such as the templates of generators: it cannot be loaded.
            return set()
        package = name if self._is_package(name) else name.rpartition(".")[0]
        found = set()
        for spelled in _spelled(tree, package):
            # `from a.b import c` names a.b.c where that is a module, and a.b and a in any case.
            parts = spelled.split(".")
            found |= {".".join(parts[:count]) for count in range(1, len(parts) + 1)}
        return {one for one in found if one in self.modules and one != name}

    def _is_package(self, name: str) -> bool:
        return self.modules[name].endswith("/__init__.py")


def entry_points(text: str) -> Iterator[str]:
    """Give the modules that an entry_points.txt offers to others; commands left out."""
    group = ""
    for line in text.splitlines():
        stripped = line.strip()
        if stripped.startswith("["):
            group = stripped.strip("[]")
        elif "=" in stripped and group not in _COMMAND_GROUPS:
            yield stripped.partition("=")[2].strip().partition(":")[0].split(" ")[0]


def _spelled(tree: ast.Module, package: str) -> Iterator[str]:
    """Give every dotted name that code may import, absolute."""
    waiting: list[ast.AST] = [tree]
    # A lazy module repeats for type checkers what it imports on request.
    lazy = any(isinstance(node, _FUNCTIONS) and node.name == "__getattr__" for node in tree.body)
    while waiting:
        node = waiting.pop()
        if not lazy and isinstance(node, ast.If) and ast.unparse(node.test) in _TYPE_CHECKING:
            waiting.extend(node.orelse)
            continue
        yield from _of_node(node, package)
        waiting.extend(ast.iter_child_nodes(node))


def _of_node(node: ast.AST, package: str) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        base = absolute("." * node.level + (node.module or ""), package)
        yield base
        yield from (f"{base}.{alias.name}" for alias in node.names)
    elif isinstance(node, ast.Constant) and isinstance(node.value, str):
        text = node.value
        if len(text) < 100 and _DOTTED.match(text):
            yield absolute(text, package)
            # Packages list their plugins by the last part of the name.
            yield f"{package}.{text}"


def absolute(name: str, package: str) -> str:
    """Return the absolute name of a relative one, as importlib resolves it."""
    level = len(name) - len(name.lstrip("."))
    if not level:
        return name
    parents = package.split(".")
    kept = parents[: len(parents) - level + 1]
    return ".".join(part for part in [*kept, name.lstrip(".")] if part)

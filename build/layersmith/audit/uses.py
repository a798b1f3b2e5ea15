"""Whether a native file is loaded as soon as its package is imported, or on request at most.

A plugin for Kerberos whose library is not there breaks nobody who does not ask for Kerberos; an
extension module that ``__init__`` imports breaks the whole package.
"""

from __future__ import annotations

import ast
import posixpath
import re
from functools import cached_property
from typing import TYPE_CHECKING

from layersmith.assemble.tree import PREFIX
from layersmith.base.modules import module_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from layersmith.audit.content import Content

SURVIVED = frozenset(
    {"ImportError", "ModuleNotFoundError", "OSError", "Exception", "BaseException"}
)
"""Exceptions whose handler outlives an extension module that cannot be loaded."""


class Uses:
    """Who loads which native file of a layer; what is asked for is found out once."""

    def __init__(self, content: Content) -> None:
        self._content = content
        self._judged: dict[str, bool] = {}
        self._imports: dict[str, frozenset[str]] = {}

    def on_request(self, path: str) -> bool:
        """Whether nothing loads a file before somebody calls a function that does."""
        seen, waiting = {path}, [path]
        while waiting:
            current = waiting.pop()
            if self._loaded(current):
                return False
            users = self._users.get(posixpath.basename(current), ())
            fresh = [user for user in users if user not in seen]
            seen.update(fresh)
            waiting += fresh
        return True

    def _loaded(self, path: str) -> bool:
        if path not in self._judged:
            self._judged[path] = self._starts(path)
        return self._judged[path]

    def _starts(self, path: str) -> bool:
        if not path.startswith(PREFIX):
            # Somebody put it there by hand, for a reason that no package tells.
            return True
        module = self._module(path)
        if module is None:
            return self._named(path)
        if "." not in module or self._imported(module) or self._compiled_in(path, module):
            return True
        # What its own package never asks for is there for others to import, as lxml.etree is.
        return not self._asked_for(path, module)

    def _asked_for(self, path: str, module: str) -> bool:
        """Whether its distribution imports a module later, by name or by a name made then."""
        leaf = re.compile(rf"\b{module.rpartition('.')[2]}\b|\b(?:import_module|__import__)\(")
        return any(
            leaf.search(text) is not None
            for source, text in self._sources
            if self._owner(source) == self._owner(path) and source.endswith(".py")
        )

    def _module(self, path: str) -> str | None:
        """Return the dotted name under which a file is imported; None for mere libraries."""
        name = module_name(path)
        if name is None:
            return None
        init = f"PyInit_{name.module}".encode()
        if init not in self._content.files[path].source.read():
            return None
        folder = posixpath.dirname(path.removeprefix(PREFIX))
        return ".".join([*filter(None, folder.split("/")), name.module])

    def _imported(self, module: str) -> bool:
        leaf = module.rpartition(".")[2]
        return any(
            module in self._names(path)
            for path, text in self._sources
            if leaf in text and path.endswith(".py")
        )

    def _compiled_in(self, path: str, module: str) -> bool:
        """Whether a compiled neighbour holds a module's name, as Cython and mypyc store imports."""
        leaf = module.rpartition(".")[2].encode()
        return any(
            b"\0" + leaf + b"\0" in raw or module.encode() + b"\0" in raw
            for other in self._content.elves
            if other != path and module_name(other) and self._owner(other) == self._owner(path)
            for raw in [self._content.files[other].source.read()]
        )

    def _named(self, path: str) -> bool:
        """Whether a source of its distribution names a file that ctypes or a process would load."""
        name = posixpath.basename(path)
        return any(
            name in text
            for source, text in self._sources
            if self._owner(source) == self._owner(path)
        )

    def _owner(self, path: str) -> str | None:
        return self._content.owner(path)

    def _names(self, path: str) -> frozenset[str]:
        if path not in self._imports:
            self._imports[path] = frozenset(at_the_top(self._content.text(path), path))
        return self._imports[path]

    @cached_property
    def _sources(self) -> list[tuple[str, str]]:
        """Path and text of Python sources, and of bytecode in their place, which holds names."""
        files = [path for path in self._content.files if path.endswith((".py", ".pyc"))]
        return [(path, self._content.text(path)) for path in files if "/__pycache__/" not in path]

    @cached_property
    def _users(self) -> dict[str, list[str]]:
        users: dict[str, list[str]] = {}
        for path, facts in self._content.elves.items():
            for library in facts.needed:
                users.setdefault(posixpath.basename(library), []).append(path)
        return users


def at_the_top(source: str, path: str) -> Iterator[str]:
    """Yield the dotted names that a module imports, and must have, when it is imported itself.

    Args:
        source: Its text; what is not Python imports nothing.
        path: Its path in the layer, which relative imports start from.
    """
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError):
        return
    package = posixpath.dirname(path.removeprefix(PREFIX)).replace("/", ".")
    for statement in _statements(tree.body):
        if isinstance(statement, ast.Import):
            for alias in statement.names:
                yield from _prefixes(alias.name)
        elif isinstance(statement, ast.ImportFrom):
            base = _base(statement, package)
            yield from _prefixes(base)
            yield from (f"{base}.{alias.name}".strip(".") for alias in statement.names)
        else:
            yield from _called(statement, package)


def _statements(body: Iterable[ast.stmt]) -> Iterator[ast.stmt]:
    """Yield the statements that run on import and whose failure nobody catches."""
    for one in body:
        if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        blocks = [
            block
            for name in ("body", "orelse", "finalbody")
            if (block := getattr(one, name, None)) and not _skipped(one, name)
        ]
        parts = (*getattr(one, "handlers", ()), *getattr(one, "cases", ()))
        blocks += [part.body for part in parts]
        if not blocks:
            yield one
        for block in blocks:
            yield from _statements(block)


def _skipped(statement: ast.stmt, block: str) -> bool:
    """Whether a block never runs, or fails in silence."""
    if block != "body":
        return False
    if isinstance(statement, ast.If):
        return "TYPE_CHECKING" in ast.dump(statement.test)
    if isinstance(statement, ast.With):
        return any(
            "suppress" in ast.dump(item.context_expr) and _survives(item.context_expr)
            for item in statement.items
        )
    if isinstance(statement, ast.Try):
        return any(
            (handler.type is None or _survives(handler.type))
            and not any(isinstance(node, ast.Raise) for node in ast.walk(handler))
            for handler in statement.handlers
        )
    return False


def _survives(expression: ast.expr) -> bool:
    names = {node.id for node in ast.walk(expression) if isinstance(node, ast.Name)}
    return not SURVIVED.isdisjoint(names)


def _base(statement: ast.ImportFrom, package: str) -> str:
    if not statement.level:
        return statement.module or ""
    parts = package.split(".") if package else []
    above = parts[: len(parts) - statement.level + 1]
    return ".".join([*above, *filter(None, [statement.module])])


def _called(statement: ast.stmt, package: str) -> Iterator[str]:
    """Yield what import_module and __import__ are called with, where that is a constant."""
    for node in ast.walk(statement):
        if isinstance(node, ast.Call) and node.args:
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            given = node.args[0]
            if name in {"import_module", "__import__"} and isinstance(given, ast.Constant):
                text = str(given.value)
                yield from _prefixes(package + text if text.startswith(".") else text)


def _prefixes(name: str) -> Iterator[str]:
    parts = name.split(".")
    yield from (".".join(parts[:end]) for end in range(1, len(parts) + 1))

"""Moves imports of a function's own modules from their top to the statements that use them.

Only copies are changed. What moves is a statement at the top level of a module, not one within
``try`` or ``if``, whose names nothing uses while the module is imported.
"""

from __future__ import annotations

import ast
import symtable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from layersmith.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence
    from pathlib import Path

SEEN = "layersmith_seen"
"""Module in a copy that is watched; its set ``used`` has what was imported where it moved to."""

EXPRESSIONS = {"lambda", "genexpr", "listcomp", "setcomp", "dictcomp"}
"""What symbol tables call functions that are no statements."""

_Scope = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class OwnImport:
    """An import statement of a function's own code.

    Attributes:
        file: Its module, relative to the code.
        line: Where it begins.
        statement: As it is written there, on one line.
        names: What it binds.
        into: Lines of the functions of the module that use it.
        stays: Why it cannot move; empty where it can.
    """

    file: str
    line: int
    statement: str
    names: tuple[str, ...] = ()
    into: tuple[int, ...] = ()
    stays: str = ""

    @property
    def place(self) -> str:
        """As compilers name a place: ``app.py:3``."""
        return f"{self.file}:{self.line}"


def find(code: Path) -> list[OwnImport]:
    """Return the imports at the top level of all modules in a folder, in their order.

    Folders with hidden names, and distributions that were installed into the folder, are not the
    function's own.

    Args:
        code: Folder of the function.

    Raises:
        ConfigError: A module is not valid Python for the interpreter that runs layersmith.
    """
    installed = {
        line.partition("/")[0]
        for record in code.glob("*.dist-info/RECORD")
        for line in record.read_text("utf-8").splitlines()
    }
    found: list[OwnImport] = []
    for path in sorted(code.rglob("*.py")):
        parts = path.relative_to(code).parts
        if parts[0] not in installed and not any(part.startswith(".") for part in parts):
            found += _imports(path, "/".join(parts))
    return found


def moved(source: str, which: Collection[OwnImport], marks: Collection[int] = ()) -> str:
    """Return a module with some of its imports moved.

    Args:
        source: Of the module.
        which: Imports of this module that can move.
        marks: One number per import, which the copy notes in `SEEN` when it imports it; without
            them nothing is noted.
    """
    tree = ast.parse(source)
    numbers = dict(zip(which, marks, strict=True)) if marks else {}
    wanted = {(one.line, one.statement): one for one in which}
    moving: list[tuple[OwnImport, list[ast.stmt]]] = []
    for number, node in enumerate(tree.body):
        if not isinstance(node, ast.Import | ast.ImportFrom):
            continue
        one = wanted.get((node.lineno, ast.unparse(node)))
        if one is None:
            continue
        tree.body[number] = ast.copy_location(ast.Pass(), node)
        note = f"__import__({SEEN!r}).used.add({numbers[one]})\n" if numbers else ""
        moving.append((one, [*ast.parse(note).body, node]))
    for scope in [node for node in ast.walk(tree) if isinstance(node, _Scope)]:
        for one, statements in moving:
            if scope.lineno in one.into:
                _before_uses(scope.body, one.names, statements)
    return ast.unparse(ast.fix_missing_locations(tree)) + "\n"


def _before_uses(body: list[ast.stmt], names: Sequence[str], statements: list[ast.stmt]) -> None:
    """Put statements in front of each statement that itself uses some names, in all its blocks."""
    for node in list(body):
        if any(isinstance(one, ast.Name) and one.id in names for one in _own(node)):
            at = body.index(node)
            body[at:at] = statements
        if not isinstance(node, _Scope | ast.ClassDef):
            for part in (node, *getattr(node, "handlers", ()), *getattr(node, "cases", ())):
                for block in ("body", "orelse", "finalbody"):
                    _before_uses(getattr(part, block, []), names, statements)


def _own(node: ast.AST) -> Iterator[ast.AST]:
    """Yield the parts of a statement that run with it, not with a block or function in it."""
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, ast.stmt):
            yield child
        elif not isinstance(node, ast.ClassDef):
            continue
        yield from _own(child)


def _imports(path: Path, file: str) -> Iterator[OwnImport]:
    try:
        source = path.read_text("utf-8")
        tree, table = ast.parse(source), symtable.symtable(source, file, "exec")
    except (SyntaxError, ValueError) as problem:
        raise ConfigError(f"{path}: not valid Python here: {problem}") from problem
    for node in tree.body:
        if not isinstance(node, ast.Import | ast.ImportFrom):
            continue
        if isinstance(node, ast.ImportFrom) and node.module == "__future__":
            continue
        names = [one.asname or one.name.partition(".")[0] for one in node.names]
        into, stays = _uses(names, tree, table)
        lines = tuple(sorted(into))
        yield OwnImport(file, node.lineno, ast.unparse(node), tuple(names), lines, stays)


def _uses(
    names: Collection[str], tree: ast.Module, table: symtable.SymbolTable
) -> tuple[set[int], str]:
    """Return the lines of the functions that use some names, and why the import has to stay."""
    if "*" in names:
        return set(), "it imports whatever is there"
    for name in names:
        if _bound(name, tree) > 1:
            return set(), f"{name} is bound more than once"
    into: set[int] = set()
    if early := _early(names, table, into) or _in_comprehension(names, tree):
        return set(), f"{early} is used while the module is imported"
    exported = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)}
    if "__all__" in table.get_identifiers() and exported & set(names):
        return set(), "__all__ exports it"
    return into, "" if into else "no function of the module uses it"


def _early(names: Collection[str], table: symtable.SymbolTable, into: set[int]) -> str:
    """Return the name that is used outside of functions, and note the functions that use some."""
    for name in names:
        if name in table.get_identifiers() and _kind(table) != "function":
            symbol = table.lookup(name)
            if symbol.is_referenced() and (symbol.is_global() or _kind(table) == "module"):
                return name
    for child in table.get_children():
        if _is_function(child):
            _note(names, child, into)
            early = ""
        elif _kind(child) == "function":
            early = _global(names, child)
        else:
            # Annotations that Python evaluates when they are asked for do not count.
            early = "" if _kind(child) == "annotation" else _early(names, child, into)
        if early:
            return early
    return ""


def _in_comprehension(names: Collection[str], node: ast.AST) -> str:
    """Return the name that a comprehension outside of functions uses.

    Since CPython 3.12 symbol tables have no scope for it (PEP 709), nor its uses of a name that the
    scope around it binds.
    """
    for child in ast.iter_child_nodes(node):
        if isinstance(node, _Scope) and isinstance(child, ast.stmt):
            continue
        if isinstance(child, ast.ListComp | ast.SetComp | ast.DictComp):
            used = (one.id for one in ast.walk(child) if isinstance(one, ast.Name))
            found = next((name for name in used if name in names), "")
        else:
            found = _in_comprehension(names, child)
        if found:
            return found
    return ""


def _note(names: Collection[str], table: symtable.SymbolTable, into: set[int]) -> None:
    """Note each function, also within others, that uses global names."""
    if _is_function(table) and _global(names, table):
        into.add(table.get_lineno())
    for child in table.get_children():
        _note(names, child, into)


def _global(names: Collection[str], table: symtable.SymbolTable) -> str:
    """Return the first of some global names that a scope uses, not a function in it; or nothing."""
    known = table.get_identifiers()
    used = next((name for name in names if name in known and table.lookup(name).is_global()), "")
    inner = (one for one in table.get_children() if not _is_function(one))
    return used or next(filter(None, (_global(names, one) for one in inner)), "")


def _kind(table: symtable.SymbolTable) -> str:
    found = table.get_type()
    return str(getattr(found, "value", found))


def _is_function(table: symtable.SymbolTable) -> bool:
    """Whether a scope is that of a ``def``, not of an expression."""
    return _kind(table) == "function" and table.get_name() not in EXPRESSIONS


def _bound(name: str, tree: ast.Module) -> int:
    """Return in how many ways a module binds a name; imports of one package count as one."""
    found = {
        node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and _stores(node, name)
    }
    found |= {one for node in ast.walk(tree) if isinstance(node, ast.Global) for one in node.names}
    ways = {
        (one.name.partition(".")[0], one.asname)
        if isinstance(node, ast.Import)
        else (node.module, node.level, one.name)
        for node in tree.body
        if isinstance(node, ast.Import | ast.ImportFrom)
        for one in node.names
        if (one.asname or one.name.partition(".")[0]) == name
    }
    nested = sum(
        (one.asname or one.name.partition(".")[0]) == name
        for block in tree.body
        if not isinstance(block, _Scope | ast.Import | ast.ImportFrom)
        for node in ast.walk(block)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for one in node.names
    )
    return len(ways) + nested + (name in found)


def _stores(node: ast.Name, name: str) -> bool:
    return node.id == name and isinstance(node.ctx, ast.Store | ast.Del)

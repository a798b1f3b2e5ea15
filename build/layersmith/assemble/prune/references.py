"""What a source refers to: the modules that it imports, and those that it names to have imported.

Read from the syntax tree, so that comments and docstrings count for nothing. What a type checker
alone reads is passed over.
"""

from __future__ import annotations

import ast
import re
import threading
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

IMPORT_LINE = re.compile(
    r"^[ \t]*(?:from[ \t]+(?P<base>[\w.]+)[ \t]+import|import)[ \t(]+(?P<names>[\w.,* \t]+)",
    re.MULTILINE,
)
DOTTED_NAME = re.compile(r"\.*[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*(?::[\w.]*)?")
ASSIGNMENTS = (ast.Assign, ast.AnnAssign, ast.AugAssign)
IMPORTERS = frozenset({"import_module", "__import__"})

_quiet = threading.Lock()
"""Held while warnings are off, which is so for all threads; parsing keeps them waiting anyway."""


@dataclass(frozen=True)
class References:
    """What one source refers to.

    Attributes:
        names: Dotted names of modules, or of what is in a module.
        stub: Whether it hands its own path to a lazy loader, which reads its .pyi file.
    """

    names: frozenset[str]
    stub: bool = False


def parse(content: bytes) -> ast.Module:
    """Parse a source without the compiler's warnings, which are its author's business.

    Raises:
        SyntaxError: This Python cannot read it.
        ValueError: It holds NUL bytes.
    """
    with _quiet, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ast.parse(content)


def read(
    content: bytes, module: str, *, package: bool, strings: bool, attributes: bool = False
) -> References:
    """Return what a source refers to.

    Args:
        content: The source.
        module: Its dotted name.
        package: Whether it is the file of a package.
        strings: Whether texts that are nothing but a dotted name count, as in settings, too.
        attributes: Whether attributes of imported modules count as well, ``np.random``: they may
            be modules that a package imports when they are asked for.
    """
    reader = _SourceReader(module, package=package, strings=strings, attributes=attributes)
    try:
        reader.visit(parse(content))
    except (SyntaxError, ValueError, RecursionError):
        # For another Python, or a template: better one module too many.
        return References(frozenset(reader.lines(content.decode("utf-8", "replace"))))
    return References(frozenset(reader.found), reader.stub)


class _SourceReader(ast.NodeVisitor):
    """Collects what one source refers to."""

    def __init__(self, module: str, *, package: bool, strings: bool, attributes: bool) -> None:
        self.found: set[str] = set()
        self.stub = False
        self._module = module
        self._is_package = package
        self._package = module if package else module.rpartition(".")[0]
        self._strings = strings
        self._attributes = attributes
        self._aliases: dict[str, str] = {}
        self._values: dict[str, ast.expr] = {}

    def visit_Import(self, node: ast.Import) -> None:
        self.found.update(alias.name for alias in node.names)
        for alias in node.names:
            top = alias.name.partition(".")[0]
            self._aliases[alias.asname or top] = alias.name if alias.asname else top

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        base = self._absolute("." * node.level + (node.module or ""))
        self.found.update(f"{base}.{alias.name}" for alias in node.names)
        self._aliases |= {one.asname or one.name: f"{base}.{one.name}" for one in node.names}

    def visit_Attribute(self, node: ast.Attribute) -> None:
        parts: list[str] = []
        inner: ast.expr = node
        while isinstance(inner, ast.Attribute):
            parts.insert(0, inner.attr)
            inner = inner.value
        if self._attributes and isinstance(inner, ast.Name) and inner.id in self._aliases:
            self.found.add(".".join([self._aliases[inner.id], *parts]))
        self.visit(inner)

    def visit_If(self, node: ast.If) -> None:
        if _last_name(node.test) == "TYPE_CHECKING":
            for other in node.orelse:
                self.visit(other)
        else:
            self.generic_visit(node)

    def visit_Module(self, node: ast.Module) -> None:
        self.generic_visit(node)
        if any(isinstance(one, ast.FunctionDef) and one.name == "__getattr__" for one in node.body):
            # A module that loads attributes when they are asked for has a table of them (PEP 562).
            tables = [one.value for one in node.body if isinstance(one, ASSIGNMENTS) and one.value]
            self._add_below(self._texts(tables))

    def visit_Assign(self, node: ast.Assign) -> None:
        self._assigned(node.targets, node.value)
        self.generic_visit(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value:
            self._assigned([node.target], node.value)
            self.visit(node.value)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        self._assigned([node.target], node.value)
        self.generic_visit(node)

    def _assigned(self, targets: Iterable[ast.expr], value: ast.expr) -> None:
        for target in targets:
            if isinstance(target, ast.Name):
                self._values[target.id] = value
                if target.id == "__all__" and self._is_package:
                    # `from package import *` imports the modules among them.
                    self._add_below(self._texts([value]))

    def visit_Call(self, node: ast.Call) -> None:
        arguments = [*node.args, *(keyword.value for keyword in node.keywords)]
        names = {one.id for one in arguments if isinstance(one, ast.Name)}
        own = names & {"__name__", "__package__"}
        function = _last_name(node.func)
        if function in IMPORTERS and arguments:
            # import_module(".docs", __package__)
            texts = [self._fold(argument) for argument in arguments]
            if texts[0] is not None:
                anchor = texts[1] if len(texts) > 1 and texts[0].startswith(".") else None
                self._add(texts[0], anchor)
        elif own:
            # attach(__name__, submodules=["docs"]), attach_stub(__name__, __file__)
            self._add_below(self._texts(arguments))
        self.stub |= function.endswith("attach_stub") or (bool(own) and "__file__" in names)
        self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> None:
        if self._strings and isinstance(node.value, str) and "." in node.value[1:]:
            self._add(node.value)

    def lines(self, text: str) -> set[str]:
        """Return what the lines of a source import that cannot be parsed."""
        for line in IMPORT_LINE.finditer(text):
            base = self._absolute(line["base"]) + "." if line["base"] else ""
            for name in line["names"].split(","):
                # Without what follows `as`.
                self.found.update(base + word for word in name.split()[:1])
        return self.found

    def _texts(self, arguments: Iterable[ast.expr]) -> Iterator[str]:
        """Yield the texts in the arguments of a call, with those of the names among them."""
        for argument in arguments:
            known = self._values.get(argument.id) if isinstance(argument, ast.Name) else argument
            text = self._fold(known) if known else None
            if text is not None:
                yield text
            elif known:
                yield from (
                    node.value
                    for node in ast.walk(known)
                    if isinstance(node, ast.Constant) and isinstance(node.value, str)
                )

    def _fold(self, node: ast.expr) -> str | None:
        """Return the value of a text that is put together from constants and the own name."""
        match node:
            case ast.Constant(value=str(text)):
                return text
            case ast.Name(id="__name__"):
                return self._module
            case ast.Name(id="__package__"):
                return self._package
            case ast.FormattedValue(value=value):
                return self._fold(value)
            case ast.BinOp(left=left, op=ast.Add(), right=right):
                return self._joined([left, right])
            case ast.JoinedStr(values=values):
                return self._joined(values)
        return None

    def _joined(self, parts: Iterable[ast.expr]) -> str | None:
        texts = [self._fold(part) for part in parts]
        return None if None in texts else "".join(map(str, texts))

    def _add(self, text: str, package: str | None = None) -> None:
        if DOTTED_NAME.fullmatch(text):
            self.found.add(self._absolute(text.replace(":", "."), package))

    def _add_below(self, texts: Iterable[str]) -> None:
        for text in texts:
            self._add(f".{text.lstrip('.')}")

    def _absolute(self, name: str, package: str | None = None) -> str:
        """Resolve a name with leading dots, which count from a package: the source's own."""
        relative = name.lstrip(".")
        level = len(name) - len(relative)
        if not level:
            return relative
        parts = (package or self._package).split(".")
        return ".".join([*parts[: len(parts) - level + 1], *([relative] if relative else [])])


def _last_name(node: ast.expr) -> str:
    """Return ``c`` of ``c`` and of ``a.b.c``."""
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""

"""Judges paths that two distributions own, when everything that goes is gone.

An installer lets the last distribution win without a word. Here only what makes no difference
passes: equal files, documents next to the packages, and packages that do nothing but share their
name with other distributions.
"""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from layersmith.assemble.prune.references import parse
from layersmith.assemble.prune.rules import documents, namespace_words
from layersmith.assemble.tree import Removed
from layersmith.errors import BuildError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from layersmith.assemble.tree import Entry, Tree

RULE = "collisions"
"""What the manifest calls files that gave way to an equivalent one."""

MOST_GLOBS = 10
"""Files that a hint lists one by one: two distributions with more in common are rivals."""


def settle(tree: Tree) -> None:
    """Leave one owner of every path in ``tree``.

    Raises:
        BuildError: Files differ, and which of them a program finds would matter; all in one.
    """
    collisions = []
    for path, rivals in sorted(tree.rivals.items()):
        owners = [tree.entries[path], *rivals]
        contents = [owner.source.read() for owner in owners]
        other = next((at for at, one in enumerate(contents) if one != contents[0]), None)
        if other is not None and not _chosen(tree, owners, contents):
            collisions.append((owners[0], owners[other]))
    if collisions:
        raise _error(collisions)
    tree.rivals.clear()


def _chosen(tree: Tree, owners: Sequence[Entry], contents: Sequence[bytes]) -> bool:
    """Leave the best of several owners, where it makes no difference which one that is."""
    inner = owners[0].inner
    if "/" not in inner and documents().match_file(inner.lower()):
        best = 0
    elif inner.endswith(".py") and _equivalent(inner, contents):
        best = min(range(len(owners)), key=lambda at: _rank(contents[at]))
    else:
        return False
    # With its content in memory, so that RECORD has its hash and not that of the last wheel.
    tree.replace(owners[best].with_content(contents[best]))
    tree.removed += [
        Removed(owner.path, owner.size, owner.distribution, RULE)
        for at, owner in enumerate(owners)
        if at != best and contents[at] != contents[best]
    ]
    return True


def _equivalent(path: str, contents: Sequence[bytes]) -> bool:
    """Whether sources are the same code, or all of them only make a package a namespace."""
    try:
        codes = [_code(content) for content in contents]
    except (SyntaxError, ValueError):
        return False
    if len({ast.dump(code) for code in codes}) == 1:
        return True
    allowed = namespace_words()
    return path.endswith("/__init__.py") and all(set(_words(code)) <= allowed for code in codes)


def _code(content: bytes) -> ast.Module:
    """Parse a source, without the docstring of the module."""
    module = parse(content)
    if module.body and ast.get_docstring(module, clean=False) is not None:
        del module.body[0]
    return module


def _words(code: ast.Module) -> Iterator[str]:
    """Yield every name that a source mentions; a definition counts as one that is never known."""
    for node in ast.walk(code):
        if isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.ImportFrom):
            yield (node.module or "").replace("__future__", "typing")
        elif isinstance(node, ast.alias):
            yield node.name
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda):
            yield ""


def _rank(content: bytes) -> int:
    """Order the files of a namespace package: pkgutil works everywhere, pkg_resources seldom."""
    if b"extend_path" in content:
        return 0
    return 2 if b"declare_namespace" in content else 1


def _error(collisions: Sequence[tuple[Entry, Entry]]) -> BuildError:
    first, other = collisions[0]
    more = f" ({len(collisions)} such paths)" if len(collisions) > 1 else ""
    hint = f"list {first.distribution} or {other.distribution} under `excludes`"
    own = [one for one in (first.distribution, other.distribution) if one.endswith(":")]
    if own:
        # No distribution: what layers.yaml brings under this key.
        hint = f"rename the file that is listed under `{own[0].removesuffix(':')}`"
    # A glob without a slash would match files of this name in every folder.
    globs = [one.inner for one, _ in collisions if "/" in one.inner]
    if len(globs) == len(collisions) <= MOST_GLOBS:
        hint += f", or leave out of both what is not needed: `prune: {{add: [{', '.join(globs)}]}}`"
    return BuildError(
        f"{first.path} belongs to both {first.distribution} and {other.distribution}{more}",
        cause="two distributions install the same file with different content",
        hint=hint,
    )

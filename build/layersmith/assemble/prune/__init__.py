"""The prune step: what a layer does without, and what has to stay for what is left.

What goes is taken away by rules, and what is left of the layer needs is rescued. Then metadata of
distributions is corrected. METADATA is a header like that of an e-mail, and the long description
is its body (core metadata 2.1). Everything that is read at run time stands in the header: name,
version, requirements, entry points of another file. The description of a small package is a fifth
of its zip.

Last, paths that two distributions own are judged. An installer lets the last distribution win
without a word. Here only what makes no difference passes: equal files, documents next to the
packages, and packages that do nothing but share their name with other distributions.
"""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

from layersmith.assemble.prune.references import parse
from layersmith.assemble.prune.rescue import module_of, rescue
from layersmith.assemble.prune.rules import (
    PruneRule,
    default_rules,
    documents,
    is_kept,
    is_metadata,
    namespace_words,
    prune,
    unmatched,
)
from layersmith.assemble.tree import Removed
from layersmith.errors import BuildError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from layersmith.assemble.tree import Entry, Tree
    from layersmith.config.models import Prune
    from layersmith.recipes.models import RecipeUse

__all__ = [
    "METADATA",
    "PruneRule",
    "default_rules",
    "finish",
    "is_metadata",
    "leave_out_descriptions",
    "prune",
    "unmatched",
]


def finish(tree: Tree, wanted: Prune, recipes: Sequence[RecipeUse] = ()) -> None:
    """Prune ``tree``, then look into what is left: imports, entry points, owners, metadata.

    Args:
        tree: The files of a layer.
        wanted: What layers.yaml says.
        recipes: The recipes that apply.

    Raises:
        BuildError: Two distributions own a path that is left, with different content.
        ConfigError: A pattern of layers.yaml cannot be read.
    """
    rescue(tree, prune(tree, wanted, recipes))
    _correct_entry_points(tree)
    _settle_collisions(tree)
    leave_out_descriptions(tree, wanted)


DESCRIPTIONS_RULE = "descriptions"
METADATA = ".dist-info/METADATA"
"""End of the paths of what leave_out_descriptions cuts."""

BODY = re.compile(rb"\r?\n\r?\n")
"""What ends a header (RFC 822)."""


def leave_out_descriptions(tree: Tree, wanted: Prune) -> None:
    """Cut METADATA after its header, where layers.yaml does not keep it.

    Args:
        tree: The files of a layer.
        wanted: What layers.yaml says.

    Raises:
        ConfigError: A pattern of layers.yaml cannot be read.
    """
    if not wanted.defaults:
        return
    for entry in [one for one in tree if one.path.endswith(METADATA)]:
        if is_kept(entry.path, wanted):
            continue
        content = entry.source.read()
        found = BODY.search(content)
        header = content[: found.start()] + b"\n" if found else content
        if len(header) < len(content):
            tree.replace(entry.with_content(header))
            left_out = len(content) - len(header)
            tree.removed.append(
                Removed(entry.path, left_out, entry.distribution, DESCRIPTIONS_RULE)
            )


ENTRY_POINT = re.compile(rb"^[^#;\[=:]+[=:]\s*(?P<module>[\w.]+)")
"""``name = module:attribute [extra]`` (entry points specification); configparser allows ``:``."""


def _correct_entry_points(tree: Tree) -> None:
    """Remove entry points from ``tree`` whose modules were removed."""
    left = {module_of(path) for path in tree.entries}
    gone = {module_of(one.path) for one in tree.removed} - left - {None}
    for entry in list(tree):
        if gone and entry.path.endswith(".dist-info/entry_points.txt"):
            content = entry.source.read()
            lines = content.splitlines(keepends=True)
            kept = b"".join(line for line in lines if _module(line) not in gone)
            if kept != content:
                tree.replace(entry.with_content(kept))


def _module(line: bytes) -> str | None:
    found = ENTRY_POINT.match(line)
    return found["module"].decode() if found else None


COLLISIONS_RULE = "collisions"
"""What the manifest calls files that gave way to an equivalent one."""

MOST_GLOBS = 10
"""Files that a hint lists one by one: two distributions with more in common are rivals."""


def _settle_collisions(tree: Tree) -> None:
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
        Removed(owner.path, owner.size, owner.distribution, COLLISIONS_RULE)
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
    return path.endswith("/__init__.py") and all(set(_mentioned(code)) <= allowed for code in codes)


def _code(content: bytes) -> ast.Module:
    """Parse a source, without the docstring of the module."""
    module = parse(content)
    if module.body and ast.get_docstring(module, clean=False) is not None:
        del module.body[0]
    return module


def _mentioned(code: ast.Module) -> Iterator[str]:
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

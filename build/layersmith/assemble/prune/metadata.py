"""Corrects the metadata of distributions: what a prune took away, and a README that nobody reads.

METADATA is a header like that of an e-mail, and the long description is its body (core metadata
2.1). Everything that is read at run time stands in the header: name, version, requirements, entry
points of another file. The description of a small package is a fifth of its zip.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from layersmith.assemble.prune import rules
from layersmith.assemble.prune.rescue import module_of
from layersmith.assemble.tree import Removed

if TYPE_CHECKING:
    from layersmith.assemble.tree import Tree
    from layersmith.config.models import Prune

RULE = "descriptions"
SUFFIX = ".dist-info/METADATA"
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
    for entry in [one for one in tree if one.path.endswith(SUFFIX)]:
        if rules.is_kept(entry.path, wanted):
            continue
        content = entry.source.read()
        found = BODY.search(content)
        header = content[: found.start()] + b"\n" if found else content
        if len(header) < len(content):
            tree.replace(entry.with_content(header))
            left_out = len(content) - len(header)
            tree.removed.append(Removed(entry.path, left_out, entry.distribution, RULE))


ENTRY_POINT = re.compile(rb"^[^#;\[=:]+[=:]\s*(?P<module>[\w.]+)")
"""``name = module:attribute [extra]`` (entry points specification); configparser allows ``:``."""


def correct(tree: Tree) -> None:
    """Leave out of every entry_points.txt in ``tree`` what is no longer there to be loaded."""
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

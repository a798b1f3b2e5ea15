"""Takes entry points of modules that were pruned out of entry_points.txt.

What loads plugins by their entry points, as pytest does, fails where a module is not there.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from layersmith.assemble.prune.rescue import module_of

if TYPE_CHECKING:
    from layersmith.assemble.tree import Tree

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

"""Leaves the long description out of the metadata of distributions: their README, once more.

METADATA is a header like that of an e-mail, and the description is its body (core metadata 2.1).
Everything that is read at run time stands in the header: name, version, requirements, entry points
of another file. The description of a small package is a fifth of its zip.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from layersmith.assemble.prune import rules
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

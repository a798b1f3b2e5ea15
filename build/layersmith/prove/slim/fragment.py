"""Writes what survived as lines for layers.yaml."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from layersmith import console

if TYPE_CHECKING:
    from collections.abc import Sequence

    from layersmith.prove.slim.models import Candidate

REASON = "no proof of the layer touches it"
_PLAIN = re.compile(r"^[A-Za-z0-9_/][\w./*-]*$")


def render(layer: str, survived: Sequence[Candidate], needless: Sequence[str] = ()) -> str:
    """Return a fragment to be merged into layers.yaml, with what each line saves.

    Args:
        layer: Name of the layer.
        survived: What passed the proofs.
        needless: Patterns of ``import-exceptions`` that can go.
    """
    excludes = [one for one in survived if one.kind == "exclude"]
    prunes = [one for one in survived if one.kind == "prune"]
    lines = ["layers:", f"  {layer}:"]
    if excludes:
        lines += ["    excludes:"]
        lines += [f"      {one.pattern}: {REASON}  {_comment(one)}" for one in excludes]
    if prunes:
        lines += ["    prune:", "      add:"]
        lines += [f"        - {_scalar(one.pattern)}  {_comment(one)}" for one in prunes]
    if not survived:
        lines[-1] += " {}  # nothing more can go"
    if needless:
        lines.append("    # no longer needed under import-exceptions:")
        lines += [f"    #   {pattern}" for pattern in needless]
    return "\n".join(lines) + "\n"


def _comment(one: Candidate) -> str:
    saves = f"# {console.size(one.zipped)} zipped, {console.size(one.unzipped)} unzipped"
    if one.risk == "data":
        return f"{saves}; data"
    if one.named_by:
        more = f" and {len(one.named_by) - 2} more" if len(one.named_by) > 2 else ""
        return f"{saves}; named by {', '.join(one.named_by[:2])}{more}"
    return saves


def _scalar(text: str) -> str:
    """Return a pattern as YAML; JSON's strings are YAML's, too."""
    return text if _PLAIN.match(text) else json.dumps(text)

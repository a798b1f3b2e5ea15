"""Corrects RECORD after files were left out, changed or added.

The format is that of PEP 376 and the wheel specification: path, ``sha256=`` with the unpadded
URL-safe base64 of the digest, size in bytes. Bytecode is listed without hash, as pip does.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import io
from typing import TYPE_CHECKING

from layersmith.assemble.tree import PREFIX, Bytes, Entry, Tree, WheelMember

if TYPE_CHECKING:
    from collections.abc import Mapping


def correct(tree: Tree, hashes: Mapping[str, str]) -> None:
    """Write the RECORD of every distribution in ``tree`` anew.

    Args:
        tree: The layer, in its final state.
        hashes: Path below python/ to ``sha256=...``, as the wheels' own RECORDs give them for
            files that are in the layer as the wheel holds them.
    """
    by_distribution: dict[str, list[Entry]] = {}
    for entry in tree.sorted():
        by_distribution.setdefault(entry.distribution, []).append(entry)
    for entries in by_distribution.values():
        for entry in entries:
            if entry.path.endswith(".dist-info/RECORD"):
                tree.replace(Entry(entry.path, Bytes(_rows(entries, hashes)), entry.distribution))


def _rows(entries: list[Entry], hashes: Mapping[str, str]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    for entry in entries:
        if entry.path.endswith((".dist-info/RECORD", ".pyc")):
            writer.writerow((entry.inner, "", ""))
        else:
            writer.writerow((entry.inner, _hash(entry, hashes), entry.size))
    return text.getvalue().encode("utf-8")


def _hash(entry: Entry, hashes: Mapping[str, str]) -> str:
    known = hashes.get(entry.path.removeprefix(PREFIX))
    if known and isinstance(entry.source, WheelMember):
        return known
    digest = hashlib.sha256(entry.source.read()).digest()
    return "sha256=" + base64.urlsafe_b64encode(digest).rstrip(b"=").decode("ascii")

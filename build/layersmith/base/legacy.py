"""Reads metadata from before its rules were enforced, as uv reads it.

Indexes took anything for years. Resolvers correct the slips they know, so a lock may hold such a
distribution, and whoever reads its METADATA afterwards has to understand the same.
"""

from __future__ import annotations

import re

from packaging.requirements import InvalidRequirement, Requirement

SLIPS: tuple[tuple[str, str], ...] = (
    # `elasticsearch-dsl (>=7.2.0<8.0.0)`: no comma between two conditions.
    (r"(?<=\d)(?=[<>=~^!])", ","),
    # `jupyter-core (!=~5.0)`
    (r"!=~(\d+(?:\.\d+)*)", r"!=\1.*"),
    # `six (>=1.9.*)`: only == and != take a star.
    (r"([<>]=?)(\s*\d+(?:\.\d+)*)\.\*", r"\1\2"),
    # `pyzmq (!=3.0*)`
    (r"(\d\.\d+)\*", r"\1.*"),
    # `pyzmq >=3.6,`
    (r",\s*(?=\)?$)", ""),
    # `pytz (>dev)`
    (r">\s*dev\b", ">0.0.0dev"),
    # `pyarrow >=9.0.0a1.0`
    (r"(\d(?:a|b|rc|post|dev)\d+)\.0\b", r"\1"),
    # `botocore>=1.3.0'`
    (r"['\"]", ""),
)
"""Pattern and replacement of each slip, in uv's order (crates/uv-pypi-types,
lenient_requirement.rs, read 2026-11-26); each is tried on what the last one left."""


def requirement(text: str) -> Requirement:
    """Return a line of Requires-Dist.

    Raises:
        InvalidRequirement: It is not a requirement, and not a known slip of one either.
    """
    try:
        return Requirement(text)
    except InvalidRequirement:
        # Markers have quotes and commas of their own.
        mended, semicolon, marker = text.partition(";")
        mended = mended.strip()
        for pattern, replacement in SLIPS:
            mended = re.sub(pattern, replacement, mended)
            try:
                return Requirement(f"{mended} {semicolon}{marker}")
            except InvalidRequirement:
                continue
        raise


def decode(raw: bytes) -> str:
    """Return the text of a metadata file: UTF-8, or Latin-1 as before Metadata 2.1."""
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("latin-1")

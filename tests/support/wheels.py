"""Makes small wheels for tests: real zips with METADATA, WHEEL and a RECORD that fits."""

from __future__ import annotations

import base64
import hashlib
import zipfile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path


def make(
    folder: Path,
    name: str,
    files: Mapping[str, bytes],
    *,
    version: str = "1.0",
    tag: str = "py3-none-any",
    requires: Sequence[str] = (),
    metadata: Sequence[str] = (),
    compression: int = zipfile.ZIP_DEFLATED,
    links: Mapping[str, str] | None = None,
    executables: Sequence[str] = (),
    encoding: str = "utf-8",
) -> Path:
    """Write a wheel and return its path.

    Args:
        folder: Where to write it.
        name: Name of the distribution.
        files: Path in the wheel to content, metadata left out.
        version: Version of the distribution.
        tag: Compatibility tag.
        requires: Lines for Requires-Dist.
        metadata: More lines for METADATA.
        compression: Method for all members.
        links: Symbolic links: path in the wheel to the path they point to.
        executables: Paths with mode 0755.
        encoding: Encoding of METADATA.
    """
    dist_info = f"{name}-{version}.dist-info"
    lines = [f"Requires-Dist: {line}" for line in requires]
    head = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
    text = "\n".join([*head, *lines, *metadata])
    members = {
        **files,
        f"{dist_info}/METADATA": f"{text}\n".encode(encoding),
        f"{dist_info}/WHEEL": f"Wheel-Version: 1.0\nTag: {tag}\n".encode(),
    }
    rows = [f"{path},{digest(content)},{len(content)}" for path, content in members.items()]
    members[f"{dist_info}/RECORD"] = "\n".join([*rows, f"{dist_info}/RECORD,,", ""]).encode()
    path = folder / f"{name}-{version}-{tag}.whl"
    with zipfile.ZipFile(path, "w", compression) as wheel:
        for member, content in members.items():
            info = zipfile.ZipInfo(member, (2024, 2, 3, 4, 5, 6))
            info.external_attr = (0o100755 if member in executables else 0o100644) << 16
            info.compress_type = compression
            wheel.writestr(info, content)
        for member, points_to in (links or {}).items():
            info = zipfile.ZipInfo(member)
            info.external_attr = 0o120777 << 16
            wheel.writestr(info, points_to)
    return path


def digest(content: bytes) -> str:
    """Return a digest as RECORD has it."""
    raw = hashlib.sha256(content).digest()
    return "sha256=" + base64.urlsafe_b64encode(raw).rstrip(b"=").decode()

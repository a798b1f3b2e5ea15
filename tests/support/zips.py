"""Makes zips for tests: layers and code of functions, with the modes that Lambda wants."""

from __future__ import annotations

import io
import zipfile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

EPOCH = (1980, 1, 1, 0, 0, 0)


def content(files: Mapping[str, bytes | str]) -> bytes:
    """Return a zip of files with the mode 0644, of those below bin/ with 0755, sorted, stored."""
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w") as archive:
        for name in sorted(files):
            info = zipfile.ZipInfo(name, EPOCH)
            info.external_attr = (0o100755 if name.startswith("bin/") else 0o100644) << 16
            archive.writestr(info, files[name])
    return memory.getvalue()


def write(path: Path, files: Mapping[str, bytes | str]) -> Path:
    """Write such a zip and return its path."""
    path.write_bytes(content(files))
    return path

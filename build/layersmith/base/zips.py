"""Writes small zips that are the same on every machine: function code, canaries, built wheels.

A layer's own zip is written by assemble/archive.py, which copies what wheels hold compressed; it
takes date and modes from here.
"""

from __future__ import annotations

import io
import zipfile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

EPOCH = (1980, 1, 1, 0, 0, 0)
EPOCH_SECONDS = 315_532_800
"""The earliest date that a zip can hold."""

FILE_MODE, EXECUTABLE_MODE = 0o644, 0o755
"""Lambda runs a function as another user: what that user may not read, it cannot load."""

REGULAR = 0o100000
"""S_IFREG, the type of a regular file (stat(2))."""

UNIX = 3
"""Who made the zip (PKWARE APPNOTE, 4.4.2.2): external attributes hold modes."""


def pack(files: Mapping[str, bytes], *, executables: Collection[str] = (), level: int = 9) -> bytes:
    """Return a zip of files: sorted by name, dated 1980, deflated or stored.

    Args:
        files: Path in the zip to content.
        executables: Paths with mode 0755; all others have 0644.
        level: Of deflate, 1 to 9; 0 stores, which is the same with every zlib.
    """
    memory = io.BytesIO()
    method = zipfile.ZIP_DEFLATED if level else zipfile.ZIP_STORED
    with zipfile.ZipFile(memory, "w", method, compresslevel=level) as archive:
        for name in sorted(files):
            info = zipfile.ZipInfo(name, EPOCH)
            info.compress_type = method
            info.create_system = UNIX
            mode = EXECUTABLE_MODE if name in executables else FILE_MODE
            info.external_attr = (REGULAR | mode) << 16
            archive.writestr(info, files[name])
    return memory.getvalue()

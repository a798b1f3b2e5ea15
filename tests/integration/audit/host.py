"""The target that this interpreter itself could be: what is loaded natively must be for it."""

from __future__ import annotations

import platform
import subprocess
import sys
from typing import TYPE_CHECKING

from layersmith.base import runtimes

from tests.support import clocks

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

RUNTIME = f"python3.{sys.version_info.minor}"
ARCHITECTURE = {"x86_64": "x86_64", "aarch64": "arm64"}.get(platform.machine(), "")

UNFIT = (
    None
    if sys.platform == "linux" and RUNTIME in runtimes.RUNTIMES and ARCHITECTURE
    else f"{RUNTIME} on {platform.machine()} is no Lambda runtime, so nothing can be loaded here"
)
"""Reason to skip what is started natively, or None."""


def unpack(files: Mapping[str, bytes], folder: Path) -> Path:
    """Write the files of a layer below a folder and return its ``python/``."""
    for path, content in files.items():
        place = folder / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
    return folder / "python"


def python(code: str, path: Path) -> subprocess.CompletedProcess[str]:
    """Run code with nothing but a folder and the standard library on the path."""
    return subprocess.run(
        [sys.executable, "-S", "-c", code],
        env={"PYTHONPATH": str(path), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=clocks.seconds(120),
    )

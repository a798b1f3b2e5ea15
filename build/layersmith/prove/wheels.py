"""Installs pinned distributions from wheels into a folder, for any target."""

from __future__ import annotations

from typing import TYPE_CHECKING

from layersmith import process
from layersmith.base import uv
from layersmith.errors import ProofError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from layersmith.base.runtimes import Runtime


def install(
    pins: Sequence[str], runtime: Runtime, architecture: str, folder: Path, *, what: str
) -> None:
    """Install distributions without what they require, and without bytecode.

    What uv finds may need a newer glibc than Lambda has; the twin and the stand-in have one.

    Args:
        pins: ``name==version``.
        runtime: The Lambda runtime.
        architecture: To install for, ``arm64`` or ``x86_64``.
        folder: What becomes a folder of sys.path.
        what: For the message, such as ``the twin``.

    Raises:
        ProofError: A distribution has no wheel for the target, or the index does not answer.
    """
    version, platform = runtime.python_version, uv.platform(runtime, architecture)
    try:
        uv.install_wheels(folder, pins, python_version=version, platform=platform)
    except process.CommandFailed as failed:
        raise ProofError(
            f"{what} for {architecture}: the wheels could not be installed",
            cause=failed.output,
            hint="check that the Python package index answers, and has a wheel for that target",
        ) from failed

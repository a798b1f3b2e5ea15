"""Folders of installed packages that proofs need beside a layer: made once, then kept."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from layersmith import process
from layersmith.base import uv
from layersmith.errors import ProofError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from layersmith.base.runtimes import Runtime


def once(final: Path, fill: Callable[[Path], object]) -> Path:
    """Return a folder, filled if it is not there; it appears whole or not at all.

    Args:
        final: The folder; the one around it exists.
        fill: Fills the folder that it is given.
    """
    if final.is_dir():
        return final
    temporary = Path(tempfile.mkdtemp(prefix=".new-", dir=final.parent))
    try:
        fill(temporary)
        temporary.chmod(0o755)
        temporary.rename(final)
    except OSError:
        # Another run was quicker; its folder holds the same.
        if not final.is_dir():
            raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return final


def install_for(
    runtime: Runtime, architecture: str, folder: Path, pins: Sequence[str], *, what: str
) -> None:
    """Install wheels for a Lambda runtime, without what they require and without bytecode.

    What uv finds may need a newer glibc than Lambda has; the twin and the stand-in have one.

    Args:
        runtime: The Lambda runtime.
        architecture: To install for, ``arm64`` or ``x86_64``.
        folder: What becomes a folder of sys.path.
        pins: ``name==version``.
        what: For the message, such as ``the twin``.

    Raises:
        ProofError: A distribution has no wheel for the target, or the index does not answer.
    """
    platform = uv.python_platform(runtime, architecture)
    install(folder, pins, runtime.python_version, platform, what=f"{what} for {architecture}")


def install(
    folder: Path,
    pins: Sequence[str],
    python_version: str | None = None,
    platform: str | None = None,
    *,
    what: str,
) -> None:
    """Install wheels without what they require and without bytecode.

    Args:
        folder: Where to.
        pins: ``name==version``.
        python_version: Of the Python that imports them, ``3.13``; None for the one that runs.
        platform: As :func:`layersmith.base.uv.platform` returns it; None for this machine's.
        what: What cannot be installed, for messages.

    Raises:
        ProofError: The package index does not answer, or has no wheel.
    """
    try:
        uv.install_wheels(folder, pins, python_version=python_version, platform=platform)
    except process.CommandFailed as failed:
        raise ProofError(
            f"{what} could not be installed",
            cause=failed.output,
            hint="check that the Python package index answers and has a wheel for the target",
        ) from failed

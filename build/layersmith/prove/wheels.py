"""Installs pinned distributions from wheels into a folder, for any target."""

from __future__ import annotations

from typing import TYPE_CHECKING

from layersmith import process
from layersmith.base import architectures, uv
from layersmith.errors import ProofError
from layersmith.lock.resolver import UV_GLIBC

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from layersmith.base.runtimes import Runtime


def install(
    pins: Sequence[str], runtime: Runtime, architecture: str, folder: Path, *, what: str
) -> None:
    """Install distributions without what they require, and without bytecode.

    Args:
        pins: ``name==version``.
        runtime: The Lambda runtime.
        architecture: To install for, ``arm64`` or ``x86_64``.
        folder: What becomes a folder of sys.path.
        what: For the message, such as ``the twin``.

    Raises:
        ProofError: A distribution has no wheel for the target, or the index does not answer.
    """
    options = ["--quiet", "--no-deps", "--no-compile-bytecode", "--only-binary", ":all:"]
    machine = ["--python-platform", platform(runtime, architecture)]
    version = ["--python-version", runtime.python_version]
    where = [*options, *machine, *version, "--target", str(folder)]
    try:
        uv.run("pip", "install", *where, *pins, timeout=600)
    except process.CommandFailed as failed:
        raise ProofError(
            f"{what} for {architecture}: the wheels could not be installed",
            cause=failed.output,
            hint="check that the Python package index answers, and has a wheel for that target",
        ) from failed


def platform(runtime: Runtime, architecture: str) -> str:
    """Return the platform to give to uv: the runtime's, or the closest above it that uv knows.

    Where the twin and the stand-in run, the C library is newer than on Lambda in any case.
    """
    major, minor = runtime.glibc
    closest = next(known for known in UV_GLIBC if known >= minor)
    return f"{architectures.get(architecture).wheel}-manylinux_{major}_{closest}"

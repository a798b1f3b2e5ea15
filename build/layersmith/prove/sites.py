"""Folders of installed packages that proofs need beside a layer: made once, then kept.

Among them is what a Lambda runtime brings along at /var/runtime, AWS's runtime client and boto3,
and pytest as the smoke files meet it inside the runtime: pure Python, compiled. Their versions are
pinned in runtimes.toml and images.json, so that two machines prove against the same ones.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import tempfile
from functools import cache as memoize
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from layersmith import cache, process
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


@memoize
def image_data() -> dict[str, Any]:
    """Return images.json: AWS's base images, and what is installed beside them."""
    text = (
        resources.files("layersmith.prove.base_images").joinpath("images.json").read_text("utf-8")
    )
    data: dict[str, Any] = json.loads(text)
    return data


def runtime_requirements(runtime: Runtime) -> list[str]:
    """Return what is installed at /var/runtime, pinned."""
    return [f"{one.name}=={one.version}" for one in runtime.provides]


def runtime_packages(runtime: Runtime, architecture: str) -> Path:
    """Return a folder that holds the runtime's own packages, made once a version.

    Args:
        runtime: Whose interpreter loads them. Where this machine has it, the folder holds bytecode,
            as the stand-in does: without it boto3 takes a third longer to start, in every layer.
        architecture: ``arm64`` or ``x86_64``.

    Raises:
        ProofError: A package has no wheel for this runtime, or the index does not answer.
    """
    wanted = runtime_requirements(runtime)
    facts = [runtime.name, architecture, "bytecode", *wanted]
    key = cache.sha256_bytes("\n".join(facts).encode())[:16]
    final = cache.section("runtime-packages") / f"{runtime.name}-{architecture}-{key}"
    what = "AWS's runtime client"

    def fill(site: Path) -> None:
        install_for(runtime, architecture, site, wanted, what=what)
        _compile(site, runtime.minor)

    return once(final, fill)


def pytest_site(minor: int) -> Path:
    """Return a folder with pytest and what it needs, made once.

    Args:
        minor: Minor version of the Python that imports it. Where this machine has it, the folder
            holds bytecode, without which pytest alone takes many seconds to start under emulation.

    Raises:
        ProofError: The package index does not answer.
    """
    wanted: list[str] = image_data()["pytest-packages"]
    key = cache.sha256_bytes("\n".join(wanted).encode())[:16]

    def fill(site: Path) -> None:
        install(site, wanted, f"3.{minor}", what="pytest for the smoke files")
        _compile(site, minor)

    return once(cache.section("pytest-site") / f"3.{minor}-{key}", fill)


def _compile(site: Path, minor: int) -> None:
    interpreter = uv.interpreter(minor)
    if interpreter is not None:
        arguments = ["-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash"]
        # A file that is not of this Python stays without; the others have theirs.
        with contextlib.suppress(process.CommandFailed):
            process.run([interpreter, "-I", *arguments, site], timeout=300)

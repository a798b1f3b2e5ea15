"""pytest as the smoke files meet it inside the runtime: pure Python, compiled, pinned."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from layersmith import cache, interpreters, process
from layersmith.errors import ProofError
from layersmith.prove.base import runtime_packages


def folder(minor: int) -> Path:
    """Return a folder with pytest and what it needs, made once.

    Args:
        minor: Minor version of the Python that imports it. Where this machine has it, the folder
            holds bytecode, without which pytest alone takes many seconds to start under emulation.

    Raises:
        ProofError: The package index does not answer.
    """
    wanted: list[str] = runtime_packages.image_data()["pytest-packages"]
    key = cache.sha256_bytes("\n".join(wanted).encode())[:16]
    final = cache.section("pytest-site") / f"3.{minor}-{key}"
    if not final.is_dir():
        _make(wanted, minor, final)
    return final


def _make(wanted: list[str], minor: int, final: Path) -> None:
    temporary = Path(tempfile.mkdtemp(prefix=".new-", dir=final.parent))
    command = [
        interpreters.uv_program(),
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--target",
        str(temporary),
    ]
    try:
        process.run(
            [*command, "--python-version", f"3.{minor}", "--only-binary", ":all:", *wanted],
            timeout=300,
        )
        _compile(temporary, minor)
        temporary.chmod(0o755)
        temporary.rename(final)
    except process.CommandFailed as failed:
        raise ProofError(
            "pytest could not be installed for the smoke files",
            cause=failed.output,
            hint="check that the Python package index answers",
        ) from failed
    except OSError:
        # Another run was quicker; its folder holds the same.
        if not final.is_dir():
            raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _compile(site: Path, minor: int) -> None:
    interpreter = interpreters.find(minor)
    if interpreter is not None:
        arguments = ["-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash"]
        process.run([interpreter, "-I", *arguments, site], timeout=300)

"""uv's command line: where the program is, and what it is asked to do.

uv alone sees the variables for private package indexes; what it starts is third-party code, which
sees no other credentials (see process). All functions raise CommandFailed where uv is missing,
fails, or runs out of time.
"""

from __future__ import annotations

import functools
import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from layersmith import cache, process
from layersmith.base import architectures

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from layersmith.base.runtimes import Runtime

GLIBC = (17, 28, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40)
"""The glibc 2.x that uv has a manylinux platform for (`uv pip compile --python-platform`)."""

THIS_PYTHON = ("--python", sys.executable, "--no-python-downloads")
"""Options that keep uv from searching for an interpreter, and from downloading one."""

TIMEOUT = 600.0
"""Seconds for a call that may download packages."""


@functools.cache
def program() -> str:
    """Return uv: the one installed beside this interpreter, else the one on PATH."""
    try:
        from uv import find_uv_bin  # noqa: PLC0415 -- absent where uv came from elsewhere

        return str(find_uv_bin())
    except (ImportError, FileNotFoundError):
        return shutil.which("uv") or "uv"


def run(
    *words: str | Path,
    timeout: float,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    stdin: str | None = None,
) -> process.Completed:
    """Run uv to its end and return what it said.

    Args:
        words: Subcommand and arguments.
        timeout: Seconds after which it is ended.
        cwd: Folder to run in, where uv looks for its configuration.
        env: Variables beside those that uv may see.
        stdin: Text for standard input.
    """
    return process.run(
        [program(), *words],
        cwd=cwd,
        env={**_cache(), **(env or {})},
        stdin=stdin,
        timeout=timeout,
        index_login=True,
    )


def _cache() -> dict[str, str]:
    """Return the variable that gives uv a cache where its own cannot be written."""
    own = cache.user_cache() / "uv"
    there = next((folder for folder in (own, *own.parents) if os.path.lexists(folder)), own)
    if os.environ.get("UV_CACHE_DIR") or os.access(there, os.W_OK | os.X_OK):
        return {}
    return {"UV_CACHE_DIR": str(cache.section("uv"))}


def version() -> str:
    """Return uv's version and platform, as it prints them."""
    return run("--version", timeout=20).stdout.strip().removeprefix("uv ")


def platform(runtime: Runtime, architecture: str) -> str:
    """Return the platform to give to uv: the runtime's, or the closest above it that uv knows.

    uv knows glibc 2.28 but not 2.26, the one of Amazon Linux 2; so what it finds may need a
    newer glibc than the target has, and has to be judged again by its tags.
    """
    major, minor = runtime.glibc
    closest = next(known for known in GLIBC if known >= minor)
    return f"{architectures.get(architecture).wheel}-manylinux_{major}_{closest}"


def find_python(minor: int, path: str) -> Path | None:
    """Return the interpreter of CPython 3.``minor`` that uv finds, or None.

    Virtualenvs are passed over, and so are builds without the GIL.

    Args:
        minor: Minor version, 13 for CPython 3.13.
        path: PATH to look on before uv's own interpreters.
    """
    where = ("--system", "--no-project", "--no-config", "--python-preference", "system")
    words = ("python", "find", *where, "--no-python-downloads", f"cpython@3.{minor}")
    try:
        return Path(run(*words, env={"PATH": path}, timeout=60).stdout.strip())
    except process.CommandFailed:
        return None


def install_python(minor: int) -> None:
    """Let uv download an interpreter of CPython 3.``minor``."""
    run("python", "install", f"3.{minor}", timeout=300)


def create_virtualenv(folder: Path, python: Path) -> None:
    """Make a virtualenv of an interpreter."""
    run("venv", "--quiet", "--no-project", "--python", python, folder, timeout=TIMEOUT)


def install(python: Path, requirements: Sequence[str]) -> None:
    """Install requirements into the environment of an interpreter."""
    run("pip", "install", "--quiet", "--python", python, *requirements, timeout=TIMEOUT)


def install_wheels(
    folder: Path,
    requirements: Sequence[str],
    *,
    python_version: str | None = None,
    platform: str | None = None,
    deps: bool = False,
) -> None:
    """Install wheels into a folder, without bytecode, for a Python that need not run here.

    Args:
        folder: What becomes a folder of sys.path.
        requirements: What to install.
        python_version: ``3.13``; None for that of the Python that runs.
        platform: As :func:`platform` returns it; None for that of this machine.
        deps: Install what they require, too.
    """
    words = ["--no-compile-bytecode", "--only-binary", ":all:", *([] if deps else ["--no-deps"])]
    words += ["--python-version", python_version] if python_version else THIS_PYTHON
    words += ["--python-platform", platform] if platform else []
    words += ["--quiet", "--target", str(folder)]
    run("pip", "install", *words, *requirements, timeout=TIMEOUT)


def installed(python: Path) -> list[str]:
    """Return what the environment of an interpreter holds, a requirement a line."""
    said = run("pip", "freeze", "--quiet", "--python", python, timeout=TIMEOUT)
    return said.stdout.splitlines()


def build_wheel(source: Path, out: Path, env: Mapping[str, str]) -> None:
    """Build the wheel of a folder or sdist into ``out``, by its backend (PEP 517).

    Args:
        source: The folder or sdist.
        out: Where the wheel goes to.
        env: Variables for the backend.
    """
    run("build", "--wheel", "--out-dir", out, source, env=env, timeout=900)


def compile_pins(
    *words: str | Path, timeout: float, cwd: Path | None = None, stdin: str | None = None
) -> None:
    """Resolve requirements (``uv pip compile``); only complaints are printed.

    Args:
        words: Files and options.
        timeout: Seconds; uv may have to build the metadata of an sdist.
        cwd: Folder in which uv looks for its configuration.
        stdin: Requirements, where ``-`` is among the files.
    """
    quiet = ("--no-header", "--no-progress", "--color", "never", "--quiet")
    run("pip", "compile", *words, *THIS_PYTHON, *quiet, cwd=cwd, stdin=stdin, timeout=timeout)

"""uv's command line: where the program is, and what it is asked to do.

uv is given indexes, logins and proxies in a file, because what it starts is third-party code that
inherits its environment (see origins). All functions raise CommandFailed where uv is missing,
fails, or runs out of time, and ConfigError where its configuration cannot be read.

``interpreter`` finds one of a given minor version of CPython on this machine. The one that runs
comes first, then what uv finds on PATH, in pyenv's versions and among its own; last, uv is asked to
install one. uv remembers what it learned of a program until that changes.
"""

from __future__ import annotations

import functools
import os
import platform
import re
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from layersmith import cache, console, process, repeats
from layersmith.base import architectures, origins

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from layersmith.base.runtimes import Runtime

GLIBC = (17, 28, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40)
"""The glibc 2.x that uv has a manylinux platform for (`uv pip compile --python-platform`)."""

THIS_PYTHON = ("--python", sys.executable, "--no-python-downloads")
"""Options that keep uv from searching for an interpreter, and from downloading one."""

FETCHING = {"build", "lock", "pip", "python"}
"""Subcommands that may download something."""

PASSED = re.compile(
    r"NETRC|UV_(CACHE_DIR|CONCURRENT_\w+|CREDENTIALS_DIR|HTTP_\w+|INDEX_STRATEGY|LINK_MODE"
    r"|LOCK_TIMEOUT|NO_CACHE|NO_INDEX|OFFLINE|PREVIEW\w*|PYTHON_\w+|(NO_)?MANAGED_PYTHON|REQUEST_TIMEOUT"
    r"|(PYPY|PYTHON)_INSTALL_\w+|EXCLUDE_NEWER|FORK_STRATEGY|NO_BINARY\w*|NO_BUILD\w*|PRERELEASE"
    r"|RESOLUTION|(BUILD_)?CONSTRAINT|EXCLUDE|OVERRIDE|NO_SOURCES\w*)"
)
"""Variables for uv alone: paths and settings; what may hold a login goes through origins."""

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
        words: Subcommand and arguments; a file after ``--config-file`` is read instead of those
            that uv would find.
        timeout: Seconds after which it is ended.
        cwd: Folder to run in, in or above which uv's configuration is looked for.
        env: Variables beside those that uv may see.
        stdin: Text for standard input.
    """
    call = functools.partial(
        process.run,
        cwd=cwd,
        env={**process.inherited(PASSED), **_cache(), **(env or {})},
        stdin=stdin,
        timeout=timeout,
    )
    if str(words[0]) not in FETCHING or "--no-config" in words:
        return call([program(), *words])
    option = "--config-file"
    given = Path(words[words.index(option) + 1]) if option in words else None
    kept = [word for word in words if word not in (option, given)]
    with origins.of(cwd, given).file() as settings:
        return call([program(), *kept, option, settings])


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


def python_platform(runtime: Runtime, architecture: str) -> str:
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
    """Install requirements into the environment of an interpreter.

    Args:
        python: The interpreter.
        requirements: What to install; where one has ``--hash=``, all must have, and nothing that
            they do not name is installed.
    """
    words = ["--quiet", "--python", str(python), *_hashed(requirements), "-r", "-"]
    run("pip", "install", *words, stdin="\n".join(requirements), timeout=TIMEOUT)


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
        requirements: What to install, with hashes as for ``install``.
        python_version: ``3.13``; None for that of the Python that runs.
        platform: As :func:`python_platform` returns it; None for that of this machine.
        deps: Install what they require, too.
    """
    words = ["--no-compile-bytecode", "--only-binary", ":all:", *([] if deps else ["--no-deps"])]
    words += ["--python-version", python_version] if python_version else THIS_PYTHON
    words += ["--python-platform", platform] if platform else []
    words += ["--quiet", "--target", str(folder), *_hashed(requirements), "-r", "-"]
    run("pip", "install", *words, stdin="\n".join(requirements), timeout=TIMEOUT)


def _hashed(requirements: Sequence[str]) -> list[str]:
    return ["--require-hashes"] if any(" --hash=" in one for one in requirements) else []


def installed(python: Path) -> list[str]:
    """Return what the environment of an interpreter holds, a requirement a line."""
    said = run("pip", "freeze", "--quiet", "--python", python, timeout=TIMEOUT)
    return said.stdout.splitlines()


def compile_pins(
    *words: str | Path,
    timeout: float,
    cwd: Path | None = None,
    stdin: str | None = None,
    env: Mapping[str, str] | None = None,
) -> None:
    """Resolve requirements (``uv pip compile``); only complaints are printed.

    Args:
        words: Files and options.
        timeout: Seconds; uv may have to build the metadata of an sdist.
        cwd: Folder in which uv looks for its configuration.
        stdin: Requirements, where ``-`` is among the files.
        env: Variables for builds that tell metadata.
    """
    quiet = ("--no-header", "--no-progress", "--color", "never", "--quiet")
    run(
        *("pip", "compile"),
        *words,
        *THIS_PYTHON,
        *quiet,
        cwd=cwd,
        stdin=stdin,
        env=env,
        timeout=timeout,
    )


def indexes(folder: Path) -> list[str]:
    """Return the URLs of all indexes that uv asks, its own default among them; without logins.

    Args:
        folder: Folder in which uv looks for its configuration.
    """
    words = ("--emit-index-url", "--no-header", "--color", "never", "--quiet", "-")
    said = run("pip", "compile", *words, *THIS_PYTHON, cwd=folder, stdin="", timeout=TIMEOUT)
    found = re.findall(r"^--(?:extra-)?index-url (\S+)$", said.stdout, re.MULTILINE)
    return [process.without_logins(url) for url in found]


def lock_project(
    folder: Path, *words: str | Path, timeout: float, env: Mapping[str, str] | None = None
) -> None:
    """Write the uv.lock of a project, with the graph of its dependencies (``uv lock``).

    Args:
        folder: Folder of its pyproject.toml; the file is written beside it.
        words: More options.
        timeout: Seconds; uv may have to build the metadata of an sdist.
        env: Variables for builds that tell metadata.
    """
    quiet = ("--no-progress", "--color", "never", "--quiet")
    run(
        *("lock", "--project", folder),
        *words,
        *THIS_PYTHON,
        *quiet,
        cwd=folder,
        env=env,
        timeout=timeout,
    )


@functools.cache
def interpreter(minor: int, *, install: bool = True) -> Path | None:
    """Return an interpreter of CPython 3.``minor``, or None where none can be had.

    Args:
        minor: Minor version, 13 for CPython 3.13.
        install: Let uv download a managed one where the machine has none.
    """
    if sys.version_info[:2] == (3, minor) and sys.implementation.name == "cpython":
        return Path(sys.executable)
    found = find_python(minor, search_path(minor))
    if found is None and install and _install(minor):
        found = find_python(minor, search_path(minor))
    if found is None:
        repeats.refuse()  # where one may be installed is known to uv alone
    else:
        repeats.saw(found)
    return found


@functools.cache
def interpreter_version(minor: int) -> str | None:
    """Return the full version of the CPython 3.``minor`` that find gives; None for none."""
    found = interpreter(minor)
    if found is None or found == Path(sys.executable):
        return platform.python_version() if found else None
    try:
        said = process.run([found, "-I", "-c", "import platform; print(platform.python_version())"])
    except process.CommandFailed:
        return None
    return said.stdout.strip()


def search_path(minor: int) -> str:
    """Return the PATH on which uv looks for CPython 3.``minor``.

    uv knows pyenv only by its shims, which are left out: one that stands for a version that is not
    chosen fails, and uv then gives up; the others start a shell first, up to 0.4 s a call. In their
    place stand pyenv's versions themselves, the newest first.
    """
    named = [Path(folder) for folder in os.environ.get("PATH", "").split(os.pathsep) if folder]
    folders = [folder for folder in named if "shims" not in folder.parts]
    pattern = re.compile(rf"3\.{minor}\.(\d+)")
    patches = {int(match[1]): path for path in _pyenv() if (match := pattern.fullmatch(path.name))}
    folders += [patches[patch] / "bin" for patch in sorted(patches, reverse=True)]
    return os.pathsep.join(map(str, folders))


def _pyenv() -> list[Path]:
    """Return the folders of pyenv's versions; none where another user's pyenv is not readable."""
    root = os.environ.get("PYENV_ROOT") or os.path.expanduser("~/.pyenv")  # noqa: PTH111
    try:
        return list((Path(root) / "versions").iterdir())
    except OSError:
        return []


def _install(minor: int) -> bool:
    try:
        install_python(minor)
    except process.CommandFailed as failed:
        said = failed.output.splitlines() or ["it said nothing"]
        console.info(f"uv cannot install CPython 3.{minor} here: {said[-1].strip()}")
        return False
    return True

"""The environment in which a build backend runs: a fresh virtualenv, and what it is told.

The virtualenv belongs to a Python of the target's minor version that runs here. Its folder has a
path that follows from the inputs alone, so that what a package writes of it into its files (numpy
notes the interpreter's path) is the same on every machine.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import json
import os
import re
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from layersmith import console, process
from layersmith.base import uv
from layersmith.crossbuild import toolchain
from layersmith.errors import BuildError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from layersmith.base.runtimes import Runtime

SCRATCH = Path("/tmp")  # noqa: S108 -- the same path on every machine; see scratch()
PROBE = """
import importlib, json, sys, sysconfig
name = sysconfig._get_sysconfigdata_name()
print(json.dumps({
    "version": "%d.%d.%d" % sys.version_info[:3],
    "include": sysconfig.get_path("include"),
    "variables": importlib.import_module(name).build_time_vars,
}))
"""


@dataclass(frozen=True)
class Host:
    """A Python on this machine that builds for the target.

    Attributes:
        program: Its executable.
        version: Its full version, ``3.13.0``: its headers are compiled in.
        include: Folder of its C headers.
        variables: Its build-time variables.
    """

    program: Path
    version: str
    include: Path
    variables: Mapping[str, toolchain.Value]


def interpreter(runtime: Runtime) -> Path:
    """Return the CPython on this machine whose minor version is that of ``runtime``.

    Raises:
        BuildError: There is none, and uv cannot install one.
    """
    program = uv.interpreter(runtime.minor)
    if program is None:
        raise BuildError(
            f"building for {runtime.name} needs CPython {runtime.python_version} here",
            hint=f"install it (`uv python install {runtime.python_version}`); what is named under"
            " `build:` can be built with `container: true` instead",
        )
    return program


@functools.cache
def pure_interpreter(runtime: Runtime) -> Path:
    """Return the CPython that builds what compiles nothing.

    It is of the runtime's version, or else the one that runs here, with a warning: a pure wheel
    differs only where its build looks at the version of Python.
    """
    program = uv.interpreter(runtime.minor)
    if program is None:
        console.warn(
            f"no CPython {runtime.python_version} on this machine and none to download: pure"
            f" packages for {runtime.name} are built by Python 3.{sys.version_info[1]}"
        )
    return program or Path(sys.executable)


def host(runtime: Runtime) -> Host:
    """Return the Python on this machine that compiles for ``runtime``.

    Raises:
        BuildError: There is none, or it has no C headers.
    """
    program = interpreter(runtime)
    said = json.loads(process.run([program, "-I", "-S", "-c", PROBE], timeout=60).stdout)
    include = Path(said["include"])
    if not (include / "Python.h").is_file():
        raise BuildError(
            f"{program} has no C headers: there is no {include / 'Python.h'}",
            hint=f"install the -dev package of Python {runtime.python_version}, or let uv install"
            f" its own: `uv python install {runtime.python_version}`",
        )
    return Host(program, said["version"], include, said["variables"])


@contextlib.contextmanager
def scratch(name: str) -> Iterator[Path]:
    """Give an empty folder whose path follows from ``name``, to one build at a time.

    A second build that asks for the same name waits for the first, whichever process, cache or
    checkout it belongs to: the folder itself is what is locked.

    Args:
        name: Name of the folder below SCRATCH.

    Raises:
        BuildError: The folder is not this user's.
    """
    folder = SCRATCH / name
    handle = _locked(folder)
    try:
        _empty(folder)  # of a killed build
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(handle)


def _locked(folder: Path) -> int:
    """Make ``folder`` and lock it; return the descriptor that holds the lock."""
    while True:
        with contextlib.suppress(FileExistsError):
            folder.mkdir(mode=0o700)
        try:
            handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        except FileNotFoundError:
            continue  # its last owner removed it in between
        except OSError:
            raise _foreign(folder) from None
        if os.fstat(handle).st_uid != os.getuid():
            os.close(handle)
            raise _foreign(folder)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            console.info(f"waiting for another build in {folder}")
            fcntl.flock(handle, fcntl.LOCK_EX)
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(handle), folder.stat()):
                return handle
        os.close(handle)  # whoever held it removed it: what was locked is gone


def _empty(folder: Path) -> None:
    for entry in folder.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry, ignore_errors=True)
        else:
            entry.unlink()


def _foreign(folder: Path) -> BuildError:
    return BuildError(
        f"{folder} is not a folder of this user",
        cause="another user builds the same sdist, or left the folder behind",
        hint="wait for that build to end or remove the folder, and build again",
    )


def headers(found: Host, machine: str, folder: Path) -> None:
    """Copy Python's headers to ``folder``, turned to ``machine``."""
    shutil.copytree(found.include, folder)
    config = folder / "pyconfig.h"
    config.write_text(toolchain.pyconfig(config.read_text("utf-8"), machine), "utf-8")


@dataclass(frozen=True)
class Virtualenv:
    """A virtualenv for one build."""

    folder: Path

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return self.folder / "bin" / "python"

    def create(self, program: Path) -> None:
        """Make it for an interpreter.

        Raises:
            BuildError: uv cannot make it.
        """
        with _made():
            uv.create_virtualenv(self.folder, program)

    def tell(self, variables: Mapping[str, toolchain.Value]) -> None:
        """Lay the target's variables beside its packages."""
        (site,) = self.folder.glob("lib/python3.*/site-packages")
        source = toolchain.sysconfig_module(variables)
        (site / f"{toolchain.SYSCONFIG_MODULE}.py").write_text(source, "utf-8")

    def install(self, requirements: Sequence[str]) -> None:
        """Install build requirements; those already there are kept where they fit.

        Raises:
            BuildError: They do not resolve, or cannot be built on this machine.
        """
        if requirements:
            with _made():
                uv.install(self.python, requirements)

    def installed(self) -> list[str]:
        """Return what is installed, as ``name==version``, sorted.

        Raises:
            BuildError: Something came from a URL, which no index offers again.
        """
        with _made():
            lines = [line for line in uv.installed(self.python) if not line.startswith("#")]
        for line in lines:
            if not re.fullmatch(r"[\w.-]+==\S+", line):
                raise BuildError(
                    f"the build requirement {line} does not come from an index",
                    hint="name a version of it in [build-system] of its pyproject.toml",
                )
        return sorted(lines)


@contextlib.contextmanager
def _made() -> Iterator[None]:
    try:
        yield
    except process.CommandFailed as failed:
        raise BuildError(
            f"the build environment cannot be made:\n{failed.output[-2000:]}",
            cause="a build requirement does not resolve, or the index is out of reach",
        ) from failed

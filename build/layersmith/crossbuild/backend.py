"""Calls the build backend of an sdist (PEP 517), in the isolated environment."""

from __future__ import annotations

import os
import re
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pyproject_hooks import BackendUnavailable, BuildBackendHookCaller, BuildBackendWarning

from layersmith import process
from layersmith.base.zips import EPOCH_SECONDS
from layersmith.crossbuild.toolchain import SYSCONFIG_MODULE
from layersmith.errors import BuildError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from layersmith.crossbuild.isolated import Virtualenv
    from layersmith.crossbuild.sdist import CrossBuildOptions, Project
    from layersmith.crossbuild.toolchain import Toolchain

T = TypeVar("T")

TRACEBACK = "Traceback (most recent call last):"

_COMPILER_ERROR = re.compile(r"\b(fatal )?error: ")

TIMEOUT = 3600.0
"""Seconds for one build; the largest tried here (numpy) takes three minutes on four cores."""

RUNS_TARGET = "the build runs a program that it compiled for the target"
ASKS_FOR_GCC = "the build asks its compiler for the version of gcc, and zig's compiler is clang"
ONLY_THERE = {RUNS_TARGET, ASKS_FOR_GCC}
"""Causes that no option mends, and a container of the target's architecture does."""

HINTS = {
    "Python.h": "the build asks for headers of Python that were not found",
    "cannot execute binary file": RUNS_TARGET,
    "Exec format error": RUNS_TARGET,
    "cannot run C compiled programs": RUNS_TARGET,
    "cannot run C++ compiled programs": RUNS_TARGET,
    "gcc_version": ASKS_FOR_GCC,
    "unsupported linker arg": "zig's linker lacks an option that the build asks for",
    "file in wrong format": "the build links a library of this machine",
    "is incompatible with": "the build links a library of this machine",
    "unable to find dynamic system library": "the build needs a C library that its sdist does not"
    " hold",
    "file not found": "the build needs a C library that its sdist does not hold",
}
"""What a compiler or backend says, to the likely cause."""


def same_everywhere(virtualenv: Virtualenv, home: Path, *programs: Path) -> dict[str, str]:
    """Return the variables with which a backend writes the same on every machine.

    Args:
        virtualenv: Where the backend is installed.
        home: What it takes for the home folder: no setup.cfg, netrc or cache of the user.
        programs: Folders to look for programs in before those of this machine.
    """
    folders = [str(folder) for folder in (virtualenv.python.parent, *programs)]
    return {
        "PATH": os.pathsep.join([*folders, os.environ.get("PATH", "")]),
        "HOME": str(home),
        "LC_ALL": "C.UTF-8",
        "TZ": "UTC",
        "PYTHONHASHSEED": "0",
        "PYTHONNOUSERSITE": "1",
        "SOURCE_DATE_EPOCH": str(EPOCH_SECONDS),
    }


def environment(
    toolchain: Toolchain,
    virtualenv: Virtualenv,
    options: CrossBuildOptions,
    zig_environment: Mapping[str, str],
) -> dict[str, str]:
    """Return the variables for the backend. Options of layers.yaml come last and win."""
    machine = toolchain.machine
    tools = toolchain.tools
    return {
        **same_everywhere(virtualenv, toolchain.root, toolchain.folder),
        "_PYTHON_HOST_PLATFORM": f"linux-{machine}",
        "_PYTHON_SYSCONFIGDATA_NAME": SYSCONFIG_MODULE,
        **tools,
        "CPP": f"{tools['CC']} -E",
        "LDSHARED": f"{tools['CC']} -shared",
        "LDCXXSHARED": f"{tools['CXX']} -shared",
        "CMAKE_TOOLCHAIN_FILE": str(toolchain.cmake_file),
        "CMAKE_BUILD_PARALLEL_LEVEL": str(os.cpu_count() or 2),
        "PKG_CONFIG_LIBDIR": str(toolchain.folder),  # holds no .pc file: none of the host's is used
        **dict.fromkeys(("CFLAGS", "CXXFLAGS", "CPPFLAGS", "LDFLAGS"), ""),
        **zig_environment,
        **options.environment,
    }


def config_settings(
    project: Project, options: CrossBuildOptions, toolchain: Toolchain
) -> dict[str, str | list[str]]:
    """Return the PEP 517 config settings in the form that the project's backend understands."""
    arguments = list(options.setup_args)
    made: dict[str, str | list[str]] = {}
    if project.kind == "meson-python":
        made["setup-args"] = [f"--cross-file={toolchain.meson_file}", *arguments]
        made["build-dir"] = "build-layersmith"  # meson-python's own choice is random
    elif project.kind == "scikit-build-core":
        made["cmake.args"] = ";".join(arguments)
        made["build-dir"] = "build-layersmith"
    elif arguments:
        made["--build-option" if project.kind == "setuptools" else "setup-args"] = arguments
    return {**made, **options.config_settings}


def does_not_compile(project: Project, said: str, output: str) -> BuildError:
    """Return the error for a cross-build that failed.

    Args:
        project: What was built.
        said: The part of the output to show.
        output: All of it.
    """
    causes = [cause for text, cause in HINTS.items() if text in output]
    cause = causes[0] if causes else "its build reported an error, shown above"
    name = project.name
    ways = [f"build it in a container (`build: {{{name}: {{container: true}}}}`)"]
    if cause not in ONLY_THERE:
        ways.insert(0, f"add options under `build: {{{name}: ...}}`")
    return BuildError(
        f"{name} {project.version} does not cross-compile:\n{said}",
        cause=cause,
        hint=f"{', '.join(ways)}, or pin a version that has a wheel",
    )


class Backend:
    """The backend of one unpacked sdist."""

    def __init__(
        self,
        project: Project,
        source: Path,
        virtualenv: Virtualenv,
        variables: Mapping[str, str],
        refused: Callable[[str, str], BuildError],
    ) -> None:
        """Prepare its hooks.

        Args:
            project: Its [build-system].
            source: Where its sources are.
            virtualenv: Where it runs.
            variables: Variables that it sees.
            refused: Makes the error from the part of its output to show, and all of it.
        """
        self._refused = refused
        self._variables = dict(variables)
        self._hooks = BuildBackendHookCaller(
            str(source),
            project.backend,
            backend_path=list(project.backend_path) or None,
            runner=self._run,
            python_executable=str(virtualenv.python),
        )

    def requires(self, settings: Mapping[str, Any]) -> list[str]:
        """Return what the backend asks for beyond pyproject.toml.

        Raises:
            BuildError: It fails.
        """
        return self._call(lambda: list(self._hooks.get_requires_for_build_wheel(dict(settings))))

    def build(self, out: Path, settings: Mapping[str, Any]) -> Path:
        """Build the wheel into ``out`` and return its path.

        Raises:
            BuildError: The build fails; the message holds the end of what it said.
        """
        out.mkdir()
        return out / self._call(lambda: self._hooks.build_wheel(str(out), dict(settings)))

    def _call(self, hook: Callable[[], T]) -> T:
        # pyproject_hooks repeats each warning of the backend as its own. The filter stays: one that
        # is taken back takes those of builds in other threads with it.
        warnings.filterwarnings("ignore", category=BuildBackendWarning)
        try:
            return hook()
        except BackendUnavailable as problem:
            said = f"its build backend cannot be loaded: {problem}"
            raise self._refused(said, str(problem)) from problem
        except process.CommandFailed as failed:
            output = f"{failed.completed.stdout}\n{failed.completed.stderr}"
            raise self._refused(_tail(output), output) from failed

    def _run(
        self,
        cmd: Sequence[str],
        cwd: str | None = None,
        extra_environ: Mapping[str, str] | None = None,
    ) -> None:
        """Run a hook; pyproject_hooks names the parameters."""
        variables = {**self._variables, **(extra_environ or {})}
        done = process.run(cmd, cwd=Path(cwd) if cwd else None, env=variables, timeout=TIMEOUT)
        self._output = f"{done.stdout}\n{done.stderr}"

    @property
    def passed_over(self) -> str | None:
        """The first error of a compiler in a build that succeeded all the same, or None."""
        lines = (line.strip() for line in self._output.splitlines())
        return next((line for line in lines if _COMPILER_ERROR.search(line)), None)


def _tail(text: str, lines: int = 30) -> str:
    """Return the lines around the first error, or the last ones."""
    all_lines = _without_frames([line for line in text.splitlines() if line.strip()])
    errors = [n for n, line in enumerate(all_lines) if "error:" in line.lower()]
    start = max(0, errors[0] - 5) if errors else max(0, len(all_lines) - lines)
    return "\n".join(f"    {line}" for line in all_lines[start : start + lines])


def _without_frames(lines: list[str]) -> list[str]:
    """Leave of each traceback its last frame and the exception: the others are the backend's."""
    kept: list[str] = []
    frame: list[str] | None = None
    for line in lines:
        if line.startswith(TRACEBACK):
            frame = []
        elif frame is not None and line[:1].isspace():
            frame = [line] if line.startswith("  File ") else [*frame, line]
        else:
            kept += [*(frame or ()), line]
            frame = None
    return kept + (frame or [])

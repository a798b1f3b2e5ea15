"""Calls the build backend of an sdist (PEP 517), in the isolated environment."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pyproject_hooks import BackendUnavailable, BuildBackendHookCaller

from layersmith import process
from layersmith.crossbuild import sysconfigdata
from layersmith.errors import BuildError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from layersmith.crossbuild.isolated import Virtualenv
    from layersmith.crossbuild.options import CrossBuildOptions
    from layersmith.crossbuild.sdist import Project
    from layersmith.crossbuild.toolchain import Toolchain

T = TypeVar("T")

TIMEOUT = 3600.0
"""Seconds for one build; the largest tried here (numpy) takes three minutes on four cores."""

EPOCH = "315532800"
"""1980-01-01 in seconds, the earliest date that a zip can hold (reproducible-builds.org)."""

HINTS = {
    "Python.h": "the build asks for headers of Python that were not found",
    "cannot execute binary file": "the build runs a program that it compiled for the target",
    "Exec format error": "the build runs a program that it compiled for the target",
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
        "SOURCE_DATE_EPOCH": EPOCH,
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
        "_PYTHON_SYSCONFIGDATA_NAME": sysconfigdata.MODULE,
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
    return BuildError(
        f"{project.name} {project.version} does not cross-compile:\n{said}",
        cause=causes[0] if causes else "its build reported an error, shown above",
        hint=f"add options under `build: {{{project.name}: ...}}`, set `container:"
        " true` there, or pin a version that has a wheel",
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
        try:
            with warnings.catch_warnings():
                # pyproject_hooks repeats each warning of the backend as its own.
                warnings.simplefilter("ignore")
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
        process.run(cmd, cwd=Path(cwd) if cwd else None, env=variables, timeout=TIMEOUT)


def _tail(text: str, lines: int = 30) -> str:
    """Return the lines around the first error, or the last ones."""
    all_lines = [line for line in text.splitlines() if line.strip()]
    errors = [n for n, line in enumerate(all_lines) if "error:" in line.lower()]
    start = max(0, errors[0] - 5) if errors else max(0, len(all_lines) - lines)
    return "\n".join(f"    {line}" for line in all_lines[start : start + lines])

"""The compiler, in the shapes that build backends know, and a Python that speaks of the target.

The compiler is zig's clang with the headers and link stubs of every glibc, from a wheel. ``zig cc
-target aarch64-linux-gnu.2.34`` compiles and links against exactly that glibc, so that what it
builds cannot need a newer symbol than the runtime has. Nothing of the host's C library or headers
is used; the same version of zig gives the same bytes on any machine. Backends get it as programs,
a meson file and a CMake file.

Build backends ask ``sysconfig`` for the extension suffix, the compiler and its flags. CPython
itself is cross-compiled by naming another module of variables in _PYTHON_SYSCONFIGDATA_NAME and
another platform in _PYTHON_HOST_PLATFORM (CPython's configure.ac); the same is done here with the
host's _sysconfigdata and pyconfig.h. Linux on x86-64 and on aarch64 share sizes and byte order, so
that the headers of one serve the other but for the few lines that X86_ONLY lists.
"""

from __future__ import annotations

import functools
import importlib.metadata
import importlib.util
import json
import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from layersmith.base import architectures
from layersmith.errors import BuildError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from layersmith.base.runtimes import Runtime


@dataclass(frozen=True)
class Zig:
    """An installed zig.

    Attributes:
        program: Path of its executable.
        version: Version of the ziglang distribution.
    """

    program: Path
    version: str

    @property
    def record(self) -> dict[str, str]:
        """Name and version, as locks and manifests note it."""
        return {"name": "zig", "version": self.version}


@functools.cache
def find_zig() -> Zig:
    """Return the zig that is installed beside this interpreter.

    Raises:
        BuildError: There is none.
    """
    spec = importlib.util.find_spec("ziglang")
    if spec is None or spec.origin is None:
        raise BuildError(
            "compiling for another architecture needs zig, and it is not installed",
            hint="install dependency group `build` of pyproject.toml, which holds ziglang",
        )
    return Zig(Path(spec.origin).parent / "zig", importlib.metadata.version("ziglang"))


def triple(runtime: Runtime, architecture: str) -> str:
    """Return zig's name of a target: ``aarch64-linux-gnu.2.34``."""
    major, minor = runtime.glibc
    return f"{architectures.get(architecture).triplet}.{major}.{minor}"


def zig_environment(work_cache: Path) -> dict[str, str]:
    """Return the variables that keep zig's own caches below ``work_cache``.

    Two zig processes may share them: zig locks what it writes.
    """
    folder = str(work_cache / "zig")
    return {"ZIG_GLOBAL_CACHE_DIR": folder, "ZIG_LOCAL_CACHE_DIR": folder}


DROPPED = (
    "-march=*",
    "-mtune=*",
    "-mcpu=native",
    "-m64",
    "-msse*",
    "-mavx*",
    "-mfma",
    "-I/usr/include*",
    "-I/usr/local/include*",
    "-L/usr/*",
    "-L/lib*",
    "-Wl,-rpath*",
)
"""Arguments (sh patterns) that describe the host, or a CPU that Lambda need not have. Many setup.py
files add -march=native whatever the target is."""

COMPILE = (
    "-fno-sanitize=undefined",  # zig's default without -O, and it aborts
    "-g0",
    "-Wno-unused-command-line-argument",
)

PROGRAMS = {"CC": "cc", "CXX": "c++", "AR": "ar", "RANLIB": "ranlib"}
"""Environment variable to the zig command that it stands for."""


@dataclass(frozen=True)
class Toolchain:
    """The programs and files of a toolchain.

    Attributes:
        folder: Folder for the programs and files.
        triple: zig's name of the target.
        machine: ``aarch64`` or ``x86_64``.
        include: Folder of Python's headers for the target, searched first.
        root: Folder of the whole build; its path is kept out of what is compiled.
    """

    folder: Path
    triple: str
    machine: str
    include: Path
    root: Path

    @property
    def tools(self) -> dict[str, str]:
        """Environment variable to name of the program; they are found through PATH.

        Bare names, because packages write the compiler's name into what they install.
        """
        return {variable: f"{self.machine}-linux-gnu-{c}" for variable, c in PROGRAMS.items()}

    def write(self, zig: Zig) -> None:
        """Write the programs and files."""
        self.folder.mkdir(parents=True)
        for variable, command in PROGRAMS.items():
            path = self.folder / self.tools[variable]
            compiles = variable in {"CC", "CXX"}
            path.write_text(self._compiler(zig, command) if compiles else _plain(zig, command))
            path.chmod(0o755)
        self.meson_file.write_text(self._meson(), "utf-8")
        self.cmake_file.write_text(self._cmake(), "utf-8")

    @property
    def meson_file(self) -> Path:
        """The cross file for meson."""
        return self.folder / "meson-cross.ini"

    @property
    def cmake_file(self) -> Path:
        """CMake's toolchain file."""
        return self.folder / "toolchain.cmake"

    def _compiler(self, zig: Zig, command: str) -> str:
        fixed = [
            *("-target", self.triple),
            f"-I{self.include}",
            f"-ffile-prefix-map={self.root}=/build",
        ]
        return (
            "#!/bin/sh\n"
            "for word do\n"
            "  shift\n"
            '  case "$word" in\n'
            f"    {'|'.join(DROPPED)}) ;;\n"
            '    *) set -- "$@" "$word" ;;\n'
            "  esac\n"
            "done\n"
            f"exec {shlex.quote(str(zig.program))} {command} {shlex.join(fixed)} "
            f'"$@" {shlex.join(COMPILE)} -Wl,-s\n'
        )

    def _meson(self) -> str:
        tools = self.tools
        binaries = {
            "c": tools["CC"],
            "cpp": tools["CXX"],
            "ar": tools["AR"],
            "ranlib": tools["RANLIB"],
            "pkg-config": "false",  # a library of the host must not be found
        }
        # Meson runs the tests that need it only where there is an exe_wrapper; there is none.
        return (
            _section("binaries", binaries)
            + _section(
                "host_machine",
                {
                    "system": "linux",
                    "cpu_family": self.machine,
                    "cpu": self.machine,
                    "endian": "little",
                },
            )
            + "[properties]\nneeds_exe_wrapper = true\nlongdouble_format = "
            + f"'{architectures.get(architectures.named(self.machine)).long_double}'\n"
        )

    def _cmake(self) -> str:
        tools = self.tools
        settings = {
            "CMAKE_SYSTEM_NAME": "Linux",
            "CMAKE_SYSTEM_PROCESSOR": self.machine,
            "CMAKE_C_COMPILER": tools["CC"],
            "CMAKE_CXX_COMPILER": tools["CXX"],
            "CMAKE_AR": str(self.folder / tools["AR"]),
            "CMAKE_RANLIB": str(self.folder / tools["RANLIB"]),
            "CMAKE_FIND_ROOT_PATH_MODE_PROGRAM": "NEVER",
            # CMake writes the folder of the build into rpaths, which are not wanted in a layer.
            "CMAKE_SKIP_RPATH": "ON",
        }
        return "".join(f"set({name} {json.dumps(value)})\n" for name, value in settings.items())


def _plain(zig: Zig, command: str) -> str:
    return f'#!/bin/sh\nexec {shlex.quote(str(zig.program))} {command} "$@"\n'


def _section(name: str, values: dict[str, str]) -> str:
    lines: Sequence[str] = [f"{key} = '{value}'\n" for key, value in values.items()]
    return f"[{name}]\n{''.join(lines)}"


SYSCONFIG_MODULE = "_sysconfigdata__layersmith"
"""Name of the generated module."""

EMPTIED = (
    "BASECFLAGS",
    "CONFIGURE_CFLAGS",
    "CONFIGURE_CFLAGS_NODIST",
    "CONFIGURE_LDFLAGS",
    "CONFIGURE_LDFLAGS_NODIST",
    "CONFIG_ARGS",
    "CPPFLAGS",
    "LDFLAGS",
    "LIBDIR",
    "LIBPL",
    "PY_CPPFLAGS",
    "PY_LDFLAGS",
)
"""Variables whose flags and folders hold for the host alone."""

X86_ONLY = ("HAVE_GCC_ASM_FOR_X64", "HAVE_GCC_ASM_FOR_X87", "VA_LIST_IS_ARRAY")
"""Macros of pyconfig.h that hold on x86-64 and not on aarch64 (CPython's configure.ac)."""

Value = str | int
"""A variable is a word of the Makefile or a number of pyconfig.h."""


def sysconfig_variables(
    host: Mapping[str, Value], machine: str, tools: Mapping[str, str]
) -> dict[str, Value]:
    """Return the build-time variables of the target.

    Args:
        host: The host's, from its own _sysconfigdata module.
        machine: ``aarch64`` or ``x86_64``.
        tools: Names of programs: ``CC``, ``CXX``, ``AR``, ``RANLIB``.
    """
    old = str(host.get("MULTIARCH") or "")
    # Debian's multiarch tuple, which CPython puts into suffixes and folders.
    new = architectures.get(architectures.named(machine)).triplet
    flags = "-O2 -fPIC -DNDEBUG"
    made = {
        name: value.replace(old, new) if old and isinstance(value, str) else value
        for name, value in host.items()
    }
    made |= dict.fromkeys((name for name in EMPTIED if name in made), "")
    made |= tools
    made |= {
        "BLDSHARED": f"{tools['CC']} -shared",
        "CCSHARED": "-fPIC",
        "CFLAGS": flags,
        "EXT_SUFFIX": re.sub(r"(?<=-)[^-.]+-linux-gnu", new, str(host["EXT_SUFFIX"])),
        "LDCXXSHARED": f"{tools['CXX']} -shared",
        "LDSHARED": f"{tools['CC']} -shared",
        "MULTIARCH": new,
        "OPT": "-O2 -DNDEBUG",
        "PY_CFLAGS": flags,
        "Py_ENABLE_SHARED": 0,  # extension modules never link libpython on Linux
        "SOABI": re.sub(r"(?<=-)[^-.]+-linux-gnu$", new, str(host["SOABI"])),
    }
    return made


def sysconfig_module(values: Mapping[str, Value]) -> str:
    """Return the source of the module that sysconfig imports."""
    lines = [f"    {name!r}: {value!r},\n" for name, value in sorted(values.items())]
    return f"build_time_vars = {{\n{''.join(lines)}}}\n"


def pyconfig(header: str, machine: str) -> str:
    """Return pyconfig.h for ``machine``."""
    if machine == "x86_64":
        return header
    names = "|".join(X86_ONLY)
    return re.sub(rf"^#define ({names})\b.*$", r"/* #undef \1 */", header, flags=re.MULTILINE)

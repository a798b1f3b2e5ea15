"""The compiler in the shapes that build backends know: programs, a meson file, a CMake file."""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

from layersmith.base import architectures

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from layersmith.crossbuild.zig import Zig

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

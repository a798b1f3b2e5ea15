"""Layers that are broken on purpose, made from real wheels.

Each breakage says which findings of the audit must catch it and, where Python itself would fail,
what it says; so that one fixture proves the audit, and, with the audit off, the smoke test::

    house = Wheelhouse(tmp_path)
    for breakage in BREAKAGES:
        path = breakage.write(house, tmp_path / f"{breakage.name}.zip")

The real wheels come through uv, and from uv's cache the second time.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import io
import re
import signal
import struct
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from elftools.elf.dynamic import DynamicSegment
from elftools.elf.elffile import ELFFile
from layersmith.base import runtimes

from tests.support import zips

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

ROOT = Path(__file__).parents[2]
TRIPLET = {"arm64": "aarch64-linux-gnu", "x86_64": "x86_64-linux-gnu"}
OTHER_MACHINE = {"arm64": "x86_64", "x86_64": "arm64"}
EPOCH = (1980, 1, 1, 0, 0, 0)

Files = dict[str, bytes]
"""Path in the zip, with ``python/`` in front, to its bytes."""


class Wheelhouse:
    """Installs real distributions for any target, once each.

    Args:
        folder: Where they are unpacked; a session's temporary folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files = functools.cache(self._files)

    def _files(self, requirement: str, runtime: str, architecture: str) -> Files:
        folder = self.folder / f"{requirement}-{runtime}-{architecture}"
        if not folder.exists():
            self._install(requirement, runtimes.get(runtime), architecture, folder)
        return {
            f"python/{path.relative_to(folder).as_posix()}": path.read_bytes()
            for path in sorted(folder.rglob("*"))
            if path.is_file() and path.name != ".lock"
        }

    def _install(
        self, requirement: str, runtime: runtimes.Runtime, architecture: str, folder: Path
    ) -> None:
        # uv has no name for Amazon Linux 2's glibc 2.26, and current wheels ask for more.
        glibc = max(runtime.glibc, (2, 28))
        platform = f"{runtimes.WHEEL_MACHINE[architecture]}-manylinux_{glibc[0]}_{glibc[1]}"
        subprocess.run(
            [
                *("uv", "pip", "install", "--quiet", "--no-deps", "--only-binary", ":all:"),
                # A hard link into uv's cache would let a test that writes damage every later build.
                *("--link-mode", "copy"),
                *("--python-platform", platform),
                *("--python-version", runtime.python_version),
                *("--target", str(folder), requirement),
            ],
            check=True,
            cwd=self.folder,
            timeout=300,
        )


def pillow() -> str:
    """Return the requirement of Pillow as the layer `imaging` locks it."""
    lock = (ROOT / "locks" / "imaging-python3.13-arm64.txt").read_text("utf-8")
    found = re.search(r"^pillow==\S+", lock, re.MULTILINE)
    assert found, "the lock of the layer imaging has no Pillow"
    return found[0]


@dataclass(frozen=True)
class Breakage:
    """One way to break a layer with Pillow.

    Attributes:
        name: Short name for files and test ids.
        codes: Codes of the audit that must be among the errors.
        cause: Pattern that the message of the audit must contain.
        make: Returns the files of the broken layer.
        symptom: Pattern of what Python says on `from PIL import _imaging`; None where it says
            nothing.
        signal: Signal of which Python dies on that import, such as SIGBUS; None where it lives.
        newer_glibc: Whether it breaks on the target's own C library alone, not on a newer one.
    """

    name: str
    codes: frozenset[str]
    cause: str
    make: Callable[[Wheelhouse, str, str], Files]
    symptom: str | None
    signal: int | None = None
    newer_glibc: bool = False

    def files(
        self, house: Wheelhouse, runtime: str = "python3.13", architecture: str = "arm64"
    ) -> Files:
        """Return the files of the broken layer."""
        return self.make(house, runtime, architecture)

    def write(
        self,
        house: Wheelhouse,
        path: Path,
        runtime: str = "python3.13",
        architecture: str = "arm64",
    ) -> Path:
        """Write the broken layer as a zip, and return its path."""
        return zips.write(path, self.files(house, runtime, architecture))


def whole(house: Wheelhouse, runtime: str = "python3.13", architecture: str = "arm64") -> Files:
    """Return the files of a layer with Pillow that is not broken."""
    return dict(house.files(pillow(), runtime, architecture))


def imaging(files: Mapping[str, bytes]) -> str:
    """Return the path of Pillow's main extension module."""
    return next(path for path in files if path.startswith("python/PIL/_imaging."))


def foreign_machine(house: Wheelhouse, runtime: str, architecture: str) -> Files:
    """The wheel for the other machine, as pip on a laptop leaves it."""
    return whole(house, runtime, OTHER_MACHINE[architecture])


def foreign_python(house: Wheelhouse, runtime: str, architecture: str) -> Files:
    """The wheel for another minor version of Python."""
    other = "python3.13" if runtime == "python3.12" else "python3.12"
    return whole(house, other, architecture)


def missing_extension(house: Wheelhouse, runtime: str, architecture: str) -> Files:
    """`PIL/_imaging` was deleted."""
    files = whole(house, runtime, architecture)
    del files[imaging(files)]
    return files


def missing_libraries(house: Wheelhouse, runtime: str, architecture: str) -> Files:
    """`pillow.libs` was deleted."""
    files = whole(house, runtime, architecture)
    return {path: content for path, content in files.items() if "pillow.libs/" not in path}


def renamed_extension(house: Wheelhouse, runtime: str, architecture: str) -> Files:
    """The other machine's `_imaging` under the name that Python looks for."""
    files = whole(house, runtime, architecture)
    foreign = foreign_machine(house, runtime, architecture)
    files[imaging(files)] = foreign[imaging(foreign)]
    return files


def false_tag(house: Wheelhouse, runtime: str, architecture: str) -> Files:
    """The other machine's files, with names, RECORD and WHEEL that claim to fit."""
    other = OTHER_MACHINE[architecture]
    machines = (runtimes.WHEEL_MACHINE[other], runtimes.WHEEL_MACHINE[architecture])
    triplets = (TRIPLET[other], TRIPLET[architecture])
    files: Files = {}
    for path, content in foreign_machine(house, runtime, architecture).items():
        if path.endswith(("dist-info/RECORD", "dist-info/WHEEL")):
            text = content.decode().replace(*triplets).replace(*machines)
            content = text.encode()  # noqa: PLW2901 -- the changed content takes its place
        files[path.replace(*triplets)] = content
    return files


def newer_glibc(house: Wheelhouse, runtime: str, architecture: str) -> Files:
    """`_imaging` needs GLIBC_2.38, as if it was compiled on a newer system."""
    files = whole(house, runtime, architecture)
    files[imaging(files)] = with_glibc(files[imaging(files)], "GLIBC_2.38")
    return files


def executable_stack(house: Wheelhouse, runtime: str, architecture: str) -> Files:
    """`_imaging` asks for an executable stack."""
    files = whole(house, runtime, architecture)
    files[imaging(files)] = with_executable_stack(files[imaging(files)])
    return files


def absolute_rpath(house: Wheelhouse, runtime: str, architecture: str) -> Files:
    """`_imaging` looks for its libraries in a folder of the machine that built it."""
    files = whole(house, runtime, architecture)
    files[imaging(files)] = with_rpath(files[imaging(files)], "/build/pillow.libs")
    return files


def cut_short(house: Wheelhouse, runtime: str, architecture: str) -> Files:
    """`_imaging` ends in the middle, as after a broken download."""
    files = whole(house, runtime, architecture)
    content = files[imaging(files)]
    files[imaging(files)] = content[: len(content) // 2]
    return files


_NO_NAME = r"cannot import name '_imaging' from 'PIL'"
_NO_FILE = r"_imaging\S*\.so: cannot open shared object file"
_NO_LIBRARY = r"lib\w+-[0-9a-f]{8}\S*: cannot open shared object file"

PIL_BREAKAGES = (
    Breakage(
        "foreign-machine",
        frozenset({"ELF-MACHINE"}),
        r"installed for another machine",
        foreign_machine,
        _NO_NAME,
    ),
    Breakage(
        "foreign-python",
        frozenset({"EXT-PYTHON"}),
        r"the wheel is for CPython 3\.\d+",
        foreign_python,
        _NO_NAME,
    ),
    Breakage(
        "missing-extension",
        frozenset({"FILE-MISSING"}),
        r"deleted after the install",
        missing_extension,
        _NO_NAME,
    ),
    Breakage(
        "missing-libraries",
        frozenset({"FILE-MISSING", "NEEDED-MISSING"}),
        r"the whole folder python/pillow\.libs was deleted",
        missing_libraries,
        _NO_LIBRARY,
    ),
    Breakage(
        "renamed-extension",
        frozenset({"ELF-MACHINE"}),
        r"replaced by one for (x86_64|aarch64)",
        renamed_extension,
        _NO_FILE,
    ),
)
"""The five ways in which `import PIL` fails on Lambda, each of them seen in the wild."""

OTHER_BREAKAGES = (
    Breakage(
        "false-tag",
        frozenset({"ELF-MACHINE"}),
        r"has the tag \S+, but what it holds is (x86_64|aarch64)",
        false_tag,
        _NO_FILE,
    ),
    Breakage(
        "newer-glibc",
        frozenset({"VERSION-GLIBC"}),
        r"compiled on a newer system",
        newer_glibc,
        r"version `GLIBC_2\.38' not found",
        newer_glibc=True,
    ),
    Breakage(
        "executable-stack",
        frozenset({"STACK-EXECUTABLE"}),
        r"\.note\.GNU-stack",
        executable_stack,
        None,
    ),
    Breakage(
        "absolute-rpath",
        frozenset({"RPATH-ABSOLUTE", "NEEDED-MISSING"}),
        r"/build/pillow\.libs",
        absolute_rpath,
        _NO_LIBRARY,
    ),
    Breakage(
        "cut-short",
        frozenset({"ELF-DAMAGED"}),
        r"cut short",
        cut_short,
        None,
        signal=signal.SIGBUS,
    ),
)

BREAKAGES = PIL_BREAKAGES + OTHER_BREAKAGES


def with_glibc(content: bytes, version: str) -> bytes:
    """Return an ELF file whose highest GLIBC version needed has become ``version``.

    The name in .dynstr is replaced by one of the same length, and its hash with it, which is what
    a loader compares first.
    """
    elf: Any = ELFFile(io.BytesIO(content))
    section = elf.get_section_by_name(".gnu.version_r")
    names = elf.get_section(section["sh_link"])
    entries = [entry for _, entries in section.iter_versions() for entry in entries]
    glibc = [entry for entry in entries if re.fullmatch(r"GLIBC_2\.\d\d", entry.name)]
    chosen = max(glibc, key=lambda entry: entry.name)
    result = bytearray(content)
    start = names["sh_offset"] + chosen["vna_name"]
    result[start : start + len(version)] = version.encode()
    old = struct.pack("<I", chosen["vna_hash"])
    end = section["sh_offset"] + section["sh_size"]
    place = content.find(old, section["sh_offset"], end)
    while place >= 0:
        struct.pack_into("<I", result, place, elf_hash(version))
        place = content.find(old, place + 4, end)
    return bytes(result)


def elf_hash(name: str) -> int:
    """Return the hash of a version's name (System V gABI, Hash Table)."""
    value = 0
    for byte in name.encode():
        value = (value << 4) + byte
        high = value & 0xF0000000
        value = (value ^ (high >> 24)) & ~high & 0xFFFFFFFF
    return value


def with_executable_stack(content: bytes) -> bytes:
    """Return an ELF file whose PT_GNU_STACK has the flag PF_X."""
    elf = ELFFile(io.BytesIO(content))
    index = next(
        i for i, segment in enumerate(elf.iter_segments()) if segment["p_type"] == "PT_GNU_STACK"
    )
    result = bytearray(content)
    # p_flags is the second word of Elf64_Phdr.
    struct.pack_into("<I", result, elf["e_phoff"] + index * elf["e_phentsize"] + 4, 0b111)
    return bytes(result)


def with_rpath(content: bytes, folder: str) -> bytes:
    """Return an ELF file whose DT_RPATH or DT_RUNPATH is ``folder``, no longer than it was."""
    elf: Any = ELFFile(io.BytesIO(content))
    dynamic: Any = next(s for s in elf.iter_segments() if isinstance(s, DynamicSegment))
    tag = next(t for t in dynamic.iter_tags() if t.entry.d_tag in {"DT_RPATH", "DT_RUNPATH"})
    old = getattr(tag, "rpath", None) or tag.runpath
    assert len(folder) <= len(old), "a longer name does not fit its place"
    strings = elf.get_section_by_name(".dynstr")
    start = strings["sh_offset"] + tag.entry.d_val
    result = bytearray(content)
    result[start : start + len(old)] = folder.encode().ljust(len(old), b"\0")
    return bytes(result)


def write_wheel(
    folder: Path, files: Mapping[str, bytes], tag: str, name: str = "sample", version: str = "1.0"
) -> Path:
    """Write files as a wheel with a correct RECORD, and return its path.

    Args:
        folder: Where to write it.
        files: Path below site-packages to bytes.
        tag: Such as ``cp313-cp313-manylinux_2_28_aarch64``; nothing checks that it is true.
        name: Of the distribution.
        version: Of the distribution.
    """
    info = f"{name}-{version}.dist-info"
    members = dict(files) | {
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n".encode(),
        f"{info}/WHEEL": f"Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: false\n"
        f"Tag: {tag}\n".encode(),
    }
    rows = [f"{path},{_digest(content)},{len(content)}" for path, content in members.items()]
    members[f"{info}/RECORD"] = "\n".join([*rows, f"{info}/RECORD,,", ""]).encode()
    return zips.write(folder / f"{name}-{version}-{tag}.whl", members)


def _digest(content: bytes) -> str:
    digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=")
    return f"sha256={digest.decode()}"

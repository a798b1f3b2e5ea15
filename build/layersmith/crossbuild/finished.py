"""Turns what a backend built into the wheel that is kept: checked, tagged, in one normal form.

It is kept on disk, in a folder named by the hash of its inputs.

PyPA's wheel (0.48) cannot write that form: its WheelFile dates RECORD by the clock, or by the
SOURCE_DATE_EPOCH of the whole process, gives it mode 0664 and puts it last, and its `tags`, in a
private module, keeps order, dates and modes as the backend left them. What it wrote would have to
be written again, so tags and RECORD are two short functions here.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import json
import re
import zipfile
from dataclasses import dataclass
from email.generator import Generator
from email.parser import HeaderParser
from typing import TYPE_CHECKING, Any

from layersmith import cache
from layersmith.base import architectures, damage, elf, zips
from layersmith.errors import BuildError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from layersmith.base.runtimes import Runtime

IMPROPER = "its build backend wrote no proper WHEEL and RECORD"


def finish(built: Path, out: Path, runtime: Runtime, architecture: str) -> tuple[Path, str]:
    """Write the wheel to keep into ``out``; return its path and the highest glibc it needs.

    A wheel with ELF files is tagged for the runtime's glibc (PEP 600), which they were checked
    against.

    Raises:
        BuildError: An ELF file is for another machine or needs a newer glibc.
    """
    members = _members(built)
    highest = (0, 0)
    native = False
    for name, (content, _) in members.items():
        if elf.is_elf(content):
            native = True
            highest = max(highest, _judge(name, content, runtime, architecture))
    stem = built.name[: -len(".whl")].split("-")
    if native:
        major, minor = runtime.glibc
        stem[-1] = f"manylinux_{major}_{minor}_{architectures.get(architecture).wheel}"
    with damage.told(built.name, cause=IMPROPER):
        _retag(members, stem[-3:])
    path = _write(members, out / ("-".join(stem) + ".whl"))
    return path, f"{highest[0]}.{highest[1]}" if native else ""


def normal(built: Path, out: Path) -> Path:
    """Write a wheel that compiled nothing into ``out`` in the normal form; return its path."""
    return _write(_members(built), out / built.name)


def _members(built: Path) -> dict[str, tuple[bytes, bool]]:
    """Return path to content and whether it is executable."""
    with damage.told(built.name), zipfile.ZipFile(built) as archive:
        return {
            info.filename: (archive.read(info), (info.external_attr >> 16) & 0o111 != 0)
            for info in archive.infolist()
            if not info.is_dir()
        }


def _write(members: dict[str, tuple[bytes, bool]], path: Path) -> Path:
    """Write a wheel: members sorted and stored, with one date, the executable bit their mode.

    The layer's zip compresses them, in the same way whatever zlib this Python has.
    """
    with damage.told(path.name, cause=IMPROPER):
        _record(members)
    contents = {name: content for name, (content, _) in members.items()}
    executables = {name for name, (_, executable) in members.items() if executable}
    path.write_bytes(zips.pack(contents, executables=executables, level=0))
    return path


def _judge(name: str, content: bytes, runtime: Runtime, architecture: str) -> tuple[int, int]:
    try:
        facts = elf.read(content)
    except elf.DamagedElf as problem:
        raise BuildError(f"{name} is damaged: {problem}") from problem
    machine = architectures.named(facts.machine)
    if machine != architecture:
        raise BuildError(
            f"{name} was compiled for {machine}, not for {architecture}",
            cause="the build calls a compiler by its own name, not the one that CC or CXX names",
            hint="set its option for the compiler under `build:`, or `container: true`",
        )
    highest = elf.highest_glibc(facts)
    if highest > runtime.glibc:
        raise BuildError(
            f"{name} needs GLIBC_{highest[0]}.{highest[1]}, and {runtime.name} has"
            f" {runtime.glibc[0]}.{runtime.glibc[1]}",
            cause="the build links a library of this machine, or used another compiler",
        )
    return highest


def _retag(members: dict[str, tuple[bytes, bool]], tags: Iterable[str]) -> None:
    """Put the tags of the file name into WHEEL (PEP 427)."""
    (name,) = (name for name in members if re.fullmatch(r"[^/]+\.dist-info/WHEEL", name))
    message = HeaderParser().parsestr(members[name][0].decode("utf-8"))
    del message["Tag"]
    python, abi, platform = (part.split(".") for part in tags)
    for tag in sorted(f"{p}-{a}-{f}" for p in python for a in abi for f in platform):
        message["Tag"] = tag
    text = io.StringIO()
    Generator(text, maxheaderlen=0).flatten(message)
    members[name] = (text.getvalue().encode("utf-8"), False)


def _record(members: dict[str, tuple[bytes, bool]]) -> None:
    """Write RECORD anew; signatures of the old one would no longer fit and are left out."""
    (name,) = (name for name in members if re.fullmatch(r"[^/]+\.dist-info/RECORD", name))
    for signature in (f"{name}.jws", f"{name}.p7s"):
        members.pop(signature, None)
    rows = io.StringIO()
    writer = csv.writer(rows, lineterminator="\n")
    for path in sorted(members.keys() - {name}):
        content = members[path][0]
        digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=")
        writer.writerow((path, f"sha256={digest.decode()}", len(content)))
    writer.writerow((name, "", ""))
    members[name] = (rows.getvalue().encode("utf-8"), False)


@dataclass(frozen=True)
class BuiltWheel:
    """A wheel that was compiled here.

    Attributes:
        path: Where it is cached.
        sha256: Its SHA-256 in hex.
        record: What it was made from, for the lock and the manifest; JSON values only.
    """

    path: Path
    sha256: str
    record: dict[str, Any]

    @property
    def warning(self) -> str | None:
        """What to say of a wheel that holds no native file; None of one that does."""
        if self.record["glibc"]:
            return None
        error = self.record.get("passed_over")
        return "compiled nothing: its wheel holds no native file" + (
            f"; the build passed over: {error}" if error else ""
        )


def key(inputs: Any) -> str:
    """Return the name of the folder for some inputs: JSON values."""
    return cache.sha256_bytes(json.dumps(inputs, sort_keys=True).encode())


def read(folder: Path) -> BuiltWheel | None:
    """Return what is cached in ``folder`` if it is whole."""
    try:
        record = json.loads((folder / "record.json").read_text("utf-8"))
        path = folder / record["filename"]
        whole = cache.sha256_file(path) == record["sha256"]
        return BuiltWheel(path, record["sha256"], record) if whole else None
    except (OSError, ValueError, KeyError):
        return None


def write(folder: Path, wheel: Path, inputs: Mapping[str, Any], glibc: str) -> BuiltWheel:
    """Cache a wheel; the record comes last, and a wheel without one does not count.

    Args:
        folder: Where it goes.
        wheel: The finished wheel.
        inputs: What it was made from.
        glibc: Highest glibc version that its ELF files need; empty where it has none.
    """
    record = {
        **inputs,
        "glibc": glibc,
        "filename": wheel.name,
        "size": wheel.stat().st_size,
        "sha256": cache.sha256_file(wheel),
    }
    kept = folder / wheel.name
    cache.write_bytes(kept, wheel.read_bytes())
    cache.write_text(folder / "record.json", json.dumps(record, indent=1) + "\n")
    return BuiltWheel(kept, record["sha256"], record)

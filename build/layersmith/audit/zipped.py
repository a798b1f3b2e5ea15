"""Reads a finished layer, and judges what only an archive has: modes, links, doubled paths."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

from layersmith.assemble import wheel
from layersmith.assemble.tree import Entry
from layersmith.audit.findings import Finding, Severity
from layersmith.base.zips import EXECUTABLE_MODE, FILE_MODE
from layersmith.errors import BuildError

if TYPE_CHECKING:
    import zipfile
    from collections.abc import Iterator
    from pathlib import Path


def open_zip(path: Path, above: str = "") -> tuple[list[Entry], list[Finding]]:
    """Return the files of a layer's zip, and what is wrong with the archive itself.

    Args:
        path: The zip.
        above: What is put in front of every path: the folder of packages, whose content the zip
            of a function has at its root.

    Raises:
        BuildError: The file is missing, is not a zip, or cannot be read.
    """
    if not path.is_file():
        raise BuildError(
            f"{path} does not exist",
            cause="the layer has not been built",
            hint="run `nox -s build`, or name the zip",
        )
    infos = wheel.directory(path)
    members = wheel.locate(path, infos)
    entries = [
        Entry(above + info.filename, members[info.filename], "", bool(_mode(info) & 0o111))
        for info in infos
    ]
    return entries, list(_judge(infos))


def _mode(info: zipfile.ZipInfo) -> int:
    return info.external_attr >> 16


def _judge(infos: list[zipfile.ZipInfo]) -> Iterator[Finding]:
    seen: set[str] = set()
    for info in infos:
        name = info.filename
        if name in seen:
            yield _finding("PATH-TWICE", name, "two distributions own it, or it was appended")
        seen.add(name)
        if name.startswith("/") or "\\" in name or ".." in name.split("/"):
            yield _finding("PATH-UNSAFE", name, "the zip was made on Windows, or by hand")
        mode = _mode(info)
        if stat.S_ISLNK(mode):
            yield _finding("SYMLINK", name, "it was zipped with links kept (zip -y)")
        elif stat.S_IMODE(mode) not in {FILE_MODE, EXECUTABLE_MODE}:
            yield _finding(
                "MODE", name, _mode_cause(mode), f" has the mode {stat.S_IMODE(mode):04o}"
            )


def _mode_cause(mode: int) -> str:
    if mode == 0:
        return "the zip was made where files have no modes; Lambda's user may not read it"
    return "the umask or the file system of the build machine; Lambda runs as another user"


_WHAT = {
    "PATH-TWICE": " is in the zip more than once",
    "PATH-UNSAFE": " is not a plain relative path",
    "SYMLINK": " is a symbolic link",
}


def _finding(code: str, path: str, cause: str, what: str = "") -> Finding:
    return Finding(
        code=code,
        severity=Severity.ERROR,
        path=path,
        what=path + (what or _WHAT[code]),
        cause=cause,
        next="build it with `python build/layers.py build`, which writes only modes 0644 and 0755",
    )

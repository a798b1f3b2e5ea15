"""What a local package is built from: the same files for its digest and for the copy that is built.

Nothing is left out for its name but at the root, where what tools write beside the sources lies.
Below it only what says by its own content that it is not a source stays out: caches, virtual
environments, and metadata that setuptools writes anew in every build.
"""

from __future__ import annotations

import json
import os
import shutil
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING

from layersmith import cache
from layersmith.base import zips
from layersmith.crossbuild import repository
from layersmith.errors import BuildError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

OUTPUTS = frozenset({"dist", ".aws-sam", ".coverage", ".eggs", ".hypothesis", ".nox", ".tox"})
"""What builds and tests write to the root of a project."""

HISTORIES = frozenset({".bzr", ".git", ".hg", ".jj", ".svn"})
"""Repositories; which of them a build sees, and how, is decided by ``repository``."""

CACHES = frozenset({".mypy_cache", ".pytest_cache", ".ruff_cache", ".venv"})
"""Caches and environments of the root, should they lack the tag that marks them."""

SETUPTOOLS = ("bdist.", "lib.", "scripts-", "temp.")
"""How the names in setuptools' own ``build`` folder begin, beside ``lib``."""

SIGNATURE = cache.TAG.splitlines()[0].encode()
"""First line of the CACHEDIR.TAG of any cache."""

IGNORES = (".gitignore", ".hgignore")
"""Files of the folders above, up to the top of the repository, that backends obey (hatchling)."""


@dataclass(frozen=True)
class SourceFile:
    """A file that a build sees.

    Attributes:
        path: Its path below the top, with slashes.
        place: Where its bytes are, links followed.
        executable: Whether its owner may run it.
    """

    path: str
    place: Path
    executable: bool


def files(folder: Path) -> list[SourceFile]:
    """Return the files of a local package, sorted by path; links are followed.

    Raises:
        BuildError: A link leads nowhere or in a circle, or something cannot be read.
    """
    try:
        return sorted(_below(folder, "", ()), key=lambda file: file.path)
    except OSError as problem:
        raise BuildError(
            f"the local package {folder.name} cannot be read: {problem.filename}:"
            f" {problem.strerror}",
            cause="its mode, or the mode of a folder above it",
        ) from problem


def digest(folder: Path) -> str:
    """Return the SHA-256 in hex over all that a build of a local package sees.

    That is names, contents, which files are executable, and the state of the git repository where
    the version comes from there.

    Raises:
        BuildError: As for ``files``.
    """
    listed = [*_above(folder), *files(folder)]
    lines = [(file.path, file.executable, cache.sha256_file(file.place)) for file in listed]
    return cache.sha256_bytes(json.dumps([lines, repository.state(folder)]).encode())


def copy(folder: Path, to: Path) -> Path:
    """Copy what a build sees to ``to`` and return the folder of the package there.

    It lies as deep below ``to`` as below the top of its repository, of which there may be a clone
    at ``to`` already. Modes are 0644 and 0755,
    whatever the umask or the file system of this machine makes of them.

    Raises:
        BuildError: As for ``files``.
    """
    inside = to / _within(folder)
    listed = files(folder)
    inside.mkdir(parents=True, exist_ok=True)
    for file in [*_above(folder), *listed]:
        target = inside / file.path
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file.place, target)
        target.chmod(zips.EXECUTABLE_MODE if file.executable else zips.FILE_MODE)
    return inside


def _within(folder: Path) -> Path:
    return folder.resolve().relative_to(repository.top(folder))


def _above(folder: Path) -> Iterator[SourceFile]:
    """Give the files of the repository above the package that decide what backends take."""
    above = folder.resolve()
    for up in range(1, len(_within(folder).parts) + 1):
        above = above.parent
        for name in IGNORES:
            if (above / name).is_file():
                yield SourceFile("../" * up + name, above / name, executable=False)


def _below(folder: Path, prefix: str, inside: tuple[os.stat_result, ...]) -> Iterator[SourceFile]:
    here = folder.stat()
    if any(os.path.samestat(here, one) for one in inside):
        raise BuildError(
            f"{folder} is a link to a folder that holds it",
            hint="remove the link: a build that follows it never ends",
        )
    for entry in sorted(folder.iterdir()):
        path = prefix + entry.name
        if _left_out(entry, path):
            continue
        mode = _mode(entry)
        if stat.S_ISDIR(mode):
            yield from _below(entry, f"{path}/", (*inside, here))
        elif stat.S_ISREG(mode):
            yield SourceFile(path, entry, executable=bool(mode & stat.S_IXUSR))
        else:
            raise BuildError(
                f"{entry} is neither a file nor a folder",
                cause="a socket, a pipe or a device was left there",
                hint="remove it",
            )


def _mode(entry: Path) -> int:
    try:
        return entry.stat().st_mode
    except FileNotFoundError:
        raise BuildError(
            f"{entry} is a link to {entry.readlink()}, which does not exist",
            hint="remove the link, or restore what it points to",
        ) from None


def _left_out(entry: Path, path: str) -> bool:
    if path in OUTPUTS | HISTORIES | CACHES:
        return True
    if not entry.is_dir():
        return False
    return (
        entry.name == "__pycache__"
        or (path == "build" and _is_setuptools_build(entry))
        or (path == entry.name and _holds_artifacts(entry))
        or (entry / "pyvenv.cfg").is_file()
        or _is_tagged(entry / "CACHEDIR.TAG")
        or (path.endswith(".egg-info") and _lists_itself(entry / "SOURCES.txt", path))
    )


def _is_setuptools_build(folder: Path) -> bool:
    names = [entry.name for entry in folder.iterdir()]
    known = [name == "lib" or name.startswith(SETUPTOOLS) for name in names]
    return all(known) and any(name.startswith("bdist.") for name in names)


def _holds_artifacts(folder: Path) -> bool:
    """Whether builds of layers were written to a folder, as ``--dist`` names one."""
    boms = folder.glob("*.cdx.json")
    return any(bom.with_name(bom.name.replace(".cdx.json", ".zip")).is_file() for bom in boms)


def _is_tagged(tag: Path) -> bool:
    return tag.is_file() and tag.read_bytes().startswith(SIGNATURE)


def _lists_itself(sources: Path, path: str) -> bool:
    """Whether SOURCES.txt names itself from the root, as only the project's own does."""
    if not sources.is_file():
        return False
    return f"{path}/SOURCES.txt" in sources.read_text("utf-8", "replace").splitlines()

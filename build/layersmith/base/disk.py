"""Says what is wrong with a file or folder of this machine, from the OSError that it caused."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from layersmith import cache
from layersmith.errors import LayersmithError, MachineError

if TYPE_CHECKING:
    from collections.abc import Iterator

NO_FILE_NAMED = frozenset(
    {
        *(errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO, errno.ENOENT),
        *(errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN),
    }
)

FULL = {
    errno.ENOSPC: "no space, or no inode, is left on the device",
    errno.EDQUOT: "the quota of this user is used up",
    errno.EFBIG: "a limit on the size of files, see `ulimit -f`",
}
"""What makes a disk full, by error number."""

CAUSES = {
    errno.EACCES: "it is read-only, or belongs to another user",
    errno.EPERM: "it is read-only, or belongs to another user",
    errno.EROFS: "it lies on a disk that is mounted read-only",
    errno.ENOENT: "it was removed meanwhile, or a link to it points to nothing",
    errno.ENOTDIR: "a file is where a folder is needed",
    errno.EEXIST: "a file is where a folder is needed",
    errno.EISDIR: "a folder is where a file is needed",
    errno.ELOOP: "symbolic links point to each other",
    errno.EMFILE: "this process may open too few files at once, see `ulimit -n`",
    errno.EIO: "the disk is damaged, or a network drive is gone",
}
"""Likely causes by error number."""


ROOT = "the folder of layers.yaml"


def is_there(path: Path) -> bool:
    """Whether there is a file or folder.

    Raises:
        OSError: It may not be looked at: Path.exists() says False to that since Python 3.14.
    """
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


class Place(NamedTuple):
    """A folder that layersmith uses."""

    folder: Path
    what: str
    """How messages call it."""
    hint: str
    """How to use another one."""


@contextlib.contextmanager
def explained(
    error: type[LayersmithError] = MachineError,
    *,
    root: Path | None = None,
    dist: Path | None = None,
    target: str | None = None,
) -> Iterator[None]:
    """Turn an OSError of a file within the block into an error that names the file and its folder.

    Args:
        error: Class of the error.
        root: Folder of layers.yaml.
        dist: Folder of the artifacts.
        target: Identifier of the target that it concerns.

    Raises:
        LayersmithError: Of the class ``error``. What concerns no file, such as a connection or a
            pipe without a reader, is raised unchanged.
    """
    try:
        yield
    except OSError as problem:
        if not _is_of_a_file(problem):
            raise
        raise _error(problem, error, _places(root, dist), target) from problem


def require_readable(folder: Path) -> None:
    """Make sure of a folder that its files can be listed: a glob finds none in one that is closed.

    Raises:
        OSError: It cannot be listed; one that does not exist has no files.
    """
    with contextlib.suppress(FileNotFoundError):
        os.scandir(folder).close()


def _is_of_a_file(problem: OSError) -> bool:
    named = problem.filename is not None or isinstance(problem, shutil.Error)
    return named or problem.errno in NO_FILE_NAMED


def _error(
    problem: OSError, error: type[LayersmithError], places: list[Place], target: str | None
) -> LayersmithError:
    path, said = _path(problem)
    place = _holding(places, path) if path else None
    if path and place and place.what == ROOT and _is_missing(problem, path, place):
        # As a rule an option names it; the folder that it is looked for in is as it should be.
        return error(
            f"{path} does not exist",
            target=target,
            cause="the name is wrong, or it was removed meanwhile",
            hint="check the name: a relative one starts at the working directory",
        )
    what = f"{place.what} {place.folder}" if place else str(path or "")
    full = FULL.get(problem.errno or 0)
    if full:
        message = f"the disk is full: {what}" if what else "the disk is full"
    else:
        message = f"{what} cannot be used: {said}" if what else said
        if path and place and path != place.folder:
            inside = path.is_relative_to(place.folder)
            message += f": {path.relative_to(place.folder) if inside else path}"
    return error(
        message,
        target=target,
        cause=full or CAUSES.get(problem.errno or 0),
        hint=place.hint if place else "free some space and run it again" if full else None,
    )


def _is_missing(problem: OSError, path: Path, place: Place) -> bool:
    """Whether a file is not there in a folder that is; a link that points to nothing is there."""
    below = path != place.folder and place.folder.is_dir()
    return problem.errno == errno.ENOENT and below and not path.is_symlink()


def _holding(places: list[Place], path: Path) -> Place | None:
    """Return the place that a path lies in, or that cannot be made for its sake."""
    inside = [one for one in places if path.is_relative_to(one.folder)]
    below = [one for one in places if one.folder.is_relative_to(path)]
    return next(iter([*inside, *below]), None)


def _path(problem: OSError) -> tuple[Path | None, str]:
    """Return the file that an OSError names, absolute, and what the system says of it."""
    named, said = problem.filename, problem.strerror or str(problem)
    if isinstance(problem, shutil.Error) and isinstance(problem.args[0], list):
        # Of a tree that was copied: source, destination and reason of each file.
        named, _, said = problem.args[0][0]
    if not isinstance(named, (str, bytes)):
        # getcwd(3) names nothing; tempfile, which finds no folder at all, says so in its own words.
        lost = said == os.strerror(errno.ENOENT)
        return None, "the working directory was removed" if lost else said
    path = Path(os.fsdecode(named))
    return (path.parent if path.suffix == ".part" else path).absolute(), said


def _places(root: Path | None, dist: Path | None) -> list[Place]:
    """Return the folders that can be named, those within others first."""
    found = []
    with contextlib.suppress(MachineError):
        advice = "set LAYERSMITH_CACHE to a folder of your own, with room for wheels and layers"
        found.append(Place(cache.cache_root(), "the cache", advice))
    if dist:
        advice = "name another folder with --dist, or change its permissions"
        found.append(Place(dist, "the folder of artifacts", advice))
    if root:
        advice = "change its permissions, or work on a copy of the repository"
        found.append(Place(root / "locks", "the folder of locks", advice))
        found.append(Place(root, ROOT, advice))
    found = [one._replace(folder=one.folder.absolute()) for one in found]
    return sorted(found, key=lambda one: -len(one.folder.parts))

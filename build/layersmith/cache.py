"""A content-addressed store on disk that may be deleted at any time.

Entries are written to a temporary name and renamed (POSIX rename is atomic), so that a killed
run leaves nothing half-written and two builds at once cannot disturb each other: both write the
same bytes under the same name, and the last rename wins.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

from layersmith.errors import MachineError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import IO


TAG = """\
Signature: 8a477f597d28d172789f06886806bc55
# This folder is a cache of layersmith.
"""
"""Content of CACHEDIR.TAG (Cache Directory Tagging Specification, bford.info/cachedir)."""


def cache_root() -> Path:
    """Return the cache folder: LAYERSMITH_CACHE, else the user's cache folder.

    The default follows the XDG Base Directory Specification.

    Raises:
        MachineError: The user has no home folder.
    """
    chosen = os.environ.get("LAYERSMITH_CACHE")
    if chosen:
        return _at_home(chosen)
    return user_cache() / "layersmith"


def user_cache() -> Path:
    """Return the user's cache folder, for all programs."""
    return Path(os.environ.get("XDG_CACHE_HOME") or _at_home("~/.cache"))


def _at_home(path: str) -> Path:
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise MachineError(
            f"{path} is in no folder: this user has no home",
            cause="HOME is not set, and the user is not in the system's list of users",
            hint="set LAYERSMITH_CACHE to a folder of your own",
        ) from None


def section(name: str) -> Path:
    """Return the cache's folder for ``name``, made where it is missing."""
    folder = cache_root() / name
    folder.mkdir(parents=True, exist_ok=True)
    tag = cache_root() / "CACHEDIR.TAG"
    if not tag.exists():
        with contextlib.suppress(OSError):  # a cache that can only be read is one, too
            write_text(tag, TAG)
    return folder


@contextlib.contextmanager
def atomic_writer(path: Path) -> Iterator[IO[bytes]]:
    """Open a temporary file beside ``path`` that takes its name if the block succeeds.

    Raises:
        OSError: The folder is read-only or the disk is full; nothing is left under ``path``. It
            names the path, also where write(2) does not.
    """
    import tempfile  # noqa: PLC0415 -- start-up time

    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as stream:
            yield stream
        temporary.chmod(0o644)
        temporary.replace(path)
    except BaseException as problem:
        temporary.unlink(missing_ok=True)
        if isinstance(problem, OSError) and problem.filename is None:
            problem.filename = str(path)
        raise


def write_bytes(path: Path, content: bytes) -> None:
    """Write ``content`` to ``path`` whole or not at all."""
    with atomic_writer(path) as stream:
        stream.write(content)


def write_text(path: Path, content: str) -> None:
    """Write ``content`` to ``path`` as UTF-8, whole or not at all."""
    write_bytes(path, content.encode("utf-8"))


def sha256_file(path: Path) -> str:
    """Return the SHA-256 of a file in hex."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def sha256_bytes(content: bytes) -> str:
    """Return the SHA-256 of ``content`` in hex."""
    return hashlib.sha256(content).hexdigest()


@functools.cache
def reader_digest(*files: Path) -> str:
    """Return a folder's name for facts that code and tables in ``files`` read.

    What another version of them read is not found there, and read anew.
    """
    return sha256_bytes("".join(map(sha256_file, files)).encode())[:16]


def source_files(folder: Path) -> list[Path]:
    """Return the files of a folder of sources, sorted, without caches."""
    return sorted(
        path
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and path.suffix != ".pyc"
    )


def sha256_folder(folder: Path) -> str:
    """Return the SHA-256 in hex over names and contents of a folder of sources."""
    lines = [
        f"{path.relative_to(folder).as_posix()} {sha256_file(path)}"
        for path in source_files(folder)
    ]
    return sha256_bytes("\n".join(lines).encode())

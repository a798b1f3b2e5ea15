"""The store in a folder of a POSIX file system, EFS (NFS 4) among them."""

from __future__ import annotations

import fcntl
import hashlib
import os
import stat
import threading
import time
import uuid
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from vector_common.conditional import VersionedObject
from vector_common.errors import Damaged, NotFound, PreconditionFailed, StoreError
from vector_common.names import check_key
from vector_common.storage.objects import Blob, ObjectInfo

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_SCRATCH = ".scratch"
_SCRATCH_SECONDS = 24 * 3600
"""No write takes so long: an older scratch file is of a writer that was killed."""

_LOCK = ".lock"
_threads = threading.Lock()


class FileStorage:
    """Objects as files. Keys never begin with a dot, so the two names above are free."""

    def __init__(self, root: str | os.PathLike[str]) -> None:
        self._root = Path(root).absolute()
        self._swept = False

    @property
    def url(self) -> str:
        """Where the objects lie."""
        return self._root.as_uri()

    def get(self, key: str) -> Blob:
        """Read an object whole."""
        with self._errors(key):
            data = self._read(self._path(key))
        return Blob(data, _etag(data))

    def observe(self, key: str) -> VersionedObject:
        """Read an object with its time, and the time now as the file system stamps a new file."""
        path = self._path(key)
        with self._errors(key):
            self._look_again(path.parent)
            with path.open("rb") as file:
                data = file.read()
                written = os.fstat(file.fileno()).st_mtime
            # On NFS this is the server's clock, which also stamped the object.
            scratch = self._write_scratch(b"now")
            now = scratch.stat().st_mtime
            scratch.unlink()
        return VersionedObject(data, _etag(data), _moment(written), _moment(now))

    def get_range(self, key: str, start: int, length: int) -> bytes:
        """Read a part of an object."""
        path = self._path(key)
        with self._errors(key):
            self._look_again(path.parent)
            with path.open("rb") as file:
                data = os.pread(file.fileno(), length, start)
        if len(data) != length:
            raise Damaged(f"{key}: ends before byte {start + length}")
        return data

    def put(
        self, key: str, data: bytes, *, if_match: str | None = None, if_none_match: bool = False
    ) -> str:
        """Write to a scratch file, then give it its name in one step."""
        path = self._path(key)
        with self._errors(key):
            scratch = self._write_scratch(data)
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                if if_none_match:
                    self._link_new(scratch, path, data)
                elif if_match is not None:
                    self._replace_matching(scratch, path, if_match, data)
                else:
                    scratch.replace(path)
                _sync_folder(path.parent)
            finally:
                scratch.unlink(missing_ok=True)
        return _etag(data)

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """Every object whose key begins with ``prefix``, sorted by key."""
        folder = self._root / prefix.rpartition("/")[0]
        with self._errors(prefix):
            self._look_again(folder)
            found = [
                (Path(at) / name).relative_to(self._root).as_posix()
                for at, _, names in os.walk(folder, onerror=_unless_gone)
                for name in names
            ]
        for key in sorted(found):
            # NFS keeps what is deleted or replaced while it is read, as .nfs and a number.
            if not key.startswith(prefix) or "/." in f"/{key}":
                continue
            # Not before: who only asks whether there is an object looks at one, and on NFS each
            # look may be a request.
            try:
                status = (self._root / key).lstat()
            except FileNotFoundError:
                continue  # deleted since
            if not stat.S_ISREG(status.st_mode):
                continue
            yield ObjectInfo(key, status.st_size, "", _moment(status.st_mtime))

    def folders(self, prefix: str) -> tuple[str, ...]:
        """The names of the folders in a folder."""
        folder = self._root / prefix
        with self._errors(prefix):
            self._look_again(folder)
            if not folder.is_dir():
                return ()
            names = [path.name for path in folder.iterdir() if path.is_dir()]
        return tuple(sorted(name for name in names if not name.startswith(".")))

    def delete(self, keys: Iterable[str]) -> None:
        """Delete objects."""
        for key in keys:
            with self._errors(key):
                self._path(key).unlink(missing_ok=True)

    def _path(self, key: str) -> Path:
        return self._root / check_key(key)

    def _read(self, path: Path) -> bytes:
        self._look_again(path.parent)
        return path.read_bytes()

    def _look_again(self, folder: Path) -> None:
        # An NFS client remembers for up to a minute which file a name means, or that there is
        # none; opening a folder makes it ask the server, from the top so that each is known.
        step = self._root
        with suppress(FileNotFoundError):
            for name in ("", *folder.relative_to(self._root).parts):
                step = step / name
                os.close(os.open(step, os.O_RDONLY | os.O_DIRECTORY))

    def _write_scratch(self, data: bytes) -> Path:
        folder = self._root / _SCRATCH
        folder.mkdir(parents=True, exist_ok=True)
        self._sweep(folder)
        path = folder / uuid.uuid4().hex
        try:
            with path.open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        return path

    def _sweep(self, folder: Path) -> None:
        if self._swept:
            return
        self._swept = True
        oldest = time.time() - _SCRATCH_SECONDS
        for path in folder.iterdir():
            with suppress(OSError):  # another writer sweeps too, or owns it
                if path.stat().st_mtime < oldest:
                    path.unlink()

    def _link_new(self, scratch: Path, path: Path, data: bytes) -> None:
        # link() fails where the name exists, on NFS too: the kernel decides who wins.
        try:
            os.link(scratch, path)
        except FileExistsError:
            if path.read_bytes() != data:
                raise PreconditionFailed(f"{path.name}: exists already") from None

    def _replace_matching(self, scratch: Path, path: Path, etag: str, data: bytes) -> None:
        with self._locked():
            try:
                current = self._read(path)
            except FileNotFoundError:
                raise PreconditionFailed(f"{path.name}: is gone") from None
            if current == data:
                return
            if _etag(current) != etag:
                raise PreconditionFailed(f"{path.name}: was changed by another writer")
            scratch.replace(path)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        # On NFS the file's lock belongs to the process, so its threads need one of their own.
        with _threads, (self._root / _LOCK).open("wb") as lock:
            # Released when the holder dies, so that a killed writer blocks nobody.
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    @contextmanager
    def _errors(self, key: str) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError:
            raise NotFound(f"{key}: not in {self.url}") from None
        except OSError as error:
            raise StoreError(f"{key}: {error.strerror} in {self.url}") from error


def _unless_gone(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise error


def _etag(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, tz=UTC)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

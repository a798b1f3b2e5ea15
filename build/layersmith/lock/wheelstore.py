"""Wheels and sdists on disk, by the SHA-256 that the lock names.

A file enters the store only after its SHA-256 and the CRC-32 of every member were checked; a build
checks the SHA-256 again, so that a damaged disk is found before a layer is written.

A commit of a git repository is kept as a source archive, with the same bytes on every machine.
"""

from __future__ import annotations

import io
import tarfile
import tempfile
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit

from layersmith import cache, process
from layersmith.base import damage, disk, http
from layersmith.base.zips import EPOCH_SECONDS
from layersmith.errors import BuildError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    import httpx

DOWNLOADS_AT_ONCE = 8

GIT_TIMEOUT = 600.0
"""Seconds that one call of git may take."""

COMMIT_SUFFIX = ".tar"
"""Not compressed: two versions of zlib may write other bytes."""


class Download(NamedTuple):
    """A file that the store lacks, and where it can be had."""

    sha256: str
    url: str
    filename: str


def path_of(sha256: str, filename: str) -> Path:
    """Return where the store keeps a file, whether it is there or not."""
    return cache.section("wheels") / sha256[:2] / sha256 / filename


def verified(sha256: str, filename: str) -> Path | None:
    """Return the stored file if it is there and whole; a damaged one is removed."""
    path = path_of(sha256, filename)
    try:
        if cache.sha256_file(path) == sha256:
            return path
    except FileNotFoundError:
        return None
    path.unlink(missing_ok=True)
    return None


def fetch(
    downloads: Iterable[Download],
    root: Path | None = None,
    *,
    done: Callable[[Download], None] | None = None,
) -> dict[str, BuildError]:
    """Download files into the store, several at once; one failure stops no other.

    Args:
        downloads: What is missing.
        root: Folder in or above which uv's configuration is; by default the current one.
        done: Called with each download that is through, whether it succeeded or not.

    Returns:
        SHA-256 to why that file is not available; empty where all are in the store.
    """
    from layersmith.base import routes  # noqa: PLC0415 -- start-up time: warm caches need none

    failed: dict[str, BuildError] = {}

    def one(client: httpx.Client, download: Download) -> None:
        try:
            with disk.explained(BuildError):
                _download(client, download)
        except BuildError as problem:
            failed[download.sha256] = problem
        if done:
            done(download)

    with (
        routes.client(root, timeout=60.0) as client,
        ThreadPoolExecutor(DOWNLOADS_AT_ONCE) as pool,
    ):
        list(pool.map(lambda download: one(client, download), downloads))
    return failed


def fetch_one(download: Download, root: Path | None = None) -> Path:
    """Download one file into the store and return it; ``root`` is that of ``fetch``.

    Raises:
        BuildError: It is not available, or is not what its hash names.
    """
    failed = fetch([download], root)
    if failed:
        raise failed[download.sha256]
    return path_of(download.sha256, download.filename)


def admit(sha256: str, filename: str, content: bytes) -> Path:
    """Put a file into the store.

    Raises:
        BuildError: Its SHA-256 or the CRC-32 of a member is wrong.
    """
    found = cache.sha256_bytes(content)
    if found != sha256:
        raise BuildError(
            f"{filename} has another hash than its lock: {found}, locked {sha256}",
            cause="the file was changed on the index or on its way",
            hint="if the change is wanted, run `nox -s lock`; otherwise do not build from it",
        )
    path = path_of(sha256, filename)
    cache.write_bytes(path, content)
    if filename.endswith(".whl"):
        _check_members(path)
    return path


def _check_members(path: Path) -> None:
    try:
        with damage.told(path.name), zipfile.ZipFile(path) as wheel:
            bad = wheel.testzip()
        if bad:
            raise BuildError(f"{path.name} is damaged: {bad} does not fit its CRC-32")
    except BuildError:
        path.unlink(missing_ok=True)
        raise


def _download(client: httpx.Client, download: Download) -> Path:
    scheme = urlsplit(download.url).scheme
    if scheme.startswith("git+"):
        stem = download.filename.removesuffix(COMMIT_SUFFIX)
        content = pack_commit(download.url, stem)
        return admit(download.sha256, download.filename, content)
    if scheme == "file":
        return admit(download.sha256, download.filename, _read_local(download))
    try:
        answer = http.get(client, download.url)
    except http.RequestFailed as problem:
        raise BuildError(
            f"{download.filename} could not be downloaded: {problem}",
            cause="the index is out of reach, or the file was removed from it",
            hint="run the build again; if the file is gone, run `nox -s lock`",
        ) from problem
    return admit(download.sha256, download.filename, answer.content)


def _read_local(download: Download) -> bytes:
    from pathlib import Path  # noqa: PLC0415 -- only for indexes in a folder

    try:
        return Path(unquote(urlsplit(download.url).path)).read_bytes()
    except OSError as problem:
        raise BuildError(
            f"{download.filename} could not be downloaded: {problem.strerror}: {problem.filename}",
            cause="the index is a folder, and the file was removed from it",
            hint="put the file back, or run `nox -s lock`",
        ) from problem


def pack_commit(url: str, stem: str) -> bytes:
    """Return the source archive of a commit.

    A PKG-INFO with name and version is added where there is none, as sdists have one: backends
    that ask git for the version take it from there.

    Args:
        url: ``git+https://.../name@COMMIT``, with ``#subdirectory=...`` where the project is not
            at the top.
        stem: ``name-version``, the folder in the archive.

    Raises:
        BuildError: git cannot fetch the commit, or the subdirectory is not in it.
    """
    place, _, fragment = url.removeprefix("git+").partition("#")
    address, _, commit = place.rpartition("@")
    subdirectory = parse_qs(fragment).get("subdirectory", ["."])[0]
    with tempfile.TemporaryDirectory(prefix="layersmith-git-") as scratch:
        folder = Path(scratch).resolve() / "source"
        folder.mkdir()
        try:
            _check_out(folder, address, commit)
        except process.CommandFailed as failed:
            raise BuildError(
                f"git could not fetch commit {commit[:12]} of {stem}:\n    {failed.output}",
                cause="the repository is out of reach, needs a login, or lost the commit",
                hint="check that `git fetch` works here without a prompt",
            ) from None
        top = (folder / subdirectory).resolve()
        if not top.is_dir() or not top.is_relative_to(folder):
            raise BuildError(f"{stem} has no folder {subdirectory} at commit {commit[:12]}")
        return _archive(top, stem)


def _check_out(folder: Path, address: str, commit: str) -> None:
    def git(*words: str) -> None:
        same = ("-c", "core.autocrlf=false", "-c", "core.symlinks=true")
        process.run(
            ["git", "-C", folder, *same, *words],
            env={"GIT_TERMINAL_PROMPT": "0"},
            timeout=GIT_TIMEOUT,
        )

    git("init", "--quiet", "--template=")
    try:
        git("fetch", "--quiet", "--depth=1", address, commit)
    except process.CommandFailed:
        # Not every server gives out commits by their hash.
        git("fetch", "--quiet", address, "+refs/*:refs/fetched/*")
    git("-c", "advice.detachedHead=false", "checkout", "--quiet", commit)
    if (folder / ".gitmodules").is_file():
        git("submodule", "--quiet", "update", "--init", "--recursive")


def _archive(top: Path, stem: str) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for path in sorted(_files(top), key=lambda path: path.relative_to(top).as_posix()):
            name = f"{stem}/{path.relative_to(top).as_posix()}"
            if path.is_symlink():
                link = _member(name)
                link.type, link.linkname = tarfile.SYMTYPE, str(path.readlink())
                archive.addfile(link)
            else:
                executable = bool(path.stat().st_mode & 0o100)
                _add(archive, name, path.read_bytes(), executable=executable)
        if not (top / "PKG-INFO").exists():
            name, _, version = stem.rpartition("-")
            text = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
            _add(archive, f"{stem}/PKG-INFO", text.encode())
    return buffer.getvalue()


def _files(top: Path) -> Iterator[Path]:
    """Yield files and links below a folder, git's own left out."""
    for path in top.rglob("*"):
        if ".git" not in path.relative_to(top).parts and (path.is_symlink() or path.is_file()):
            yield path


def _add(archive: tarfile.TarFile, name: str, content: bytes, *, executable: bool = False) -> None:
    member = _member(name)
    member.size, member.mode = len(content), 0o755 if executable else 0o644
    archive.addfile(member, io.BytesIO(content))


def _member(name: str) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.mtime = EPOCH_SECONDS
    return member

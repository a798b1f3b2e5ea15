"""Makes source archives of git repositories, the same bytes for one commit on every machine."""

from __future__ import annotations

import io
import tarfile
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

from layersmith import process
from layersmith.base.zips import EPOCH_SECONDS
from layersmith.errors import BuildError

if TYPE_CHECKING:
    from collections.abc import Iterator

TIMEOUT = 600.0
"""Seconds that one call of git may take."""

SUFFIX = ".tar"
"""Not compressed: two versions of zlib may write other bytes."""


def pack(url: str, stem: str) -> bytes:
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
            ["git", "-C", folder, *same, *words], env={"GIT_TERMINAL_PROMPT": "0"}, timeout=TIMEOUT
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

"""The lock of a target: what it holds, how it is written, and what a new one changes.

A lock is a requirements file that pip and uv can read: every distribution with its version and the
hash of the one file that the target uses. It names no index.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from packaging.version import InvalidVersion, Version

from layersmith import cache
from layersmith.errors import LockError
from layersmith.recipes import apply

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping
    from pathlib import Path

FORMAT = 1
"""Version of this file format; a reader refuses any other."""

CONFIG = "layers.yaml"
"""What ``via`` says of a distribution that the layer itself asks for."""

_PIN = re.compile(r"(?P<name>[a-z0-9]+(?:-[a-z0-9]+)*)==(?P<version>[0-9A-Za-z.!+_-]+) \\")
_HASH = re.compile(r"    --hash=sha256:(?P<sha256>[0-9a-f]{64})")
_NOTE = re.compile(r"    # (?P<key>file|commit|publisher|via|build|source) (?P<value>\S.*)")
_FILE = re.compile(r"(?P<filename>\S+) sha256:(?P<sha256>[0-9a-f]{64})")
_PACKAGE = re.compile(r"# package (?P<name>[a-z0-9]+(?:-[a-z0-9]+)*)")
_MEMBER = re.compile(r"# local (?P<name>[a-z0-9]+(?:-[a-z0-9]+)*) (?P<folder>\S.*)")
_HEAD = re.compile(r"# (?P<key>[a-z-]+): (?P<value>\S+)")


@dataclass(frozen=True)
class LockedFile:
    """A file by its SHA-256 in hex, and its name."""

    sha256: str
    filename: str


@dataclass(frozen=True)
class LockEntry:
    """One distribution of a lock.

    Attributes:
        name: Normalized name.
        version: Exact version.
        sha256: SHA-256 of the file that the target uses, in hex.
        filename: Name of that file, a wheel or an sdist.
        via: Normalized names of what asks for it; ``layers.yaml`` for the layer itself.
        build: What builds it, as ``name==version`` and mostly with ``--hash=``: the compiler, if
            there is one, and the build requirements; empty for wheels as they are.
        source: The sdist from which a part of the wheel is made anew (``lite-blas``), or None.
        commit: Commit of a git requirement, of which the file is an archive.
        publishers: Who published the file, as the index attests it (PEP 740): the kind of the
            publisher and what it is known by, ``GitHub repository=OWNER/NAME workflow=x.yml``.
        index: URL of the index that it was resolved from; not written, a lock names no index.
    """

    name: str
    version: str
    sha256: str
    filename: str
    via: tuple[str, ...] = ()
    build: tuple[str, ...] = ()
    source: LockedFile | None = None
    commit: str = ""
    publishers: tuple[str, ...] = ()
    index: str = field(default="", compare=False)

    @property
    def files(self) -> list[LockedFile]:
        """The files that it names."""
        used = LockedFile(self.sha256, self.filename)
        return [used, self.source] if self.source else [used]

    @property
    def is_wheel(self) -> bool:
        """Whether the file is a wheel; otherwise it is an sdist."""
        return self.filename.endswith(".whl")


@dataclass(frozen=True)
class Lock:
    """What a target is made of.

    Attributes:
        entries: The distributions by name, sorted.
        inputs_digest: SHA-256 of the inputs that it was resolved from, in hex.
        parts: Digest of each input alone, to say which one changed.
        packages: Local packages by normalized name: what builds each, as ``LockEntry.build``.
        members: Local packages that layers.yaml does not list, but what it lists requires through
            a path or workspace source: normalized name to folder, relative to layers.yaml.
    """

    entries: list[LockEntry]
    inputs_digest: str
    parts: Mapping[str, str]
    packages: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    members: Mapping[str, str] = field(default_factory=dict)

    def entry(self, name: str) -> LockEntry | None:
        """Return the entry of a distribution, or None."""
        return next((entry for entry in self.entries if entry.name == name), None)


def orphans(lock: Lock, left_out: Collection[str]) -> dict[str, str]:
    """Return what a layer does not need once some distributions are left out of it.

    Args:
        lock: The lock.
        left_out: Normalized names that stay out of the layer.

    Returns:
        Normalized name to the name in ``left_out`` that brought it; those names themselves are
        not in it. A distribution that something kept asks for is none, nor is one without
        ``via``.
    """
    return apply.orphans({entry.name: entry.via for entry in lock.entries}, left_out)


def render(lock: Lock, identifier: str) -> str:
    """Return a lock as it is written."""
    lines = [
        f"# What {identifier} is made of, with the hash of the one file it uses.",
        "# Written by `nox -s lock`; do not edit.",
        f"# format: {FORMAT}",
        f"# inputs: {lock.inputs_digest}",
        *(f"# {key}: {digest}" for key, digest in sorted(lock.parts.items())),
        *(f"# local {name} {folder}" for name, folder in sorted(lock.members.items())),
    ]
    for entry in lock.entries:
        lines.append(f"{entry.name}=={entry.version} \\")
        lines.append(f"    --hash=sha256:{entry.sha256}")
        lines.append(f"    # file {entry.filename}")
        lines += [f"    # commit {entry.commit}"] if entry.commit else []
        lines += [f"    # publisher {who}" for who in entry.publishers]
        lines += [f"    # via {name}" for name in entry.via]
        lines += [f"    # build {pin}" for pin in entry.build]
        if entry.source:
            lines.append(f"    # source {entry.source.filename} sha256:{entry.source.sha256}")
    for name, build in sorted(lock.packages.items()):
        lines.append(f"# package {name}")
        lines += [f"    # build {pin}" for pin in build]
    return "\n".join(lines) + "\n"


def write(lock: Lock, path: Path, identifier: str) -> None:
    """Write a lock whole or not at all."""
    cache.write_text(path, render(lock, identifier))


def read(path: Path) -> Lock:
    """Read a lock.

    Raises:
        LockError: It is missing, damaged or of another format.
    """
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError:
        raise LockError(
            f"{path.name} is not in {path.parent.name}/",
            target=path.stem,
            cause="the target has not been locked",
            hint="run `nox -s lock`",
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise LockError(f"{path} cannot be read: {error}", target=path.stem) from None
    return parse(text, path)


def parse(text: str, path: Path) -> Lock:
    """Read the text of a lock; ``path`` is for messages.

    Raises:
        LockError: The text is not what ``render`` writes.
    """
    lines = list(enumerate(text.splitlines(), start=1))
    head: dict[str, str] = {}
    members: dict[str, str] = {}
    while lines and lines[0][1].startswith("#") and not _PACKAGE.fullmatch(lines[0][1]):
        _, line = lines.pop(0)
        if found := _HEAD.fullmatch(line):
            head[found["key"]] = found["value"]
        elif found := _MEMBER.fullmatch(line):
            members[found["name"]] = found["folder"]
    if head.pop("format", None) != str(FORMAT) or "inputs" not in head:
        raise _damaged(path, 1, f"it is not a lock of format {FORMAT}")
    entries = list(_entries(lines, path))
    return Lock(entries, head.pop("inputs"), head, dict(_packages(lines, path)), members)


def _entries(lines: list[tuple[int, str]], path: Path) -> Iterator[LockEntry]:
    last = ""
    while lines and not _PACKAGE.fullmatch(lines[0][1]):
        number, line = lines.pop(0)
        pin, digest = _PIN.fullmatch(line), _HASH.fullmatch(lines.pop(0)[1] if lines else "")
        if not pin or not digest:
            raise _damaged(path, number, "a pinned version with one SHA-256 is expected")
        if pin["name"] <= last:
            raise _damaged(path, number, f"{pin['name']} is out of order or listed twice")
        last = pin["name"]
        notes = _notes(lines)
        if len(notes["file"]) != 1:
            raise _damaged(path, number, "the name of the file is expected below the hash")
        yield LockEntry(
            name=last,
            version=pin["version"],
            sha256=digest["sha256"],
            filename=notes["file"][0],
            via=tuple(notes["via"]),
            build=tuple(notes["build"]),
            source=_source(notes["source"], path, number),
            commit="".join(notes["commit"]),
            publishers=tuple(notes["publisher"]),
        )


def _source(notes: list[str], path: Path, number: int) -> LockedFile | None:
    if not notes:
        return None
    found = _FILE.fullmatch(notes[0])
    if not found or len(notes) > 1:
        raise _damaged(path, number, "one source with its SHA-256 is expected")
    return LockedFile(found["sha256"], found["filename"])


def _packages(lines: list[tuple[int, str]], path: Path) -> Iterator[tuple[str, tuple[str, ...]]]:
    while lines:
        number, line = lines.pop(0)
        found = _PACKAGE.fullmatch(line)
        if not found:
            raise _damaged(path, number, "a local package is expected")
        yield found["name"], tuple(_notes(lines)["build"])


def _notes(lines: list[tuple[int, str]]) -> dict[str, list[str]]:
    """Take the notes at the beginning of ``lines`` off, by their kind."""
    keys = ("file", "commit", "publisher", "via", "build", "source")
    notes: dict[str, list[str]] = {key: [] for key in keys}
    while lines and (note := _NOTE.fullmatch(lines[0][1])):
        notes[note["key"]].append(note["value"])
        lines.pop(0)
    return notes


def _damaged(path: Path, line: int, what: str) -> LockError:
    return LockError(
        f"{path.name}:{line}: {what}",
        target=path.stem,
        cause="the lock was edited by hand, merged badly or written by another version",
        hint="delete it and run `nox -s lock`",
    )


@dataclass(frozen=True)
class VersionChange:
    """One distribution that differs between two locks.

    Attributes:
        name: Normalized name.
        before: Version in the old lock; None where it is new.
        after: Version in the new lock; None where it is gone.
        builds: Normalized name of what it builds, for a compiler or build requirement.
    """

    name: str
    before: str | None
    after: str | None
    builds: str | None = None

    @property
    def kind(self) -> str:
        """``added``, ``removed``, ``upgraded``, ``downgraded`` or ``file`` (same version).

        1.0 and 1.0.0 are the same version (PEP 440).
        """
        if self.before is None:
            return "added"
        if self.after is None:
            return "removed"
        try:
            before, after = Version(self.before), Version(self.after)
        except InvalidVersion:
            return "file" if self.before == self.after else "upgraded"
        if after > before:
            return "upgraded"
        return "downgraded" if after < before else "file"

    def __str__(self) -> str:
        what = f", builds {self.builds}" if self.builds else ""
        if self.kind == "added":
            return f"+ {self.name} {self.after}{what}"
        if self.kind == "removed":
            return f"- {self.name} {self.before}{what}"
        if self.before == self.after:
            return f"~ {self.name} {self.after}: another file{what}"
        return f"~ {self.name} {self.before} -> {self.after}{what}"


def changes(old: Lock | None, new: Lock) -> list[VersionChange]:
    """Return what differs, by name."""
    before = {entry.name: entry for entry in old.entries} if old else {}
    after = {entry.name: entry for entry in new.entries}
    found = [
        VersionChange(name, _version(before.get(name)), _version(after.get(name)))
        for name in sorted({*before, *after})
        if _key(before.get(name)) != _key(after.get(name))
    ]
    tools, renewed = _tools(old) if old else {}, _tools(new)
    return found + [
        VersionChange(tool, tools.get((built, tool)), renewed.get((built, tool)), built)
        for built, tool in sorted({*tools, *renewed})
        if tools.get((built, tool)) != renewed.get((built, tool))
    ]


def _tools(lock: Lock) -> dict[tuple[str, str], str]:
    """Return the versions of what builds: by what is built, and by the tool's name."""
    built = {**{entry.name: entry.build for entry in lock.entries}, **lock.packages}
    pins = ((who, pin.split(" ", 1)[0].partition("==")) for who in built for pin in built[who])
    return {(who, name): version for who, (name, _, version) in pins}


def _version(entry: LockEntry | None) -> str | None:
    return entry.version if entry else None


def _key(entry: LockEntry | None) -> tuple[str, str] | None:
    return (entry.version, entry.sha256) if entry else None

"""What a new lock changes against the old one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from packaging.version import InvalidVersion, Version

if TYPE_CHECKING:
    from layersmith.lock.document import Lock, LockEntry


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
        """``added``, ``removed``, ``upgraded``, ``downgraded`` or ``file`` (same version)."""
        if self.before is None:
            return "added"
        if self.after is None:
            return "removed"
        if self.before == self.after:
            return "file"
        try:
            return "upgraded" if Version(self.after) > Version(self.before) else "downgraded"
        except InvalidVersion:
            return "upgraded"

    def __str__(self) -> str:
        what = f", builds {self.builds}" if self.builds else ""
        if self.kind == "added":
            return f"+ {self.name} {self.after}{what}"
        if self.kind == "removed":
            return f"- {self.name} {self.before}{what}"
        if self.kind == "file":
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

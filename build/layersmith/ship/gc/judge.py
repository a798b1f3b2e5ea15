"""Judges which old versions, marks and kept files may go. Pure: nothing is read or deleted.

``Case`` judges a target in one region. ``together`` holds against it what all regions say: what
stays in one region stays in all, so that a rollback finds the same versions everywhere.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from layersmith.base.versions import order

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from layersmith.ship.pointers.interface import Place
    from layersmith.ship.publish.models import Held, KeptFile, Version


@dataclass(frozen=True)
class KeepRule:
    """What is kept whether it is used or not.

    Attributes:
        keep: Newest semvers of a target, yanked ones not counted; at least 1.
        days: Days for which a version is kept after it was made.
        now: The present, with a time zone.
    """

    keep: int
    days: int
    now: datetime


@dataclass(frozen=True)
class Judgement:
    """What becomes of one version in one region.

    Attributes:
        region: Where.
        place: Layer, runtime and architecture.
        name: The layer's name in AWS.
        number: Its integer version.
        semver: Its semantic version.
        size: Bytes of its zip, 0 where it was not asked for.
        kept: Why it stays; empty where it goes.
    """

    region: str
    place: Place
    name: str
    number: int
    semver: str
    size: int
    kept: str


@dataclass(frozen=True)
class Case:
    """What is known of one target in one region.

    Attributes:
        held: What the region holds.
        current: The version in layers.yaml; empty where it has not got the target.
        users: ARN of a layer version -> who uses it, such as ``resize:7 (alias live)``.
        rule: What is kept anyway.
    """

    held: Held
    current: str
    users: Mapping[str, Sequence[str]]
    rule: KeepRule

    def judge(self) -> list[tuple[Version, str]]:
        """Return every released version with the reason why it stays, or with nothing."""
        released = [version for version in self.held.versions if version.semver]
        newest = self._newest(released)
        return [(version, self._reason(version, newest)) for version in released]

    def _newest(self, released: Sequence[Version]) -> set[str]:
        semvers = {str(v.semver) for v in released} - set(self.held.pointers.yanked)
        return set(sorted(semvers, key=order)[-self.rule.keep :])

    def _reason(self, version: Version, newest: set[str]) -> str:
        semver = str(version.semver)
        if self.users.get(version.arn):
            return f"used by {', '.join(self.users[version.arn])}"
        if version.arn == self.held.pointers.latest:
            return "latest points to it"
        if version.number == self.held.top:
            return "kept: the highest version number must stay visible"
        if semver == self.current:
            return "it is the version in layers.yaml"
        if semver in newest:
            return f"one of the newest {self.rule.keep}"
        age = self.rule.now - _made(version)
        if age < timedelta(days=self.rule.days) and semver not in self.held.pointers.yanked:
            return f"only {age.days} days old"
        return ""


def _made(version: Version) -> datetime:
    """Return when a version was made; Lambda writes 2026-11-21T20:03:20.123+0000."""
    return datetime.strptime(version.created, "%Y-%m-%dT%H:%M:%S.%f%z")


@dataclass(frozen=True)
class RegionLook:
    """What was found in one region, and what becomes of it.

    Attributes:
        versions: Every released version.
        marks: Marks of yanked versions that the region has not got: target and semver.
        files: Kept zips, manifests and bills of materials: target, semver and file.
    """

    versions: list[Judgement] = field(default_factory=list)
    marks: list[tuple[Place, str]] = field(default_factory=list)
    files: list[tuple[Place, str, KeptFile]] = field(default_factory=list)

    @property
    def anything(self) -> bool:
        """Whether anything is to be deleted."""
        return bool(self.marks or self.files or any(not one.kept for one in self.versions))


def together(
    looks: Mapping[str, RegionLook],
    unread: Mapping[str, Collection[str]],
    current: Mapping[Place, str],
    rule: KeepRule,
) -> dict[str, RegionLook]:
    """Return what becomes of everything once all regions are heard.

    Args:
        looks: Region -> what it says for itself.
        unread: Layer -> regions that may hold it and could not be read: nothing of it goes.
        current: Target -> its version in layers.yaml.
        rule: What is kept anyway.

    Returns:
        Region -> its versions, and those marks and files that go.
    """
    kept: dict[tuple[str, str], str] = {}
    for region, look in looks.items():
        for one in look.versions:
            if one.kept:
                kept.setdefault((one.place[0], one.semver), f"kept in {region}: {one.kept}")
    named = {(place[0], semver) for place, semver in current.items()}
    held = {(one.place[0], one.semver) for look in looks.values() for one in look.versions}

    def judged(one: Judgement) -> Judgement:
        layer = one.place[0]
        down = unread.get(layer)
        why = f"{', '.join(sorted(down))} could not be read" if down else ""
        return dataclasses.replace(one, kept=one.kept or why or kept.get((layer, one.semver), ""))

    def needless(layer: str, semver: str, there: Collection[tuple[str, str]]) -> bool:
        return layer not in unread and (layer, semver) not in {*named, *there}

    def files(look: RegionLook) -> Iterator[tuple[Place, str, KeptFile]]:
        for place, semver, file in look.files:
            old = rule.now - file.modified >= timedelta(days=rule.days)
            if old and needless(place[0], semver, kept):
                yield place, semver, file

    return {
        region: RegionLook(
            [judged(one) for one in look.versions],
            [(place, semver) for place, semver in look.marks if needless(place[0], semver, held)],
            list(files(look)),
        )
        for region, look in looks.items()
    }

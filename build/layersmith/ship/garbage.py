"""Which old versions may go. Pure: it judges what was read."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from layersmith.ship.labels import order

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from layersmith.ship.model import Held, Version


@dataclass(frozen=True)
class Rule:
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
    place: tuple[str, str, str]
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
        current: The version in layers.yaml.
        users: ARN of a layer version -> who uses it, such as ``resize:7 (alias live)``.
        rule: What is kept anyway.
    """

    held: Held
    current: str
    users: Mapping[str, Sequence[str]]
    rule: Rule

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
            return "it is the last one: its number must stay visible"
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

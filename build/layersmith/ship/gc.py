"""Removes old versions: reads what regions hold and who uses it, judges it, deletes what may go.

``Case`` judges a target in one region. ``together`` holds against it what all regions say: what
stays in one region stays in all, so that a rollback finds the same versions everywhere. Judging
is pure: nothing is read or deleted.
"""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from layersmith import console
from layersmith.base.versions import order
from layersmith.ship import pointers
from layersmith.ship.aws import buckets, failures, labels
from layersmith.ship.publish import lease, observed
from layersmith.ship.publish.models import YANKED, Held

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from types_boto3_lambda.client import LambdaClient

    from layersmith.ship.aws.accounts import Aws
    from layersmith.ship.publish.models import KeptFile, Place, Version
    from layersmith.ship.publish.site import Reach


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


def look(reach: Reach, region: str, rule: KeepRule) -> RegionLook:
    """Judge every released version in one region by what this region says.

    Args:
        reach: What is judged.
        region: The region.
        rule: What is kept anyway.

    Returns:
        The judgements, every mark of a yanked version that is gone, and every kept file.

    Raises:
        AwsFailure: A call failed.
    """
    aws = reach.site.aws[region]
    places = reach.where[region]
    names = {place: labels.layer_name(*place) for place in places}
    used = users(aws, region, set(names.values()))
    found = RegionLook(files=list(_files(reach, region)))
    for place in places:
        with failures.explained(region, "lambda"):
            versions = tuple(observed.list_versions(aws.lambda_(region), names[place]))
        held = Held(versions, pointers.read(aws, region, place))
        case = Case(held, reach.versions.get(place, ""), used, rule)
        found.versions.extend(
            Judgement(region, place, names[place], one.number, str(one.semver), 0, kept)
            for one, kept in case.judge()
        )
        there = {version.semver for version in versions}
        found.marks.extend((place, v) for v in held.pointers.yanked if v not in there)
    return found


def clean(reach: Reach, region: str, decided: RegionLook, rule: KeepRule) -> RegionLook:
    """Look anew under the region's lock, delete what may go, and return what became of it.

    A pointer goes before its version: a killed run leaves a version that the next run deletes,
    never a pointer to nothing. Files go last.

    Args:
        reach: What is judged.
        region: The region.
        decided: What all regions together said.
        rule: What is kept anyway.

    Raises:
        AwsFailure: A call failed, or another run works in the region.
    """
    site, aws = reach.site, reach.site.aws[region]
    bucket = buckets.ensure(aws, site.stack, region)
    with lease.held(aws, region, bucket, wait=site.lock_wait, owner=site.owner) as lock:
        now = {(one.place, one.number): one for one in look(reach, region, rule).versions}
        done: list[Judgement] = []
        for one in decided.versions:
            fresh = now.pop((one.place, one.number), None)
            if fresh is None:
                continue
            done.append(dataclasses.replace(one, kept=one.kept or fresh.kept))
            if done[-1].kept:
                continue
            lock.check()
            _delete(aws, region, one)
            # At once: a run that ends early has told what it did.
            console.info(f"{region:<15} {one.name}: deleted {one.number} ({one.semver})")
        # Published since: it is for the next run.
        done += [
            dataclasses.replace(one, kept=one.kept or "only just there") for one in now.values()
        ]
        held = {(one.place[0], one.semver) for one in done if one.kept}
        for place, semver in decided.marks:
            if (place[0], semver) not in held:
                pointers.remove(aws, region, place, f"{YANKED}{semver}")
        files = [one for one in decided.files if (one[0][0], one[1]) not in held]
        for _, _, file in files:
            lock.check()
            with failures.explained(region, "s3"):
                aws.s3(region).delete_object(Bucket=bucket, Key=file.key)
            console.info(f"{region:<15} deleted {file.key}")
    return RegionLook(done, files=files)


def _delete(aws: Aws, region: str, one: Judgement) -> None:
    pointers.remove(aws, region, one.place, one.semver)
    with failures.explained(region, "lambda"):
        aws.lambda_(region).delete_layer_version(LayerName=one.name, VersionNumber=one.number)
    pointers.remove(aws, region, one.place, f"{YANKED}{one.semver}")


def _files(reach: Reach, region: str) -> Iterator[tuple[Place, str, KeptFile]]:
    """The files in the region's bucket that belong to a target of the reach."""
    aws = reach.site.aws[region]
    bucket = buckets.artifact_bucket(reach.site.stack, aws.account(region), region)
    places = {place for there in reach.where.values() for place in there}
    for file in observed.list_kept(aws, region, bucket) or ():
        layer, _, rest = file.key.removeprefix(buckets.ARTIFACTS).partition("/")
        semver, _, name = rest.partition("/")
        for place in places:
            if place[0] == layer and name.startswith("-".join((layer, semver, *place[1:])) + "."):
                yield place, semver, file


def users(aws: Aws, region: str, names: Collection[str]) -> dict[str, list[str]]:
    """Return ARN of a layer version -> the functions that use it, their versions and aliases.

    Args:
        aws: Clients of the account; other accounts that a layer is shared with cannot be seen.
        region: Where.
        names: Names of layers in AWS that matter.

    Raises:
        AwsFailure: A call failed; nothing may be deleted then.
    """
    client = aws.lambda_(region)
    found: dict[str, list[str]] = defaultdict(list)
    aliases: dict[str, dict[str, list[str]]] = {}
    with failures.explained(region, "lambda"):
        for function in _functions(client):
            arns = [layer["Arn"] for layer in function.get("Layers", ())]
            ours = [arn for arn in arns if arn.split(":")[6] in names]
            if not ours:
                continue
            name, version = function["FunctionName"], function["Version"]
            if name not in aliases:
                aliases[name] = _aliases(client, name)
            called = aliases[name].get(version)
            said = f"{name}:{version}" + (f" (alias {', '.join(called)})" if called else "")
            for arn in ours:
                found[arn].append(said)
    return dict(found)


def _functions(client: LambdaClient) -> list[Any]:
    pages = client.get_paginator("list_functions").paginate(FunctionVersion="ALL")
    return [function for page in pages for function in page["Functions"]]


def _aliases(client: LambdaClient, function: str) -> dict[str, list[str]]:
    """Return version -> aliases that send traffic to it, weighted ones among them."""
    found: dict[str, list[str]] = defaultdict(list)
    for page in client.get_paginator("list_aliases").paginate(FunctionName=function):
        for alias in page["Aliases"]:
            weighted = alias.get("RoutingConfig", {}).get("AdditionalVersionWeights", {})
            for version in (alias["FunctionVersion"], *weighted):
                found[version].append(alias["Name"])
    return dict(found)

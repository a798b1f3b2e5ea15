"""Garbage collection: judges which old versions may go, reads who uses them, deletes the rest.

The judgement is pure (``Case``). ``users`` reads the functions of an account, ``look`` judges a
region, and ``clean`` does so again under the region's lock and deletes.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from layersmith.base.versions import order
from layersmith.ship import pointers
from layersmith.ship.aws import buckets, failures, labels
from layersmith.ship.pointers.interface import YANKED
from layersmith.ship.publish import lease, observed
from layersmith.ship.publish.models import Held

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from types_boto3_lambda.client import LambdaClient

    from layersmith.plan import Target
    from layersmith.ship.aws.clients import Aws
    from layersmith.ship.publish.models import Version
    from layersmith.ship.publish.site import Site


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


def look(
    site: Site, region: str, targets: Sequence[Target], rule: KeepRule
) -> tuple[list[Judgement], list[tuple[tuple[str, str, str], str]]]:
    """Judge every released version of the targets in one region.

    Args:
        site: Where.
        region: The region.
        targets: The targets.
        rule: What is kept anyway.

    Returns:
        The judgements, and the marks of yanked versions that are gone, as place and name.

    Raises:
        AwsFailure: A call failed.
    """
    aws = site.aws[region]
    names = {t.identifier: labels.layer_name(*place_of(t)) for t in targets}
    used = users(aws, region, set(names.values()))
    found: list[Judgement] = []
    stale: list[tuple[tuple[str, str, str], str]] = []
    for target in targets:
        place, name = place_of(target), names[target.identifier]
        with failures.explained(region, "lambda"):
            versions = tuple(observed.list_versions(aws.lambda_(region), name))
        held = Held(versions, pointers.read(aws, region, place))
        for version, kept in Case(held, target.version, used, rule).judge():
            semver = str(version.semver)
            found.append(Judgement(region, place, name, version.number, semver, 0, kept))
        there = {version.semver for version in versions}
        stale += [(place, f"{YANKED}{v}") for v in held.pointers.yanked if v not in there]
    return found, stale


def clean(site: Site, region: str, targets: Sequence[Target], rule: KeepRule) -> list[Judgement]:
    """Judge anew under the region's lock, delete what may go, and return the judgements.

    A pointer goes before its version: a killed run leaves a version that the next run deletes,
    never a pointer to nothing.

    Raises:
        AwsFailure: A call failed, or another run works in the region.
    """
    aws = site.aws[region]
    bucket = buckets.ensure(aws, site.stack, region)
    with lease.held(aws, region, bucket, wait=site.lock_wait, owner=site.owner) as lock:
        found, stale = look(site, region, targets, rule)
        for one in found:
            if one.kept:
                continue
            lock.check()
            pointers.remove(aws, region, one.place, one.semver)
            with failures.explained(region, "lambda"):
                aws.lambda_(region).delete_layer_version(
                    LayerName=one.name, VersionNumber=one.number
                )
            pointers.remove(aws, region, one.place, f"{YANKED}{one.semver}")
        for place, name in stale:
            pointers.remove(aws, region, place, name)
    return found


def place_of(target: Target) -> tuple[str, str, str]:
    """Return layer, runtime and architecture of a target."""
    return (target.layer, target.runtime.name, target.architecture)


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

"""Deletes versions that nothing needs any more, under the lock that publishing takes, too."""

from __future__ import annotations

from typing import TYPE_CHECKING

from layersmith.ship import buckets, failures, garbage, labels, lease, pointers, reader, usage
from layersmith.ship.model import Held

if TYPE_CHECKING:
    from collections.abc import Sequence

    from layersmith.plan import Target
    from layersmith.ship.garbage import Judgement, Rule
    from layersmith.ship.publisher import Site


def look(
    site: Site, region: str, targets: Sequence[Target], rule: Rule
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
    used = usage.users(aws, region, set(names.values()))
    found: list[Judgement] = []
    stale: list[tuple[tuple[str, str, str], str]] = []
    for target in targets:
        place, name = place_of(target), names[target.identifier]
        with failures.explained(region, "lambda"):
            versions = tuple(reader.list_versions(aws.lambda_(region), name))
        held = Held(versions, reader.read_pointers(aws, region, *place))
        for version, kept in garbage.Case(held, target.version, used, rule).judge():
            semver = str(version.semver)
            found.append(garbage.Judgement(region, place, name, version.number, semver, 0, kept))
        there = {version.semver for version in versions}
        stale += [(place, f"{reader.YANKED}{v}") for v in held.pointers.yanked if v not in there]
    return found, stale


def clean(site: Site, region: str, targets: Sequence[Target], rule: Rule) -> list[Judgement]:
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
            lock.renew()
            pointers.remove(aws, region, one.place, one.semver)
            with failures.explained(region, "lambda"):
                aws.lambda_(region).delete_layer_version(
                    LayerName=one.name, VersionNumber=one.number
                )
            pointers.remove(aws, region, one.place, f"{reader.YANKED}{one.semver}")
        for place, name in stale:
            pointers.remove(aws, region, place, name)
    return found


def place_of(target: Target) -> tuple[str, str, str]:
    """Return layer, runtime and architecture of a target."""
    return (target.layer, target.runtime.name, target.architecture)

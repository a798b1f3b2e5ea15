"""Moves of pointers: promote, rollback and yank decide on them, and they are carried out.

What decides is pure: the pointers as they were read -> the moves, and what stands in the way.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from layersmith import console
from layersmith.base.versions import is_prerelease, order
from layersmith.errors import ShipError
from layersmith.ship import pointers
from layersmith.ship.arns import ObservedPointers
from layersmith.ship.aws import failures, labels
from layersmith.ship.publish.models import LATEST, YANKED, RegionFinding
from layersmith.ship.publish.observed import in_parallel, list_versions

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from layersmith.ship.aws.accounts import Aws
    from layersmith.ship.publish.models import Place, Pointers, Quarantined
    from layersmith.ship.publish.site import Site


@dataclass(frozen=True)
class Move:
    """One pointer that is written or removed.

    Attributes:
        region: Where.
        place: Layer, runtime and architecture.
        name: ``latest`` or ``yanked/<semver>``.
        value: What is written; None removes the pointer.
        detail: For people: from where to where.
    """

    region: str
    place: Place
    name: str
    value: str | None
    detail: str


Moves = tuple[list[Move], list[RegionFinding]]


def promote(observed: Sequence[ObservedPointers], semver: str, *, pre: bool = False) -> Moves:
    """Return the moves of ``latest`` to a version, and the places where it cannot go there.

    Args:
        observed: The pointers of the layer.
        semver: Where to.
        pre: Whether a pre-release may be ``latest``.
    """
    moves: list[Move] = []
    findings: list[RegionFinding] = []
    for one in observed:
        has = one.pointers
        if semver in has.yanked:
            why = f"yanked: {has.yanked[semver]}"
            hint = "take it back first: `yank --undo`"
            findings.append(_finding(one, (semver, why, hint)))
        elif is_prerelease(semver) and not pre:
            findings.append(_finding(one, (semver, "a pre-release", "pass --pre to promote it")))
        elif semver not in has.versions:
            if not one.wanted:
                continue
            known = ", ".join(sorted(has.versions.keys() - one.gone, key=order)) or "nothing"
            hint = console.as_called(
                "name one that is there, or `python build/layers.py publish apply` with a "
                f"layers.yaml that has {semver}"
            )
            findings.append(_finding(one, (semver, f"not published; there is {known}", hint)))
        elif semver in one.gone:
            found = f"deleted: {has.versions[semver]} is not there"
            hint = "name another version, or release its content again under a new one"
            findings.append(_finding(one, (semver, found, hint)))
        else:
            moves += _to(one, semver)
    return moves, findings


def rollback(
    observed: Sequence[ObservedPointers],
    semver: str | None,
    *,
    unread: Sequence[ObservedPointers] = (),
    pre: bool = False,
) -> Moves:
    """Return the moves of ``latest`` back.

    Args:
        observed: The pointers of the layer.
        semver: Where to; None is the version that ``goal`` finds.
        unread: What is known of regions that could not be read.
        pre: Whether a pre-release will do.
    """
    if semver is not None:
        return promote(observed, semver, pre=pre)
    found = goal([*observed, *unread], pre=pre)
    back: list[ObservedPointers] = []
    findings: list[RegionFinding] = []
    for one in observed:
        current = one.pointers.latest_semver
        if current is None or found is None:
            if not one.wanted:
                continue
            said = f"latest is {one.pointers.latest_named}"
            hint = "name a version: `rollback LAYER --to SEMVER`"
            findings.append(_finding(one, ("an older version", said, hint)))
        elif order(current) > order(found):
            back.append(one)
    moves, more = promote(back, found, pre=pre) if found else ([], [])
    return moves, findings + more


def goal(observed: Sequence[ObservedPointers], *, pre: bool = False) -> str | None:
    """Return the one version to roll back to everywhere; None where there is none.

    It is the highest version below the newest ``latest`` of all regions that is not yanked and,
    without ``pre``, not a pre-release: one that every place has which has that newest version, if
    there is one. A region that was moved already does not change it, so that a run that failed in
    one region can be run again; nor does a runtime whose releases ended before.
    """
    newest = max(
        (one.pointers.latest_semver for one in observed if one.pointers.latest_semver),
        key=order,
        default=None,
    )
    if newest is None:
        return None
    yanked = {version for one in observed for version in one.pointers.yanked}
    places = [_usable(one, pre=pre) - yanked for one in observed if newest in one.pointers.versions]
    lower = [
        below for usable in places if (below := {v for v in usable if order(v) < order(newest)})
    ]
    everywhere = set.intersection(*lower) if lower else set()
    return max(everywhere or set().union(*lower), key=order, default=None)


def yank(
    observed: Sequence[ObservedPointers], semver: str, reason: str, *, pre: bool = False
) -> Moves:
    """Return the moves that withdraw a version.

    It is marked, and ``latest`` moves off it, to the highest version that is left, which without
    ``pre`` is not a pre-release. The pointer under its own semver stays, so that stacks that pin it
    can still be deployed. A target of layers.yaml that has not got the version is marked, too, so
    that a region that catches up later does not make it ``latest``.
    """
    if not _known(observed, semver):
        return [], _nowhere(observed, semver)
    moves: list[Move] = []
    for one in observed:
        has = one.pointers
        arn = has.versions.get(semver)
        if arn is None and not one.wanted:
            continue
        if has.yanked.get(semver) != reason:
            name = f"{YANKED}{semver}"
            moves.append(Move(one.region, _place(one), name, reason, f"{semver}: {reason}"))
        if arn and has.latest == arn:
            moves += _off(one, semver, pre=pre)
    return moves, []


def undo_yank(observed: Sequence[ObservedPointers], semver: str) -> Moves:
    """Return the moves that take a withdrawal back; ``latest`` stays where it is."""
    moves = [
        Move(one.region, _place(one), f"{YANKED}{semver}", None, f"{semver} is no longer yanked")
        for one in observed
        if semver in one.pointers.yanked
    ]
    return moves, [] if _known(observed, semver) else _nowhere(observed, semver)


def _off(one: ObservedPointers, semver: str, *, pre: bool) -> list[Move]:
    left = max(_usable(one, pre=pre) - {semver}, key=order, default=None)
    if left:
        return _to(one, left)
    detail = f"latest: {semver} -> nothing, no other release is left"
    return [Move(one.region, _place(one), LATEST, None, detail)]


def _to(one: ObservedPointers, semver: str) -> list[Move]:
    arn = one.pointers.versions[semver]
    if one.pointers.latest == arn:
        return []
    was = one.pointers.latest_named
    return [Move(one.region, _place(one), LATEST, arn, f"latest: {was} -> {semver}")]


def _usable(one: ObservedPointers, *, pre: bool) -> set[str]:
    """The versions that ``latest`` may be moved to."""
    has = one.pointers
    known = {semver for semver in has.versions if pre or not is_prerelease(semver)}
    return known - set(has.yanked) - one.gone


def _known(observed: Sequence[ObservedPointers], semver: str) -> bool:
    return any(semver in one.pointers.versions for one in observed)


def _nowhere(observed: Sequence[ObservedPointers], semver: str) -> list[RegionFinding]:
    hint = console.as_called(
        "check the version; `python build/layers.py arn` lists what is published"
    )
    return [_finding(one, (semver, "not published", hint)) for one in observed]


def _place(one: ObservedPointers) -> Place:
    return (one.layer, one.runtime, one.architecture)


def _finding(one: ObservedPointers, said: tuple[str, str, str]) -> RegionFinding:
    target = f"{one.layer}-{one.runtime}-{one.architecture}"
    return RegionFinding(one.region, target, "pointer latest", *said)


def confirm(count: int, where: str) -> None:
    """Ask whether the steps shall be done.

    Args:
        count: How many there are.
        where: The accounts, for people.

    Raises:
        ShipError: The answer is no, or there is no terminal to ask on.
    """
    if not console.confirm(f"Do these {count} steps in {where}? [y/N] "):
        raise ShipError("not confirmed, nothing was done")


def read(
    site: Site,
    where: Mapping[str, Sequence[Place]],
    wanted: Collection[tuple[str, Place]],
    *,
    versions: bool = False,
) -> tuple[list[ObservedPointers], list[Quarantined]]:
    """Read the pointers of targets, and return the regions that could not be read.

    Args:
        site: Where.
        where: Region -> its targets.
        wanted: Those that layers.yaml has.
        versions: Whether to look, too, whether the layer versions that they name are there.

    Raises:
        AwsFailure: It concerns the whole run, such as expired credentials.
    """

    def one(region: str) -> list[ObservedPointers]:
        found = []
        for place in where[region]:
            aws = site.aws[region]
            has = pointers.read(aws, region, place)
            gone = _gone(aws, region, place, has) if versions else frozenset[str]()
            mine = (region, place) in wanted
            found.append(ObservedPointers(*place, region, has, wanted=mine, gone=gone))
        return found

    done, failed = in_parallel(one, list(where), workers=site.workers)
    return [observed for found in done.values() for observed in found], failed


def _gone(aws: Aws, region: str, place: Place, has: Pointers) -> frozenset[str]:
    """Return the versions whose pointer names a layer version that is not there."""
    try:
        with failures.explained(region, "lambda"):
            listed = list_versions(aws.lambda_(region), labels.layer_name(*place))
    except failures.AwsFailure as failure:
        if failure.kind in failures.OF_THE_RUN:
            raise
        # Parameters are all that a move needs: a rollback does not wait for Lambda.
        console.warn(f"whether the layer versions are there was not looked at: {failure.line}")
        return frozenset()
    there = {version.arn for version in listed}
    return frozenset(semver for semver, arn in has.versions.items() if arn not in there)


def carry_out(site: Site, moves: Sequence[Move]) -> tuple[list[Move], list[Quarantined]]:
    """Write the pointers, each region in its order; return what was done and who failed.

    Raises:
        AwsFailure: It concerns the whole run, such as expired credentials.
    """
    by_region: dict[str, list[Move]] = {}
    for move in moves:
        by_region.setdefault(move.region, []).append(move)
    written: list[Move] = []

    def one(region: str) -> None:
        for move in by_region[region]:
            aws = site.aws[region]
            if move.value is None:
                pointers.remove(aws, region, move.place, move.name)
            else:
                pointers.write(aws, region, move.place, move.name, move.value, note=move.detail)
            written.append(move)
            # At once: a run that ends early has told what it did.
            console.info(f"{region:<15} {'-'.join(move.place)}: {move.name}: {move.detail}")

    _, failed = in_parallel(one, list(by_region), workers=site.workers)
    return [move for move in moves if move in written], failed

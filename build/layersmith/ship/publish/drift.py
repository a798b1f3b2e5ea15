"""Proves region by region that what is published is what was built. Pure: compares, no more."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from layersmith.base.versions import is_prerelease, order
from layersmith.ship.publish.models import Held, RegionFinding

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from layersmith.ship.publish.models import Desired, Grant, RegionState, Version

APPLY = "run `python build/layers.py publish apply`"
BUMP = "a version cannot be changed: bump the layer's version and publish that"


def compare(desired: Sequence[Desired], states: Mapping[str, RegionState]) -> list[RegionFinding]:
    """Return what differs from what is desired, in the order of targets and regions.

    Args:
        desired: The artifacts.
        states: Region -> what it holds; regions that could not be read are left out.
    """
    found: list[RegionFinding] = []
    for want in desired:
        held = {
            region: states[region].held.get(want.identifier, Held())
            for region in want.regions
            if region in states
        }
        for region, has in held.items():
            found += [
                RegionFinding(region, want.identifier, *facts) for facts in _differences(want, has)
            ]
        found += _numbers(want, held)
        found += _latest(want, held)
    return found


Difference = tuple[str, str, str, str]
"""Field, expected, found, hint."""


def _differences(want: Desired, has: Held) -> Iterator[Difference]:
    same_semver = [version for version in has.versions if version.semver == want.version]
    release = has.release(want.version, want.sha256)
    if not same_semver:
        yield "version", want.version, "not published", APPLY
        return
    if release is None:
        yield "sha256", want.sha256, str(same_semver[0].sha256), BUMP
        return
    if len(same_semver) > 1:
        numbers = ", ".join(str(version.number) for version in same_semver)
        yield "version", "published once", f"numbers {numbers}", "see `python build/layers.py gc`"
    yield from _attributes(want, release)
    yield from _pointers(want, has, release)
    for version in has.versions:
        if version.placeholder and version.number < release.number:
            yield "placeholder", "removed", f"number {version.number}", APPLY


def _attributes(want: Desired, release: Version) -> Iterator[Difference]:
    fixed = (
        ("runtimes", want.runtime, ", ".join(release.runtimes)),
        ("architectures", want.architecture, ", ".join(release.architectures)),
        ("description", want.description, release.description),
        ("license", want.license or "none", release.license or "none"),
    )
    for name, expected, real in fixed:
        if expected != real:
            yield name, expected, real or "none", BUMP
    granted = release.grants or frozenset()
    if granted != want.grants:
        yield "permissions", _spell(want.grants), _spell(granted), APPLY
    if release.foreign_statements:
        sids = ", ".join(release.foreign_statements)
        yield "permissions", "none of others", sids, "remove them by hand if they are not yours"


def _pointers(want: Desired, has: Held, release: Version) -> Iterator[Difference]:
    pointers = has.pointers
    if pointers.foreign:
        hint = "move them elsewhere: nothing follows from them, and nothing removes them"
        yield "parameters", "none of others", ", ".join(pointers.foreign), hint
    if pointers.versions.get(want.version) != release.arn:
        real = pointers.versions.get(want.version, "none")
        yield f"pointer {want.version}", release.arn, real, APPLY
    known = {version.arn for version in has.versions}
    if pointers.latest is None and not candidates(want, has):
        return
    if pointers.latest is None:
        yield "pointer latest", "an ARN", "none", "run `python build/layers.py promote`"
    elif pointers.latest not in known:
        hint = "it was deleted: run `python build/layers.py rollback` or `promote`"
        yield "pointer latest", "a version that is there", pointers.latest, hint
    elif pointers.latest_semver in pointers.yanked:
        hint = "run `python build/layers.py rollback`"
        yield "pointer latest", "not a yanked version", str(pointers.latest_semver), hint


def candidates(want: Desired, has: Held) -> set[str]:
    """Return the versions that ``latest`` may name; there are none where all are yanked."""
    known = {want.version, *has.pointers.versions}
    return {one for one in known if not is_prerelease(one)} - set(has.pointers.yanked)


def withdrawn(desired: Sequence[Desired], states: Mapping[str, RegionState]) -> list[str]:
    """Return one line for each target whose version of layers.yaml is yanked, with the reason."""
    found: dict[str, list[str]] = {}
    for want in desired:
        for region in want.regions:
            has = states[region].held.get(want.identifier, Held()) if region in states else Held()
            if reason := has.pointers.yanked.get(want.version):
                rest = (
                    "" if candidates(want, has) else "; no release is left, so there is no `latest`"
                )
                said = f"{want.identifier}: {want.version} is yanked: {reason}{rest}"
                found.setdefault(said, []).append(region)
    return [f"{said} ({', '.join(regions)})" for said, regions in found.items()]


def _numbers(want: Desired, held: Mapping[str, Held]) -> list[RegionFinding]:
    """Where a layer is aligned, name the regions whose number is not that of the most."""
    if not want.align:
        return []
    numbers = {
        region: release.number
        for region, has in held.items()
        if (release := has.release(want.version, want.sha256))
    }
    if len(set(numbers.values())) < 2:
        return []
    usual = Counter(numbers.values()).most_common(1)[0][0]
    hint = "AWS never reuses a number; the next release is aligned again"
    return [
        RegionFinding(region, want.identifier, "number", str(usual), str(number), hint)
        for region, number in numbers.items()
        if number != usual
    ]


def _latest(want: Desired, held: Mapping[str, Held]) -> list[RegionFinding]:
    """Name the regions whose ``latest`` is not that of the most; of as many, the newest."""
    named = {
        region: semver for region, has in held.items() if (semver := has.pointers.latest_semver)
    }
    counts = Counter(named.values())
    usual = max(counts, key=lambda semver: (counts[semver], order(semver)), default="")
    hint = f"run `promote {want.layer} SEMVER`, or `rollback {want.layer}` again"
    return [
        RegionFinding(region, want.identifier, "pointer latest", usual, semver, hint)
        for region, semver in named.items()
        if semver != usual
    ]


def _spell(grants: Iterable[Grant]) -> str:
    return ", ".join(sorted(grant.principal for grant in grants)) or "none"

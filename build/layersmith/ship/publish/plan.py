"""Holds what is desired against what is held. Pure: nothing is read, nothing is called.

``plan`` says what to do about it. ``differences`` proves region by region that what is published is
what was built.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from layersmith import console
from layersmith.base.versions import is_prerelease, order
from layersmith.ship.publish.models import Action, Held, RegionFinding, Step

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from layersmith.ship.publish.models import Desired, Grant, RegionState, Version

APPLY = console.as_called("run `python build/layers.py publish apply`")

NEXT_TIME = "AWS never reuses a number; the next release is aligned again"

BUMP = "a version cannot be changed: bump the layer's version and publish that"

Difference = tuple[str, str, str, str]
"""Field, expected, found, hint."""


@dataclass(frozen=True)
class PlanOptions:
    """What a run may leave out.

    Attributes:
        canary: Start the layer in a function before a pointer names it.
        promote: Move ``latest`` to a version that is published for the first time.
        pre: Move it to a pre-release, too.
    """

    canary: bool = True
    promote: bool = True
    pre: bool = False


@dataclass(frozen=True)
class Plan:
    """What would be done, and what stands in the way.

    Attributes:
        actions: In the order of regions and targets.
        findings: What the actions do not fix.
    """

    actions: list[Action] = field(default_factory=list)
    findings: list[RegionFinding] = field(default_factory=list)


def plan(
    desired: Sequence[Desired], states: Mapping[str, RegionState], options: PlanOptions
) -> Plan:
    """Return the steps that bring every region that could be read to what is desired.

    Args:
        desired: The artifacts.
        states: Region -> what it holds; a region that could not be read is left out.
        options: What to leave out.
    """
    result = Plan()
    for want in desired:
        everywhere = {
            region: states[region].held.get(want.identifier, Held())
            for region in (*want.regions, *want.counted)
            if region in states
        }
        held = {region: has for region, has in everywhere.items() if region in want.regions}
        number = release_number(want, everywhere.values())
        found = [
            one
            for region, has in everywhere.items()
            for one in conflicts(want, region, has, number)
            if one.blocking or region in held
        ]
        result.findings.extend(found)
        if any(one.blocking for one in found):
            # One semver has one content: where a region holds another, no region gets ours.
            continue
        for region, has in held.items():
            result.actions.extend(keep(want, region, states))
            result.actions.extend(steps(want, region, has, number, options))
    busy = {action.region for action in result.actions}
    result.actions[:0] = [
        Action(Step.BUCKET, region, "", detail="encrypted, TLS only")
        for region, state in states.items()
        if region in busy and not state.bucket
    ]
    return result


def keep(want: Desired, region: str, states: Mapping[str, RegionState]) -> list[Action]:
    """Return the step that stores the zip where a region can catch up from: with the pilot.

    Args:
        want: The artifact.
        region: Where the step would be done.
        states: The regions that work; the first of the target's is its pilot.
    """
    pilot = next((name for name in want.regions if name in states), None)
    if region != pilot or want.artifact_key in states[region].kept:
        return []
    return [Action(Step.KEEP, region, want.identifier, detail=want.artifact_key)]


def release_number(want: Desired, held: Iterable[Held]) -> int:
    """Return the integer version a release shall have everywhere; 0 where it does not matter.

    That is the number it already has somewhere, else the first that is free in every region, so
    that no region is ever filled past what another one holds.
    """
    if not want.align:
        return 0
    regions = list(held)
    known = [found.number for has in regions if (found := has.release(want.version, want.sha256))]
    return max(known) if known else max((has.top for has in regions), default=0) + 1


def conflicts(want: Desired, region: str, has: Held, number: int) -> list[RegionFinding]:
    """Return what publishing cannot fix in one region."""
    found: list[RegionFinding] = []
    same = has.release(want.version, want.sha256)
    other = [v for v in has.versions if v.semver == want.version and v.sha256 != want.sha256]
    if other and not same:
        found.append(
            RegionFinding(
                region,
                want.identifier,
                "sha256",
                want.sha256,
                str(other[0].sha256),
                f"{want.version} is published with other bytes: bump the version",
                blocking=True,
            )
        )
    elif number:
        real = same.number if same else has.top + 1
        if real > number or (same and real != number):
            found.append(misaligned(want, region, number, real))
    return found


def misaligned(want: Desired, region: str, expected: int, real: int) -> RegionFinding:
    """Return the finding that a release has another number here than elsewhere."""
    return RegionFinding(
        region,
        want.identifier,
        "number",
        str(expected),
        str(real),
        NEXT_TIME,
    )


def steps(want: Desired, region: str, has: Held, number: int, options: PlanOptions) -> list[Action]:
    """Return the steps for one target in one region, in the order in which they are done."""
    target = want.identifier
    release = has.release(want.version, want.sha256)
    actions: list[Action] = []
    gaps: Sequence[int] = ()
    if release is None:
        first = has.top + 1
        gaps = range(first, max(number, first))
        what = f"{want.version}, {console.megabytes(want.size)}"
        actions += _ranges(Step.FILL, region, target, gaps)
        actions.append(Action(Step.PUBLISH, region, target, max(number, first), what))
    actions += _tidy(want, region, has, gaps, publishing=release is None)
    actions += _permissions(want, region, release)
    return actions + _pointers(want, region, has, release, options)


def _tidy(
    want: Desired, region: str, has: Held, gaps: Iterable[int], *, publishing: bool
) -> list[Action]:
    """Placeholders go once a real version stands above them, so that the counter stays visible."""
    real = max((version.number for version in has.versions if not version.placeholder), default=0)
    above = has.top + 1 if publishing else real
    old = [v.number for v in has.versions if v.placeholder and v.number < above]
    return _ranges(Step.UNFILL, region, want.identifier, [*old, *gaps])


def _ranges(step: Step, region: str, target: str, numbers: Iterable[int]) -> list[Action]:
    """One step for each range of consecutive numbers, not one for each of thousands."""
    found: list[Action] = []
    for number in sorted(numbers):
        if found and found[-1].numbers[-1] == number - 1:
            found[-1] = dataclasses.replace(found[-1], last=number)
        else:
            found.append(Action(step, region, target, number))
    return [dataclasses.replace(one, detail=_span(one.numbers)) for one in found]


def _span(numbers: range) -> str:
    return f"{numbers[0]} to {numbers[-1]}" if len(numbers) > 1 else str(numbers[0])


def _permissions(want: Desired, region: str, release: Version | None) -> list[Action]:
    number = release.number if release else 0
    granted = release.grants or frozenset() if release else frozenset()
    changes = [(Step.GRANT, grant) for grant in sorted(want.grants - granted)]
    changes += [(Step.REVOKE, grant) for grant in sorted(granted - want.grants)]
    return [
        Action(step, region, want.identifier, number, grant.principal, grant)
        for step, grant in changes
    ]


def _pointers(
    want: Desired, region: str, has: Held, release: Version | None, options: PlanOptions
) -> list[Action]:
    """Pointers follow the canary; that the semver's pointer is there means that it passed.

    ``latest`` is moved before the semver's pointer is written: a run that is killed between the
    two finds ``latest`` moved and goes on, while a ``latest`` that was rolled back later, when
    both were written, is left where a person put it.
    """
    pointers = has.pointers
    arn = release.arn if release else None
    number = release.number if release else 0
    if arn and pointers.versions.get(want.version) == arn:
        return []
    actions: list[Action] = []
    proven = arn is not None and arn == pointers.latest
    if options.canary and not proven:
        actions.append(Action(Step.CANARY, region, want.identifier, number, want.version))
    if options.promote and not proven and _newer(want, has, pre=options.pre):
        detail = f"latest: {pointers.latest_named} -> {want.version}"
        actions.append(
            Action(Step.PROMOTE, region, want.identifier, number, detail, semver=want.version)
        )
    actions.append(
        Action(Step.POINT, region, want.identifier, number, want.version, semver=want.version)
    )
    return actions


def _newer(want: Desired, has: Held, *, pre: bool) -> bool:
    """Whether ``latest`` may move: never backwards, and never to what was withdrawn.

    A pre-release takes it only where that is asked for, and never keeps it from a release: 1.0.2
    follows 1.1.0-rc.1 there.
    """
    early = is_prerelease(want.version)
    if want.version in has.pointers.yanked or (early and not pre):
        return False
    current = has.pointers.latest_semver
    if current is None or (is_prerelease(current) and not early):
        return True
    return order(want.version) >= order(current)


def differences(
    desired: Sequence[Desired], states: Mapping[str, RegionState]
) -> list[RegionFinding]:
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
                RegionFinding(region, want.identifier, *facts) for facts in _of_version(want, has)
            ]
        found += _number_differences(want, held)
        found += _latest_differences(want, held)
    return found


def _of_version(want: Desired, has: Held) -> Iterator[Difference]:
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
        hint = console.as_called("see `python build/layers.py gc`")
        yield "version", "published once", f"numbers {numbers}", hint
    yield from _attributes(want, release)
    yield from _pointer_differences(want, has, release)
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


def _pointer_differences(want: Desired, has: Held, release: Version) -> Iterator[Difference]:
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
        hint = console.as_called("run `python build/layers.py promote`")
        yield "pointer latest", "an ARN", "none", hint
    elif pointers.latest not in known:
        # Of a version that was deleted the semver's own pointer tells where to go back from.
        hint = console.as_called(
            "it was deleted: run `python build/layers.py rollback` or `promote`"
            if pointers.latest_semver
            else "layersmith did not write it: run `python build/layers.py promote LAYER SEMVER`"
        )
        yield "pointer latest", "a version that is there", pointers.latest, hint
    elif pointers.latest_semver in pointers.yanked:
        hint = console.as_called("run `python build/layers.py rollback`")
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


def _number_differences(want: Desired, held: Mapping[str, Held]) -> list[RegionFinding]:
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
    return [
        RegionFinding(region, want.identifier, "number", str(usual), str(number), NEXT_TIME)
        for region, number in numbers.items()
        if number != usual
    ]


def _latest_differences(want: Desired, held: Mapping[str, Held]) -> list[RegionFinding]:
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

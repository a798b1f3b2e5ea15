"""Where pointers go: promote, rollback and yank as moves of SSM parameters. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from layersmith.ship.labels import order
from layersmith.ship.model import Finding
from layersmith.ship.pointers import LATEST
from layersmith.ship.reader import YANKED

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from layersmith.ship.index import Observed
    from layersmith.ship.model import Pointers


@dataclass(frozen=True)
class Move:
    """One parameter that is written or removed.

    Attributes:
        region: Where.
        place: Layer, runtime and architecture.
        name: ``latest`` or ``yanked/<semver>``.
        value: What is written; None removes the parameter.
        detail: For people: from where to where.
    """

    region: str
    place: tuple[str, str, str]
    name: str
    value: str | None
    detail: str


Moves = tuple[list[Move], list[Finding]]


def promote(observed: Sequence[Observed], semver: str) -> Moves:
    """Return the moves of ``latest`` to a version, and the places where it is not published."""
    moves: list[Move] = []
    findings: list[Finding] = []
    for one in observed:
        pointers = one.pointers
        if semver in pointers.yanked:
            why = f"yanked: {pointers.yanked[semver]}"
            hint = "take it back first: `yank --undo`"
            findings.append(_finding(one, (semver, why, hint)))
        elif semver not in pointers.versions:
            known = ", ".join(sorted(pointers.versions, key=order)) or "nothing"
            hint = "run `python build/layers.py publish apply`"
            findings.append(_finding(one, (semver, f"not published; there is {known}", hint)))
        else:
            moves += _to(one, semver)
    return moves, findings


def rollback(observed: Sequence[Observed], semver: str | None) -> Moves:
    """Return the moves of ``latest`` back.

    Args:
        observed: The pointers of the layer.
        semver: Where to; None is the highest version below the present one that is not yanked.
    """
    if semver is not None:
        return promote(observed, semver)
    moves: list[Move] = []
    findings: list[Finding] = []
    for one in observed:
        current = one.pointers.latest_semver
        lower = _best(one.pointers, below=current) if current else None
        if lower:
            moves += _to(one, lower)
        else:
            said = f"latest is {current or 'nothing'}"
            hint = "name a version: `rollback LAYER --to SEMVER`"
            findings.append(_finding(one, ("an older version", said, hint)))
    return moves, findings


def yank(observed: Sequence[Observed], semver: str, reason: str) -> Moves:
    """Return the moves that withdraw a version.

    It is marked, and ``latest`` moves off it, to the highest version that is left. The pointer
    under its own semver stays, so that stacks that pin it can still be deployed.
    """
    moves: list[Move] = []
    for one in observed:
        pointers = one.pointers
        arn = pointers.versions.get(semver)
        if arn is None:
            continue
        if pointers.yanked.get(semver) != reason:
            name = f"{YANKED}{semver}"
            moves.append(Move(one.region, _place(one), name, reason, f"{semver}: {reason}"))
        if pointers.latest == arn:
            moves += _off(one, semver)
    return moves, [] if moves or _known(observed, semver) else _nowhere(observed, semver)


def undo_yank(observed: Sequence[Observed], semver: str) -> Moves:
    """Return the moves that take a withdrawal back; ``latest`` stays where it is."""
    moves = [
        Move(one.region, _place(one), f"{YANKED}{semver}", None, f"{semver} is no longer yanked")
        for one in observed
        if semver in one.pointers.yanked
    ]
    return moves, [] if _known(observed, semver) else _nowhere(observed, semver)


def _off(one: Observed, semver: str) -> list[Move]:
    left = _best(one.pointers, without=semver)
    if left:
        return _to(one, left)
    detail = f"latest: {semver} -> nothing, no other version is left"
    return [Move(one.region, _place(one), LATEST, None, detail)]


def _to(one: Observed, semver: str) -> list[Move]:
    arn = one.pointers.versions[semver]
    if one.pointers.latest == arn:
        return []
    was = one.pointers.latest_semver or "nothing"
    return [Move(one.region, _place(one), LATEST, arn, f"latest: {was} -> {semver}")]


def _best(pointers: Pointers, *, below: str | None = None, without: str = "") -> str | None:
    usable: Iterable[str] = (
        version
        for version in pointers.versions
        if version not in pointers.yanked
        and version != without
        and (below is None or order(version) < order(below))
    )
    return max(usable, key=order, default=None)


def _known(observed: Sequence[Observed], semver: str) -> bool:
    return any(semver in one.pointers.versions for one in observed)


def _nowhere(observed: Sequence[Observed], semver: str) -> list[Finding]:
    hint = "check the version; `python build/layers.py arn` shows what is there"
    return [_finding(one, (semver, "not published", hint)) for one in observed]


def _place(one: Observed) -> tuple[str, str, str]:
    return (one.layer, one.runtime, one.architecture)


def _finding(one: Observed, said: tuple[str, str, str]) -> Finding:
    target = f"{one.layer}-{one.runtime}-{one.architecture}"
    return Finding(one.region, target, "pointer latest", *said)

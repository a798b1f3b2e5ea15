"""Where pointers go: promote, rollback and yank as moves of SSM parameters. Pure."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING

from layersmith import console
from layersmith.errors import ShipError
from layersmith.ship import options
from layersmith.ship.aws.labels import order
from layersmith.ship.index import document
from layersmith.ship.pointers import ssm
from layersmith.ship.pointers.ssm import LATEST
from layersmith.ship.publish import observed as reader
from layersmith.ship.publish import progress
from layersmith.ship.publish.models import RegionFinding
from layersmith.ship.publish.observed import YANKED

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterable, Sequence

    from layersmith.plan import Target
    from layersmith.ship.index.document import Observed
    from layersmith.ship.publish.apply import Site
    from layersmith.ship.publish.models import Pointers, Quarantined
    from rich.console import RenderableType


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


Moves = tuple[list[Move], list[RegionFinding]]


def promote(observed: Sequence[Observed], semver: str) -> Moves:
    """Return the moves of ``latest`` to a version, and the places where it is not published."""
    moves: list[Move] = []
    findings: list[RegionFinding] = []
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
    findings: list[RegionFinding] = []
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


def _nowhere(observed: Sequence[Observed], semver: str) -> list[RegionFinding]:
    hint = "check the version; `python build/layers.py arn` shows what is there"
    return [_finding(one, (semver, "not published", hint)) for one in observed]


def _place(one: Observed) -> tuple[str, str, str]:
    return (one.layer, one.runtime, one.architecture)


def _finding(one: Observed, said: tuple[str, str, str]) -> RegionFinding:
    target = f"{one.layer}-{one.runtime}-{one.architecture}"
    return RegionFinding(one.region, target, "pointer latest", *said)


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of a verb that moves pointers."""
    parser.add_argument("name", metavar="LAYER", help="name of the layer")
    options.add_config(parser)
    options.add_regions(parser)
    options.add_account(parser)
    parser.add_argument("--dry-run", action="store_true", help="only print what would be done")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    parser.add_argument("--json", action="store_true", help="print what was done as JSON")


def run(args: argparse.Namespace, decide: Callable[[Sequence[Observed]], Moves]) -> int:
    """Read the layer's pointers, decide, ask, and move them.

    Args:
        args: Parsed options.
        decide: What was read -> the moves, and what stands in the way.

    Raises:
        ShipError: Nobody confirmed.
        AwsFailure: The credentials are missing or expired.
    """
    args.layer = [args.name]
    loaded, targets = options.targets(args)
    where = options.by_region(args, targets)
    site = options.make_site(args, loaded, list(where))
    observed, failed = _read(site, where)
    moves, findings = decide(observed)
    if moves and not args.json:
        console.stdout().print(_table(moves))
    if moves and not args.dry_run:
        if not args.yes:
            confirm(len(moves))
        failed += _move(site, moves)
        again, _ = _read(site, {r: where[r] for r in where if r not in _names(failed)})
        document.refresh(site, again)
    if args.json:
        console.emit_json(_document(args, moves, findings, failed))
    progress.show(findings, failed)
    console.info(f"{len(moves)} pointers {'to move' if args.dry_run else 'moved'}")
    return ShipError.exit_code if findings or failed else 0


def confirm(count: int) -> None:
    """Ask whether the steps shall be done.

    Raises:
        ShipError: The answer is no, or there is no terminal to ask on.
    """
    if not console.confirm(f"Do these {count} steps? [y/N] "):
        raise ShipError("not confirmed, nothing was done")


def _read(site: Site, where: dict[str, list[Target]]) -> tuple[list[Observed], list[Quarantined]]:
    def one(region: str) -> list[Observed]:
        return [
            document.Observed(
                target.layer,
                target.runtime.name,
                target.architecture,
                region,
                reader.read_pointers(
                    site.aws[region],
                    region,
                    target.layer,
                    target.runtime.name,
                    target.architecture,
                ),
            )
            for target in where[region]
        ]

    done, failed = reader.in_parallel(one, list(where), workers=site.workers)
    return [observed for found in done.values() for observed in found], failed


def _move(site: Site, moves: Sequence[Move]) -> list[Quarantined]:
    """Write the parameters, each region in its order; return the regions that failed."""
    by_region: dict[str, list[Move]] = {}
    for move in moves:
        by_region.setdefault(move.region, []).append(move)

    def one(region: str) -> None:
        for move in by_region[region]:
            aws = site.aws[region]
            if move.value is None:
                ssm.remove(aws, region, move.place, move.name)
            else:
                ssm.write(aws, region, move.place, move.name, move.value, note=move.detail)

    _, failed = reader.in_parallel(one, list(by_region), workers=site.workers)
    return failed


def _table(moves: Sequence[Move]) -> RenderableType:
    rows = [(move.region, "-".join(move.place), move.name, move.detail) for move in moves]
    return console.table(("region", "target", "pointer", "move"), rows)


def _names(failed: Sequence[Quarantined]) -> set[str]:
    return {one.region for one in failed}


def _document(
    args: argparse.Namespace,
    moves: Sequence[Move],
    findings: Sequence[RegionFinding],
    failed: Sequence[Quarantined],
) -> dict[str, object]:
    return {
        "format": 1,
        "done": not args.dry_run,
        "moves": [dataclasses.asdict(move) for move in moves],
        "findings": [dataclasses.asdict(one) for one in findings],
        "quarantined": [dataclasses.asdict(one) for one in failed],
    }

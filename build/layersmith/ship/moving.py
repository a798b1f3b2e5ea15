"""Reads pointers, shows where they would go, asks, and moves them: the body of three verbs."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from rich.table import Table

from layersmith import console
from layersmith.errors import ShipError
from layersmith.ship import board, index, listing, options, pointers, reader

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Sequence

    from layersmith.plan import Target
    from layersmith.ship.index import Observed
    from layersmith.ship.model import Finding, Quarantined
    from layersmith.ship.moves import Move, Moves
    from layersmith.ship.publisher import Site


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
        listing.refresh(site, again)
    if args.json:
        console.emit_json(_document(args, moves, findings, failed))
    board.show(findings, failed)
    console.info(f"{len(moves)} pointers {'to move' if args.dry_run else 'moved'}")
    return ShipError.exit_code if findings or failed else 0


def confirm(count: int) -> None:
    """Ask whether the steps shall be done.

    Raises:
        ShipError: The answer is no, or there is nobody to ask.
    """
    if not console.stderr().is_terminal:
        raise ShipError("nobody can be asked here", hint="give --yes to do it without a question")
    console.info(f"Do these {count} steps? [y/N]")
    if input().strip().lower() not in {"y", "yes"}:
        raise ShipError("not confirmed, nothing was done")


def _read(site: Site, where: dict[str, list[Target]]) -> tuple[list[Observed], list[Quarantined]]:
    def one(region: str) -> list[Observed]:
        return [
            index.Observed(
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
                pointers.remove(aws, region, move.place, move.name)
            else:
                pointers.write(aws, region, move.place, move.name, move.value, note=move.detail)

    _, failed = reader.in_parallel(one, list(by_region), workers=site.workers)
    return failed


def _table(moves: Sequence[Move]) -> Table:
    table = Table(box=None, pad_edge=False, show_edge=False)
    for name in ("region", "target", "pointer", "move"):
        table.add_column(name, overflow="fold")
    for move in moves:
        table.add_row(move.region, "-".join(move.place), move.name, move.detail)
    return table


def _names(failed: Sequence[Quarantined]) -> set[str]:
    return {one.region for one in failed}


def _document(
    args: argparse.Namespace,
    moves: Sequence[Move],
    findings: Sequence[Finding],
    failed: Sequence[Quarantined],
) -> dict[str, object]:
    return {
        "format": 1,
        "done": not args.dry_run,
        "moves": [dataclasses.asdict(move) for move in moves],
        "findings": [dataclasses.asdict(one) for one in findings],
        "quarantined": [dataclasses.asdict(one) for one in failed],
    }

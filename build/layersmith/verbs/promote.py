"""``promote``: moves a layer's latest pointer to a version."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from layersmith import console
from layersmith.errors import ShipError
from layersmith.ship import arns
from layersmith.ship.pointers import moves as moving
from layersmith.ship.publish import progress
from layersmith.verbs import options

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Sequence

    from rich.console import RenderableType

    from layersmith.ship.arns import ObservedPointers
    from layersmith.ship.pointers.moves import Move, Moves
    from layersmith.ship.publish.models import Quarantined
    from layersmith.ship.publish.site import Reach, Site

    Recall = Callable[[], list[ObservedPointers]]
    Decide = Callable[[Sequence[ObservedPointers], Recall], Moves]

EPILOG = """\
Moves /layers/LAYER/RUNTIME/ARCHITECTURE/latest to a version that is published in the region. A
region without that version is reported and left unchanged (exit code 9). A pre-release such as
1.3.0-rc.1 needs --pre.

examples:
  python build/layers.py promote chromadb-vector 1.2.0 --dry-run
  python build/layers.py promote chromadb-vector 1.2.0 --region eu-west-1 --yes
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.epilog = EPILOG
    add_moving(parser)
    parser.add_argument("semver", metavar="SEMVER", help="version to point to")


def run(args: argparse.Namespace) -> int:
    """Move the pointers."""
    return move(args, lambda observed, _: moving.promote(observed, args.semver, pre=args.pre))


def add_moving(parser: argparse.ArgumentParser) -> None:
    """Add the options of a verb that moves pointers, as rollback and yank do, too."""
    parser.add_argument("name", metavar="LAYER", help="name of the layer")
    options.add_layer_filters(parser)
    options.add_regions(parser)
    options.add_accounts(parser)
    parser.add_argument("--dry-run", action="store_true", help="only print what would be done")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    parser.add_argument("--pre", action="store_true", help="let a pre-release become `latest`")


def move(args: argparse.Namespace, decide: Decide) -> int:
    """Read the layer's pointers, decide, ask, and move them.

    Args:
        args: Parsed options.
        decide: What was read -> the moves, and what stands in the way. Its second argument
            returns what the index knows of the regions that could not be read.

    Raises:
        ShipError: Nobody confirmed.
        AwsFailure: The credentials are missing or expired.
    """
    args.layer = [args.name]
    reach = options.reach(args)
    site = reach.site
    observed, failed = moving.read(site, reach.where, reach.wanted, versions=True)
    unread = [one.region for one in failed]
    failed += [one for one in reach.unread if one.region not in unread]
    moves, findings = decide(observed, lambda: _recall(site, args.name, unread))
    done: list[Move] = []
    if moves and not args.json:
        console.stdout().print(_table(moves))
    if moves and not args.dry_run:
        if not args.yes:
            moving.confirm(len(moves), site.where)
        done, more = moving.carry_out(site, moves)
        failed += more
    moved = done == moves and not failed
    if not args.dry_run:
        failed += _index(reach, observed, failed, moved=bool(done))
    if args.json:
        console.emit_json(
            {
                "format": 1,
                "accounts": [dataclasses.asdict(one) for one in site.accounts],
                "done": not args.dry_run and moved,
                "moves": [dataclasses.asdict(one) for one in (moves if args.dry_run else done)],
                "findings": [dataclasses.asdict(one) for one in findings],
                "quarantined": [dataclasses.asdict(one) for one in failed],
            }
        )
    progress.show(findings, failed)
    if args.dry_run:
        console.info(f"{console.counted(len(moves), 'pointer')} to move in {site.where}")
    else:
        console.info(
            f"{len(done)} of {console.counted(len(moves), 'pointer')} moved in {site.where}"
        )
    return ShipError.exit_code if findings or failed else 0


def _index(
    reach: Reach,
    observed: Sequence[ObservedPointers],
    failed: Sequence[Quarantined],
    *,
    moved: bool,
) -> list[Quarantined]:
    """Bring the index up to date, also after a run that could not; return what it lacks."""
    gone = {one.region for one in failed}
    unread: list[Quarantined] = []
    if moved:
        left = {region: reach.where[region] for region in reach.where if region not in gone}
        observed, unread = moving.read(reach.site, left, reach.wanted)
    _, stale = arns.refresh(reach.site, observed, unread)
    return [one for one in stale if one.region not in gone]


def _recall(site: Site, layer: str, unread: Sequence[str]) -> list[ObservedPointers]:
    return arns.recall(site, layer, unread) if unread else []


def _table(moves: Sequence[Move]) -> RenderableType:
    rows = [(move.region, "-".join(move.place), move.name, move.detail) for move in moves]
    return console.table(("region", "target", "pointer", "move"), rows)

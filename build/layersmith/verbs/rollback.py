"""``rollback``: moves a layer's latest pointer back."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from layersmith import console
from layersmith.errors import ShipError
from layersmith.ship.pointers import moves
from layersmith.verbs import promote

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from layersmith.ship.arns import ObservedPointers
    from layersmith.ship.pointers.moves import Moves
    from layersmith.verbs.promote import Recall

EPILOG = """\
Moves /layers/LAYER/RUNTIME/ARCHITECTURE/latest to the one given by --to or, the same in all chosen
regions, to the highest release that is not yanked below the newest `latest` of them. So a run that
failed in a region can be run again: regions that were moved stay. Of a region that cannot be read
the index says what it holds. A pre-release is skipped without --pre. Versions and their ARNs stay;
a later `publish apply` leaves the pointer where this put it.

examples:
  python build/layers.py rollback chromadb-vector --dry-run
  python build/layers.py rollback chromadb-vector --to 1.1.0 --yes
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.epilog = EPILOG
    promote.add_moving(parser)
    parser.add_argument("--to", metavar="SEMVER", help="version to point to")


def run(args: argparse.Namespace) -> int:
    """Move the pointers."""
    return promote.move(args, partial(_decide, args))


def _decide(
    args: argparse.Namespace, observed: Sequence[ObservedPointers], recall: Recall
) -> Moves:
    unread: list[ObservedPointers] = []
    if not args.to:
        try:
            unread = recall()
        except ShipError as problem:
            raise ShipError(
                f"the version to go back to is not known: {problem.message}",
                target=args.name,
                cause="a region cannot be read, and the index does not say what it holds",
                hint="name the version: `rollback LAYER --to SEMVER`; nothing was moved",
            ) from problem
    version = args.to or moves.goal([*observed, *unread], pre=args.pre)
    if version:
        console.info(f"rollback to {version}")
    return moves.rollback(observed, args.to, unread=unread, pre=args.pre)

"""``rollback``: moves a layer's latest pointer back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from layersmith.ship.pointers import moves
from layersmith.verbs import promote

if TYPE_CHECKING:
    import argparse

EPILOG = """\
Moves /layers/LAYER/RUNTIME/ARCHITECTURE/latest to the highest version below the present one that
is not yanked, or to the one given. Versions and their ARNs stay; a later `publish apply` leaves
the pointer where this put it.

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
    return promote.move(args, lambda observed: moves.rollback(observed, args.to))

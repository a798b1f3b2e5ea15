"""``promote``: moves a layer's latest pointer to a version."""

from __future__ import annotations

from typing import TYPE_CHECKING

from layersmith.ship.pointers import moves

if TYPE_CHECKING:
    import argparse

EPILOG = """\
Moves /layers/LAYER/RUNTIME/ARCHITECTURE/latest to a version that is published in the region. A
region that has not got it is named and left as it is (exit code 9).

examples:
  python build/layers.py promote chromadb-vector 1.2.0 --dry-run
  python build/layers.py promote chromadb-vector 1.2.0 --region eu-west-1 --yes
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.epilog = EPILOG
    moves.configure(parser)
    parser.add_argument("semver", metavar="SEMVER", help="version to point to")


def run(args: argparse.Namespace) -> int:
    """Move the pointers."""
    return moves.run(args, lambda observed: moves.promote(observed, args.semver))

"""``yank``: withdraws a version: marks it and moves pointers off it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from layersmith.errors import ConfigError
from layersmith.ship.pointers import moves
from layersmith.verbs import promote

if TYPE_CHECKING:
    import argparse

EPILOG = """\
Marks a version as withdrawn, with the reason, and moves `latest` off it. The version itself and
its own pointer stay: functions that use it go on, and stacks that pin it can be deployed. `gc`
deletes it once nothing in the account uses it.

examples:
  python build/layers.py yank chromadb-vector 1.2.0 --reason "loses embeddings" --dry-run
  python build/layers.py yank chromadb-vector 1.2.0 --reason "loses embeddings" --yes
  python build/layers.py yank chromadb-vector 1.2.0 --undo
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.epilog = EPILOG
    promote.add_moving(parser)
    parser.add_argument("semver", metavar="SEMVER", help="version to withdraw")
    parser.add_argument("--reason", help="why, for people")
    parser.add_argument("--undo", action="store_true", help="take the withdrawal back")


def run(args: argparse.Namespace) -> int:
    """Mark the version and move the pointers."""
    if args.undo:
        return promote.move(args, lambda observed, _: moves.undo_yank(observed, args.semver))
    if not args.reason:
        raise ConfigError("a withdrawal needs a reason", hint="pass --reason TEXT")
    return promote.move(
        args, lambda observed, _: moves.yank(observed, args.semver, args.reason, pre=args.pre)
    )

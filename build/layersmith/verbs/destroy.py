"""``destroy``: removes the CloudFormation stacks of a stage."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from layersmith import console
from layersmith.errors import ShipError
from layersmith.stacks import destroy
from layersmith.verbs import options

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from layersmith.stacks.destroy import Kept, Removal
    from layersmith.stacks.stage import Stage

EPILOG = """\
The stacks go in the reverse of their order. Buckets, file systems, repositories and keys outlive
them, and are listed; --delete-data removes these and the stage's SSM parameters too, with
everything in them. It lists who else uses them, and refuses what others use (exit code 9). The
artifact bucket and its key belong to no stage and are always kept. Asks before it begins, unless
--yes is given; what holds data is never covered by --yes alone.

examples:
  python build/layers.py destroy --stage dev
  python build/layers.py destroy --stage dev --yes
  python build/layers.py destroy --stage dev --yes --delete-data
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.epilog = EPILOG
    options.add_stage(parser)
    parser.add_argument("--yes", action="store_true", help="do not ask")
    parser.add_argument("--delete-data", action="store_true", help="also what holds data")
    parser.add_argument("--cloudformation-role", metavar="ARN", help="role of the stacks' changes")
    options.add_account(parser)


def run(args: argparse.Namespace) -> int:
    """Remove the stacks."""
    stage, chosen = options.stage_templates(args)
    aws = options.aws(args)
    kept = destroy.data_of(aws, stage, chosen, delete_data=args.delete_data)
    if kept:
        _show_kept(kept, delete_data=args.delete_data)
    destroy.refuse_used(kept)
    _confirm(args, stage, kept)
    removal = destroy.run(
        aws, stage, chosen, delete_data=args.delete_data, role_arn=args.cloudformation_role
    )
    _print(args, removal)
    return 0


def _confirm(args: argparse.Namespace, stage: Stage, kept: Sequence[Kept]) -> None:
    """Ask for the stage's name; a yes is typed too easily.

    Raises:
        ShipError: The answer differs, or there is no terminal to ask on.
    """
    if args.yes:
        return
    going = [one for one in kept if not one.shared] if args.delete_data else []
    what = f" and {console.counted(len(going), 'resource')} with data" if going else ""
    question = f"type {stage.name!r} to remove its stacks{what}: "
    if not console.confirm(question, expected=stage.name):
        raise ShipError("nothing was removed", cause="the stage's name was not confirmed")


def _print(args: argparse.Namespace, removal: Removal) -> None:
    if args.json:
        console.emit_json(dataclasses.asdict(removal))
        return
    console.success(f"removed: {', '.join(removal.removed) or 'nothing'}")
    for one in removal.deleted:
        console.info(f"deleted with its data: {one.type} {one.id}")
    for one in removal.kept:
        users = f" (used by {', '.join(one.users)})" if one.users else ""
        console.info(f"kept: {one.type} {one.id}{users}")


def _show_kept(listed: Sequence[Kept], *, delete_data: bool) -> None:
    """Show resources that hold data, what becomes of them, and who else uses them."""
    rows = [
        (
            one.stack,
            one.type,
            one.id,
            "deleted with its data" if delete_data and not (one.shared or one.users) else "kept",
            ", ".join(one.users),
        )
        for one in listed
    ]
    headings = ("stack", "type", "name", "", "used by")
    out = console.stderr()
    out.print(console.table(headings, rows, title="what holds data", width=out.width))

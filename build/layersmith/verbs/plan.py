"""`plan`: list the targets."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from layersmith import console
from layersmith.plan import matrix
from layersmith.verbs import _targets

if TYPE_CHECKING:
    import argparse

EPILOG = """\
examples:
  python build/layers.py plan                     every target, one a line
  python build/layers.py plan --layer imaging     the targets of one layer
  python build/layers.py plan --matrix            one line of JSON for GitHub's job matrix
  python build/layers.py plan --matrix --emulate  the same on x86-64 runners with QEMU
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of the verb."""
    parser.epilog = EPILOG
    _targets.add_filters(parser)
    parser.add_argument("--json", action="store_true", help="print the targets as JSON")
    parser.add_argument("--matrix", action="store_true", help="print GitHub's job matrix")
    parser.add_argument(
        "--emulate", action="store_true", help="with --matrix: x86-64 runners for arm64 targets"
    )


def run(args: argparse.Namespace) -> int:
    """Run the verb."""
    _, targets = _targets.chosen(args)
    jobs = matrix(targets, emulate=args.emulate)
    if args.matrix:
        # GitHub reads an output to the end of its line.
        console.emit_text(json.dumps(jobs, separators=(",", ":")))
    elif args.json:
        console.emit_json(jobs["include"])
    else:
        for target in targets:
            console.emit_text(target.identifier)
    return 0

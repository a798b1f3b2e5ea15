"""`plan`: list the targets."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

from layersmith import console, repeats
from layersmith.errors import ConfigError
from layersmith.plan import matrix, rows
from layersmith.report import tables
from layersmith.verbs import options

if TYPE_CHECKING:
    import argparse

EPILOG = """\
examples:
  python build/layers.py plan                     every target, one a line
  python build/layers.py plan imaging             the targets of one layer
  python build/layers.py plan --matrix            one line of JSON for GitHub's job matrix
  python build/layers.py plan --matrix --emulate  the same on x86-64 runners with QEMU
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of the verb."""
    parser.epilog = EPILOG
    options.add_filters(parser)
    parser.add_argument("--matrix", action="store_true", help="print GitHub's job matrix")
    parser.add_argument(
        "--github-output",
        metavar="NAME",
        help="write the job matrix as this output of the running GitHub step",
    )
    parser.add_argument(
        "--emulate",
        action="store_true",
        help="with --matrix or --github-output: x86-64 runners for arm64 targets",
    )


def run(args: argparse.Namespace) -> int:
    """Run the verb."""
    loaded, targets = options.chosen(args, packages=True)
    options.warn_of_deprecated(target.runtime.name for target in targets)
    jobs = matrix(targets, emulate=args.emulate) if args.matrix or args.github_output else None
    line = json.dumps(jobs, separators=(",", ":"))
    if args.github_output:
        _require_step()
        tables.step_outputs(**{args.github_output: line})
    if args.json:
        console.emit_json(jobs if args.matrix else rows(targets, emulate=args.emulate))
    elif args.matrix:
        console.emit_text(line)
    elif not args.github_output:
        for target in targets:
            console.emit_text(target.identifier)
    repeats.allow(loaded.root)
    return 0


def _require_step() -> None:
    if not os.environ.get("GITHUB_OUTPUT"):
        raise ConfigError(
            "--github-output needs a running GitHub step",
            cause="the variable GITHUB_OUTPUT is not set",
            hint="use --matrix to print the job matrix",
        )

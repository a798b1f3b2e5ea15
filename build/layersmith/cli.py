"""The command line: finds the verb, runs it, and turns errors into messages and exit codes.

A verb is a module of layersmith.verbs with ``configure(parser)`` and ``run(args) -> int``. Only
the verb that was called is imported, so that a build never waits for boto3 or a plotting library.
"""

from __future__ import annotations

import argparse
import difflib
import importlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from layersmith import __version__, console, process
from layersmith.errors import EXIT_BUG, EXIT_INTERRUPTED, LayersmithError, ManyErrors

if TYPE_CHECKING:
    from collections.abc import Sequence

VERBS = {
    "plan": "list the targets of layers.yaml; --matrix prints the GitHub job matrix",
    "lock": "resolve requirements into locks/, one hash-pinned file a target",
    "build": "make the zip, manifest and SBOM of every target in dist/",
    "audit": "check built zips against what their runtime can load",
    "schema": "print or check the JSON Schema and the reference of layers.yaml",
    "image": "make a base image for the proofs, without a container registry",
    "smoke": "start built layers in the Lambda runtime and prove that they work",
    "coldstart": "measure how long a layer takes from start to first answer",
    "analyze": "say what a requirement weighs, who pulls it, and whether it fits",
    "slim": "find what a layer can do without, and prove it",
    "diff": "compare two manifests or locks",
    "report": "write the HTML report of everything in dist/",
    "release": "bump a layer's version, check that it fits, write changelog and tag",
    "publish": "plan or apply the publication of layers to every region",
    "verify": "prove region by region that what is published is what was built",
    "arn": "print the ARN of a published layer",
    "promote": "move a layer's latest pointer to a version",
    "rollback": "move a layer's latest pointer back",
    "yank": "withdraw a version: mark it and move pointers off it",
    "gc": "delete old versions that nothing uses",
    "cost": "say what storage, builds and sessions cost",
    "deploy": "create or update the CloudFormation stacks of a stage",
    "destroy": "remove the stacks of a stage; data is kept unless told otherwise",
    "stacks": "list the stacks in their order, and draw the state machines",
    "session": "run work against an ephemeral Chroma server",
    "vectors": "snapshot, restore, compact and check Chroma's data on S3 or in a folder",
}


def main(argv: Sequence[str]) -> int:
    """Run one verb and return the exit code of the process."""
    try:
        with process.ended_by_ctrl_c():
            return _dispatch(list(argv))
    except KeyboardInterrupt:
        console.error("interrupted")
        return EXIT_INTERRUPTED
    except ManyErrors as many:
        for one in many.errors:
            console.error(str(one))
        return many.code
    except LayersmithError as problem:
        console.error(str(problem))
        return problem.exit_code
    except BrokenPipeError:
        # The reader of a pipe went away (`... | head`): nothing is wrong on this side.
        sys.stderr.close()
        return 0


def _dispatch(argv: list[str]) -> int:
    if not argv or argv[0] in {"-h", "--help", "help"}:
        console.emit_text(_overview())
        return 0
    if argv[0] in {"-V", "--version"}:
        console.emit_text(f"layersmith {__version__}")
        return 0
    verb = argv[0]
    if verb not in VERBS:
        close = difflib.get_close_matches(verb, VERBS, n=1)
        console.error(f"unknown verb {verb!r}" + (f"; did you mean {close[0]}?" if close else ""))
        return 2
    module = importlib.import_module(f"layersmith.verbs.{verb}")
    parser = argparse.ArgumentParser(
        prog=f"{Path(sys.argv[0]).name} {verb}",
        description=VERBS[verb],
        formatter_class=argparse.RawDescriptionHelpFormatter,
        parents=[_volume()],
    )
    module.configure(parser)
    # Read first, so that they may also stand behind a sub-verb.
    flags, rest = _volume().parse_known_args(argv[1:])
    args = parser.parse_args(rest, flags)
    console.set_volume(quiet=args.quiet, verbose=args.verbose)
    code = module.run(args)
    return EXIT_BUG if code is None else int(code)


def _volume() -> argparse.ArgumentParser:
    """Return the options of every verb."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--quiet", action="store_true", help="show no progress, only results")
    parser.add_argument(
        "-v", "--verbose", action="store_true", help="also show what child processes print"
    )
    return parser


def _overview() -> str:
    width = max(map(len, VERBS))
    lines = [
        "usage: python build/layers.py VERB [options]",
        "",
        "Python dependencies onto AWS Lambda ARM64: locked, small, reproducible, proven layers.",
        "",
        "verbs, in the order in which a layer meets them:",
        *(f"  {verb:<{width}}  {text}" for verb, text in VERBS.items()),
        "",
        "`python build/layers.py VERB --help` explains a verb.",
        "exit codes: 2 config, 4 lock, 5 build, 6 audit, 7 budget, 8 proof, 9 ship,",
        "            1 a bug of layersmith, 130 interrupted",
    ]
    return "\n".join(lines)

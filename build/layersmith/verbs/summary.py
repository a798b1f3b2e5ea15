"""`summary`: say in Markdown what a pull request would look at, from what lies in dist/."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from layersmith import cache, console
from layersmith.report import tables
from layersmith.verbs import options

if TYPE_CHECKING:
    import argparse

MOST = 60_000
"""Characters of a summary: GitHub takes 65,536 in a comment (docs.github.com, 2026)."""

EPILOG = """\
Reads manifests and the results of smoke tests; nothing is built or started. Shows per target
whether it is built and proven, how much of its budgets it takes, and what differs from the
manifests of the main branch. The workflow layers-build runs it once all targets are done, and puts
the text into the step summary and into the comment on a pull request.

examples:
  python build/layers.py summary
  python build/layers.py summary --before main/ --out summary.md
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of the verb."""
    parser.epilog = EPILOG
    options.add_filters(parser)
    options.add_dist(parser)
    parser.add_argument(
        "--before", type=Path, metavar="DIR", help="folder with the manifests of the main branch"
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help="also write the text to this file")


def run(args: argparse.Namespace) -> int:
    """Run the verb.

    Raises:
        ConfigError: layers.yaml is not valid, or an option names what does not exist.
        BuildError: A manifest is damaged.
    """
    _, targets = options.chosen(args, packages=True)
    verdicts = tables.in_folder(targets, args.dist)
    before = tables.manifests_in(args.before)
    text = tables.summary("Lambda layers", verdicts, before)
    text += "\n" + tables.advisories(targets, args.dist)
    if before:
        details = tables.changes(verdicts, before, args.dist)
        if len(text) + len(details) > MOST:
            details = "What changed in the layers is too long to show here.\n"
        text += "\n" + details
    if args.out:
        cache.write_text(args.out, text)
    tables.step_summary(text)
    if args.json:
        console.emit_json(
            [
                {
                    "target": one.target.identifier,
                    "verdict": one.words,
                    "ok": not one.problems,
                    "problems": list(one.problems),
                }
                for one in verdicts
            ]
        )
    else:
        console.emit_text(text.rstrip("\n"))
    return 0

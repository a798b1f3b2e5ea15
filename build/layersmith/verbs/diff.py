"""`diff`: compare two manifests, releases or locks, or two folders of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from layersmith import console
from layersmith.verbs import options

if TYPE_CHECKING:
    import argparse

EPILOG = """\
what it compares:
  distributions that were added, removed, upgraded or packed otherwise, with the bytes; files; and
  imports and cold starts where their records lie beside the manifests (<stem>.importtime.json,
  <stem>.coldstart.json). Folders are compared target by target.

examples:
  python build/layers.py diff released/ dist/
  python build/layers.py diff imaging@1.0.0 imaging@1.1.0
  python build/layers.py diff old/locks locks --markdown
  python build/layers.py diff released/ dist/ --markdown --summary     in a workflow
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of the verb."""
    parser.epilog = EPILOG
    for name, text in (("before", "what was"), ("after", "what is")):
        parser.add_argument(
            name,
            metavar=name.upper(),
            help=f"{text}: a manifest, a lock, a folder of either, or LAYER@VERSION",
        )
    options.add_dist(parser)
    parser.add_argument(
        "--markdown", action="store_true", help="print Markdown, as for a pull request"
    )
    parser.add_argument(
        "--summary",
        action="store_true",
        help="also add it to the summary of the running GitHub step",
    )


def run(args: argparse.Namespace) -> int:
    """Run the verb.

    Raises:
        LayersmithError: Something is missing, damaged or not comparable.
    """
    from layersmith.report import diff_text, diffs, tables  # noqa: PLC0415 -- start-up time

    found = diffs.compare(args.before, args.after, args.dist)
    if args.summary:
        tables.step_summary(diff_text.markdown(found))
    if args.json:
        shown = [diff.model_dump(mode="json") for diff in found]
        console.emit_json({"diffs": shown})
    elif args.markdown:
        console.emit_text(diff_text.markdown(found))
    else:
        diff_text.show(found)
    return 0

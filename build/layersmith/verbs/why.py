"""`why`: tell what brought a file, module, library or distribution into layers, or left it out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from layersmith import console
from layersmith.base import disk
from layersmith.errors import BuildError
from layersmith.verbs import options

if TYPE_CHECKING:
    import argparse

    from layersmith.report.why import WhyAnswer

MOST = 20
"""Answers that are printed; --json has all."""

EPILOG = """\
Reads the manifests in dist/ and the SBOMs beside them; nothing is built. It shows the distribution,
the requirements that lead to it, and the prune rule, recipe or key of layers.yaml that left it out,
replaced it or kept it. Libraries may be named without the hash and version in their file names. A
manifest counts the files that a prune rule removed and does not list them: for a path that is not
in a layer, the rule that leaves out such paths is named.

examples:
  python build/layers.py why numpy                          a distribution
  python build/layers.py why PIL.Image                      a module
  python build/layers.py why google.cloud                   a namespace, or another folder
  python build/layers.py why libwebp                        a library, also one linked into a module
  python build/layers.py why numpy/tests/test_x.py          a file, or the end of its path
  python build/layers.py why grpcio --target demo-python3.13-arm64 --json
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of the verb."""
    parser.epilog = EPILOG
    parser.add_argument(
        "name", metavar="FILE|MODULE|LIBRARY", help="also the name of a distribution"
    )
    options.add_config(parser)
    options.add_dist(parser)
    parser.add_argument(
        "--target", action="append", default=[], metavar="ID", help="only this target; repeatable"
    )


def run(args: argparse.Namespace) -> int:
    """Run the verb.

    Raises:
        BuildError: Nothing has been built, or a manifest is damaged.
        ConfigError: No layer has it, and no rule is known to have left it out.
    """
    from layersmith.report import found, why  # noqa: PLC0415 -- start-up time

    if args.dist.is_dir():
        disk.require_readable(args.dist)
    manifests = {
        target: one
        for target, one in found.manifests_of(args.dist.glob("*.json")).items()
        if not args.target or target in args.target
    }
    if not manifests:
        of = f" of {', '.join(args.target)}" if args.target else ""
        raise BuildError(f"{args.dist} has no manifests{of}", hint="run `nox -s build`")
    answers = why.ask(args.name, manifests)
    if args.json:
        console.emit_json({"answers": [one.model_dump(mode="json") for one in answers]})
        return 0
    console.emit_text("\n\n".join(_text(one) for one in answers[:MOST]))
    if len(answers) > MOST:
        console.info(f"and {len(answers) - MOST} more: name more of the path, or use --json")
    return 0


def _text(one: WhyAnswer) -> str:
    version = f" {one.version}" if one.version else ""
    size = f", {console.size(one.size)}" if one.size is not None else ""
    state = "" if one.present else ", not in the layer"
    facts = {
        "from": one.distribution if one.kind != "distribution" else None,
        "required by": " -> ".join(one.chain),
        "rule": one.rule,
        "reason": one.reason,
        "targets": ", ".join(one.targets),
    }
    lines = [f"  {key:<12} {text}" for key, text in facts.items() if text]
    return "\n".join([f"{one.name}{version} ({one.kind}{size}{state})", *lines])

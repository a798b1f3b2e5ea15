"""``stacks``: says how the stacks hang together, draws the state machines, tries a layer."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from layersmith import console
from layersmith.base import architectures, runtimes
from layersmith.errors import ConfigError, ProofError
from layersmith.stacks import layertest, options, svg, templates
from layersmith.stacks import stage as stages

if TYPE_CHECKING:
    import argparse

EPILOG = """\
order lists the stacks as deploy takes them, and what each imports from. draw writes a picture of
every state machine, from its definition; with --check it writes nothing and fails (exit code 2)
where a picture is out of date. test-layer makes a stack with one function on a published layer
version, has it import modules, and removes the stack whatever happens (exit code 8 if a module
fails).

examples:
  python build/layers.py stacks order
  python build/layers.py stacks draw
  python build/layers.py stacks draw --check
  python build/layers.py stacks test-layer ARN --runtime python3.13 --module chromadb
"""
PICTURES = Path("docs/state-machines")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the sub-verbs and their options."""
    parser.epilog = EPILOG
    verbs = parser.add_subparsers(dest="step", required=True, metavar="order|draw|test-layer")
    order = verbs.add_parser("order", help="list the stacks and what they import from")
    draw = verbs.add_parser("draw", help="draw the state machines")
    draw.add_argument("--check", action="store_true", help="only say whether they are up to date")
    draw.add_argument("--out", type=Path, default=PICTURES, help=f"folder ({PICTURES})")
    trial = verbs.add_parser("test-layer", help="try a layer version in a stack of its own")
    trial.add_argument("layer", help="ARN of the layer version")
    trial.add_argument("--stage", default="dev", help="whose artifact bucket is used (dev)")
    trial.add_argument("--runtime", default=runtimes.DEFAULT, help=f"default: {runtimes.DEFAULT}")
    trial.add_argument(
        "--arch",
        "--architecture",
        dest="architecture",
        default="arm64",
        choices=architectures.NAMES,
        help="default: arm64",
    )
    trial.add_argument("--module", action="append", required=True, help="to import (repeatable)")
    options.add_account(trial)
    for sub in (order, draw, trial):
        sub.add_argument("--templates", type=Path, default=options.TEMPLATES, help="their folder")


def run(args: argparse.Namespace) -> int:
    """Run the sub-verb."""
    steps = {"order": _order, "draw": _draw, "test-layer": _test_layer}
    return steps[args.step](args)


def _test_layer(args: argparse.Namespace) -> int:
    """Try a layer version.

    Raises:
        ProofError: A module could not be imported.
    """
    stage = stages.load(args.templates / "stages", args.stage)
    if args.region:
        stage = stage.model_copy(update={"region": args.region})
    trial = layertest.Trial(args.layer, args.runtime, args.architecture, args.module)
    template = templates.load(args.templates)[layertest.TEMPLATE]
    answer = layertest.run(options.aws_of(args), stage, template, trial)
    if args.json:
        console.emit_json(answer)
    if answer["failures"]:
        raise ProofError("; ".join(answer["failures"]), target=args.layer)
    console.success(f"{answer['imported']} modules on {answer['machine']}, {answer['python']}")
    return 0


def _order(args: argparse.Namespace) -> int:
    loaded = templates.load(args.templates)
    needs = templates.dependencies(loaded.values())
    ordered = [one.name for one in templates.order(loaded.values())]
    if args.json:
        console.emit_json([{"stack": name, "imports": sorted(needs[name])} for name in ordered])
        return 0
    for name in ordered:
        console.emit_text(f"{name}: {', '.join(sorted(needs[name])) or '-'}")
    return 0


def _draw(args: argparse.Namespace) -> int:
    """Write the pictures that changed, each under its final name only when it is whole.

    Raises:
        ConfigError: With --check, a picture is missing or differs.
    """
    drawn = svg.pictures(args.templates / "state-machines")
    stale = [name for name, text in drawn.items() if _read(args.out / name) != text]
    if args.check:
        if stale:
            raise ConfigError(
                f"out of date in {args.out}: {', '.join(stale)}",
                cause="a definition changed after its picture was drawn",
                hint="python build/layers.py stacks draw",
            )
        console.success(f"{len(drawn)} pictures are up to date")
        if args.json:
            console.emit_json({"pictures": sorted(drawn), "written": []})
        return 0
    args.out.mkdir(parents=True, exist_ok=True)
    for name in stale:
        temporary = args.out / f".{name}.{os.getpid()}"
        temporary.write_text(drawn[name], "utf-8")
        temporary.replace(args.out / name)
    console.success(f"{len(stale)} of {len(drawn)} pictures written to {args.out}")
    if args.json:
        console.emit_json({"pictures": sorted(drawn), "written": stale})
    return 0


def _read(path: Path) -> str:
    return path.read_text("utf-8") if path.is_file() else ""

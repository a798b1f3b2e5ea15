"""``stacks``: says how the stacks hang together, draws the state machines, tries a layer."""

from __future__ import annotations

import argparse
import dataclasses
import re
from pathlib import Path
from typing import TYPE_CHECKING

from layersmith import cache, console
from layersmith.base import architectures, runtimes
from layersmith.errors import ConfigError, ManyErrors, ProofError, ShipError
from layersmith.ship import pointers
from layersmith.ship.aws import regions
from layersmith.stacks import diagrams, layertest, templates
from layersmith.verbs import options

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import RenderableType

    from layersmith.errors import LayersmithError
    from layersmith.ship.aws.accounts import Aws

EPILOG = """\
order lists the stacks as deploy takes them, and what each imports from. draw writes the page
with a diagram of every state machine, from their definitions; with --check it writes nothing and
fails (exit code 2) if the page is out of date. test-layer makes a stack with one function on a
published layer version, has it import modules, and removes the stack whatever happens (exit code
8 if a module fails, 9 if a region could not be tested). It takes an ARN, or a layer's name and
finds the version by each region's pointers; with --region it tests several regions at once.

examples:
  python build/layers.py stacks order
  python build/layers.py stacks draw
  python build/layers.py stacks draw --check
  python build/layers.py stacks test-layer ARN --runtime python3.13 --module chromadb
  python build/layers.py stacks test-layer chromadb-vector --region all --module chromadb
"""
PAGE = Path("docs/state-machines.md")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the sub-verbs and their options."""
    parser.epilog = EPILOG
    verbs = parser.add_subparsers(dest="step", required=True, metavar="order|draw|test-layer")
    order = verbs.add_parser("order", help="list the stacks and what they import from")
    draw = verbs.add_parser("draw", help="draw the state machines")
    draw.add_argument("--check", action="store_true", help="only check whether they are up to date")
    draw.add_argument("--out", type=Path, default=PAGE, help=f"the page ({PAGE})")
    trial = verbs.add_parser("test-layer", help="try a layer version in a stack of its own")
    trial.add_argument("layer", help="ARN of the layer version, or the name of the layer")
    trial.add_argument("--version", default="latest", help="of a layer by name (latest)")
    trial.add_argument("--stage", default="dev", help="stage that names the stack (dev)")
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
    options.add_account(trial, many=True)
    for sub in (order, draw, trial):
        options.add_templates(sub)


def run(args: argparse.Namespace) -> int:
    """Run the sub-verb."""
    steps = {"order": _order, "draw": _draw, "test-layer": _test_layer}
    return steps[args.step](args)


def _test_layer(args: argparse.Namespace) -> int:
    """Try a layer version in one region or in many.

    Raises:
        ProofError: A module could not be imported somewhere.
        ManyErrors: That, and regions that could not be tested.
        ShipError: A region could not be tested.
    """
    found = _ARN.fullmatch(args.layer)
    aws = options.aws(args)
    stage = options.stage(argparse.Namespace(**{**vars(args), "region": None}))
    asked = args.region or [found["region"] if found else stage.region]
    names = regions.expand(tuple(asked))
    template = templates.load(args.templates)[layertest.TEMPLATE]

    def trial_in(region: str) -> layertest.Trial:
        arn = _moved(found, region) if found else _named(aws, args, region)
        return layertest.Trial(arn, args.runtime, args.architecture, args.module)

    return _report(args, layertest.run_all(aws, stage, template, names, trial_in))


_ARN = re.compile(
    r"arn:[a-z-]+:lambda:(?P<region>[a-z0-9-]+):(?P<account>\d+):layer:(?P<name>[\w-]+):(?P<number>\d+)"
)


def _moved(arn: re.Match[str], region: str) -> str:
    """Return the ARN of the same number in another region: publishing keeps numbers aligned."""
    place = f"arn:{regions.partition_of(region)}:lambda:{region}:{arn['account']}"
    return f"{place}:layer:{arn['name']}:{arn['number']}"


def _named(aws: Aws, args: argparse.Namespace, region: str) -> str:
    """Return the ARN that a region's pointers name.

    Raises:
        ShipError: The version is not published there.
    """
    has = pointers.read(aws, region, (args.layer, args.runtime, args.architecture))
    arn = has.latest if args.version == "latest" else has.versions.get(args.version)
    if arn is None:
        raise ShipError(
            f"{args.layer} {args.version} for {args.runtime} on {args.architecture} "
            f"is not published in {region}",
            hint="`python build/layers.py verify` shows which versions are published where",
        )
    return arn


def _report(args: argparse.Namespace, verdicts: Sequence[layertest.TrialOutcome]) -> int:
    if args.json:
        console.emit_json([dataclasses.asdict(one) for one in verdicts])
    else:
        console.stdout().print(_table(verdicts))
    errors: list[LayersmithError] = [
        ProofError(f"{one.region}: {'; '.join(one.failures)}", target=one.layer)
        for one in verdicts
        if one.failures
    ]
    errors += [
        ShipError(
            f"{one.region}: {one.error}",
            hint=one.hint or None,
            target=None if one.layer == layertest.UNKNOWN else one.layer,
        )
        for one in verdicts
        if one.error
    ]
    if len(errors) > 1:
        raise ManyErrors(errors)
    if errors:
        raise errors[0]
    console.success(f"{args.layer} works in {console.counted(len(verdicts), 'region')}")
    return 0


def _table(verdicts: Sequence[layertest.TrialOutcome]) -> RenderableType:
    rows = []
    for one in verdicts:
        said = one.answer or {}
        result = one.error or "; ".join(one.failures) or f"{said['imported']} modules imported"
        on = f"{said['machine']}, {said['python']}" if said else "-"
        rows.append((one.region, one.layer.rpartition(":")[2], on, result))
    styles = ["red" if one.error or one.failures else None for one in verdicts]
    return console.table(("region", "number", "on", "result"), rows, styles=styles)


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
    """Write the page of diagrams if it changed.

    Raises:
        ConfigError: With --check, the page is missing or differs.
    """
    page = diagrams.page(args.templates / "state-machines")
    stale = not args.out.is_file() or args.out.read_text("utf-8") != page
    if args.check and stale:
        raise ConfigError(
            f"{args.out} is out of date",
            cause="a state machine changed after the page was written",
            hint="python build/layers.py stacks draw",
        )
    if stale:
        cache.write_text(args.out, page)
    console.success(f"{args.out} {'was written' if stale else 'is up to date'}")
    if args.json:
        console.emit_json({"page": str(args.out), "written": stale})
    return 0

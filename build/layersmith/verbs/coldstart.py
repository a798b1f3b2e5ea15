"""`coldstart`: measure how long a layer takes from start to first answer."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING

from layersmith import console
from layersmith.errors import LayersmithError, ManyErrors, UsageError
from layersmith.verbs import options

if TYPE_CHECKING:
    import argparse

    from layersmith.prove.cold.models import ColdStartReport

EPILOG = """\
what it does to a target:
  start it in fresh processes, each time until its first answer, in four variants: the layer;
  no-bytecode, its sources alone, where it holds both; the same requirements as a plain installation
  leaves them; and the floor, the same call without the layer. What is called is
  <smoke file>_coldstart.py, and <smoke file>_floor.py, beside the layer's smoke file. The median is
  judged against budgets.cold-start, the price of a million against budgets.cold-start-price
  (exit code 7). Each round starts every variant once. With --against, an earlier zip of the target
  is one of them, and the ratio of both is the median of the rounds. With --choices, so is the layer
  as it could be built or started otherwise, with the bytes and the milliseconds that each saves.
  Results go to dist/<stem>.coldstart.json, and the tree of imports to .importtime.json.

what is billed:
  INIT and the first invocation, at the sizes of memory asked for. Below 1,769 MB processor time
  takes as much longer as the memory is smaller; docs/proofs.md states the model.

what the numbers are:
  natively on the target's architecture: a measurement. With --runner host on another one: a
  measurement of a twin. Under emulation: an estimate, divided by a factor that the same run
  measures on a known workload, beside how far off such estimates were.

examples:
  python build/layers.py coldstart chromadb-vector --runtime python3.13
  python build/layers.py coldstart --runner host --runtime python3.12 --starts 21
  python build/layers.py coldstart imaging --without plain --json
  python build/layers.py coldstart imaging --choices --runner host
  python build/layers.py coldstart --against main/ --summary            in a workflow
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of the verb."""
    parser.epilog = EPILOG
    options.add_filters(parser)
    options.add_dist(parser)
    options.add_runner(parser)
    options.add_starts(parser, None, "11; 3 under emulation")
    parser.add_argument(
        "--without",
        action="append",
        default=[],
        choices=("no-bytecode", "plain", "floor"),
        help="leave a variant out; repeatable",
    )
    parser.add_argument(
        "--memory",
        type=int,
        action="append",
        metavar="MB",
        help="price cold starts at this size of memory; repeatable (512, 1024 and 1769)",
    )
    parser.add_argument(
        "--choices",
        action="store_true",
        help="also build and start it with the other values of `bytecode`, with and without"
        " recipes, without what `slim` found (after `slim`), and with lazy imports of the"
        " interpreter (since python3.15)",
    )
    parser.add_argument(
        "--against",
        metavar="BEFORE",
        help="also start what was before, in turns with it: a manifest with its zip beside it, a"
        " folder of them, or LAYER@VERSION",
    )
    parser.add_argument(
        "--summary",
        action="store_true",
        help="also add the results to the summary of the running GitHub step",
    )
    parser.add_argument(
        "--prices", type=Path, metavar="FILE", help="JSON with prices that differ from the list's"
    )


def run(args: argparse.Namespace) -> int:
    """Run the verb.

    Raises:
        ManyErrors: Targets did not start, or are over their budget; the others were measured.
    """
    from layersmith import slimming  # noqa: PLC0415 -- start-up time
    from layersmith.prove.cold import bill, text  # noqa: PLC0415 -- start-up time
    from layersmith.prove.cold import run as coldstart_run  # noqa: PLC0415 -- start-up time
    from layersmith.report import tables  # noqa: PLC0415 -- start-up time
    from layersmith.ship.cost import billing  # noqa: PLC0415 -- start-up time

    prices = billing.load(args.prices)
    loaded, targets = options.chosen(args, packages=True)
    plan = coldstart_run.ColdStartPlan(
        root=loaded.root,
        dist=args.dist,
        kind=args.runner,
        image=args.image,
        starts=args.starts,
        names=[name for name in coldstart_run.NAMES if name not in args.without],
        memories=_memories(args.memory),
        prices={
            architecture: bill.Price(prices.table[key], prices.currency, prices.date)
            for architecture, key in billing.GB_SECOND.items()
        },
        choices=functools.partial(slimming.choices, dist=args.dist, root=loaded.root)
        if args.choices
        else None,
        against=_against(args.against, args.dist) if args.against else None,
    )
    reports: list[ColdStartReport] = []
    errors: list[LayersmithError] = []
    for target in targets:
        if target.function:
            console.info(f"{target.identifier} is the package of a function: not measured here")
            continue
        try:
            with console.phases(target.identifier) as show:
                report, tree = coldstart_run.measure(target, plan, show)
        except LayersmithError as problem:
            problem.target = target.identifier
            errors.append(problem)
            continue
        reports.append(report)
        if not args.json:
            text.show(report, tree)
        judged = (coldstart_run.over_budget(report), coldstart_run.over_price(report))
        for error in filter(None, judged):
            error.locate(functools.partial(options.place, loaded, target))
            errors.append(error)
    if args.summary and reports:
        tables.step_summary(text.markdown(reports))
    if args.json:
        console.emit_json([report.model_dump(mode="json") for report in reports])
    if errors:
        raise ManyErrors(errors)
    return 0


def _against(before: str, dist: Path) -> dict[str, Path]:
    from layersmith.report import found  # noqa: PLC0415 -- start-up time

    if not Path(before).exists() and not found.RELEASE.fullmatch(before):
        console.warn(f"--against {before} does not exist: nothing to compare cold starts with")
        return {}
    known = found.read(before, dist)
    return {name: it.path for name, it in known.items() if isinstance(it, found.FoundManifest)}


def _memories(asked: list[int] | None) -> list[int]:
    from layersmith.prove.cold import bill  # noqa: PLC0415 -- start-up time

    for memory in asked or ():
        if not bill.SMALLEST <= memory <= bill.LARGEST:
            raise UsageError(
                f"--memory {memory}: a function has {bill.SMALLEST:,} to {bill.LARGEST:,} MB"
            )
    return sorted(set(asked or bill.MEMORIES))

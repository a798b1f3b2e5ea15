"""`slim`: find what can be removed from a layer, and prove that it still works."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from layersmith import console
from layersmith.console import megabytes
from layersmith.errors import ConfigError, LayersmithError, ManyErrors
from layersmith.verbs import options as _targets

if TYPE_CHECKING:
    import argparse

    from layersmith.prove.slim.models import SlimReport

EPILOG = """\
what it does to a layer:
  run its smoke file, and the first call that `coldstart` times, under a watch that sees every
  module, file and shared object they touch; propose what they never touched, as distributions to
  exclude and paths to prune; build a copy without it; run all proofs again; put back what they
  name as missing, or search by halves where they name nothing; and print the lines for layers.yaml
  that survived, with the bytes that each saves. layers.yaml itself is not changed. What the proofs
  loaded is kept in dist/<stem>.watched.json beside a zip that is there; `advisories` reads it.

what it tries:
  by default only what no loaded code names, not even in a function that no proof called.
  --bold tries that, too, and data files: what the proofs do not call may then raise ImportError.
  Stubs, local packages, metadata, licences and bundled libraries always stay.

examples:
  python build/layers.py slim chromadb-vector --runtime python3.13
  python build/layers.py slim imaging --bold --at-least 50kB
  python build/layers.py slim imaging --runner docker --json
  python build/layers.py slim --limit 0                      watch and record, without a search
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of the verb."""
    parser.epilog = EPILOG
    _targets.add_filters(parser)
    _targets.add_dist(parser)
    _targets.add_runner(parser, default="host", why="as there are many proofs")
    parser.add_argument(
        "--bold",
        action="store_true",
        help="also try to remove data files and modules that loaded code refers to",
    )
    parser.add_argument(
        "--at-least",
        default="10kB",
        metavar="SIZE",
        help="smallest saving under /opt that is worth a line (default: 10kB)",
    )
    parser.add_argument(
        "--limit",
        type=_targets.at_least(0),
        default=40,
        metavar="N",
        help="maximum number of trial builds per target (default: 40)",
    )


def run(args: argparse.Namespace) -> int:
    """Run the verb.

    Raises:
        ManyErrors: Layers are not proven as they are; the others were searched.
    """
    from layersmith import slimming  # noqa: PLC0415 -- start-up time

    at_least = _bytes(args.at_least)
    loaded, targets = _targets.chosen(args)
    reports: list[SlimReport] = []
    errors: list[LayersmithError] = []
    for layer in dict.fromkeys(target.layer for target in targets):
        with tempfile.TemporaryDirectory(prefix="layersmith-slim-") as folder:
            options = slimming.SlimOptions(
                root=loaded.root,
                folder=Path(folder),
                kind=args.runner,
                image=args.image,
                bold=args.bold,
                at_least=at_least,
                limit=args.limit,
                dist=args.dist,
            )
            try:
                found = slimming.slim([one for one in targets if one.layer == layer], options)
            except LayersmithError as problem:
                problem.target = problem.target or layer
                errors.append(problem)
                continue
        reports.append(found)
        if not args.json:
            _show(found)
    if args.json:
        console.emit_json([report.model_dump(mode="json") for report in reports])
    if errors:
        raise ManyErrors(errors)
    return 0


def _bytes(text: str) -> int:
    from pydantic import TypeAdapter, ValidationError  # noqa: PLC0415 -- start-up time

    from layersmith.config.values import Size  # noqa: PLC0415 -- start-up time

    try:
        return int(TypeAdapter(Size).validate_python(text))
    except ValidationError as problem:
        why = problem.errors()[0]["msg"].removeprefix("Value error, ")
        raise ConfigError(f"--at-least {text}: {why}", hint="write 10kB or 1.5MB") from None


def _show(report: SlimReport) -> None:
    console.emit_text(report.fragment.rstrip())
    for one in report.targets:
        before, after = one.before, one.after
        console.info(
            f"{one.identifier}: {megabytes(before.zipped, 2)} to"
            f" {megabytes(after.zipped, 2)} zipped,"
            f" {megabytes(before.unzipped, 2)} to {megabytes(after.unzipped, 2)} unzipped,"
            f" {before.files:,} to {after.files:,} files"
        )
    for rejected in report.rejected:
        console.info(f"put back {rejected.pattern}: {rejected.why}")
    if report.offered:
        size = sum(one.unzipped for one in report.offered)
        console.info(
            f"{len(report.offered)} more, {megabytes(size, 2)} unzipped, are named by loaded code,"
            " or data; --bold tries them"
        )
    console.info(
        f"proofs touched {report.touched:,} modules and files;"
        f" built and proven: {console.counted(report.proofs, 'trial')}"
    )
    if any(one.runner.twin for one in report.targets):
        console.warn("proven by host twins; run `smoke` with Docker before it is shipped")

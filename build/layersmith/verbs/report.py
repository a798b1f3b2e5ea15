"""`report`: write the HTML report of everything in dist/."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from layersmith import cache, console
from layersmith.verbs import options

if TYPE_CHECKING:
    import argparse

    from layersmith.config.models import Config

EPILOG = """\
what is in it:
  first whether the layers may ship: proven, within budget, changed since the last release. Then for
  every target what each step saved, its files by size, who pulls what, its budgets, cold starts
  and their price, import times, proof, advice and licences, as far as their records lie in dist/
  (build, smoke, coldstart, lazy and weigh --save write them); the functions of layers.yaml with all
  their layers; releases of --history; and costs (dist/cost-history.jsonl of `cost --history-out`).
  It is one file that needs no network, and prints one page per target.

examples:
  python build/layers.py report
  python build/layers.py report --output report.html --history released/
  python build/layers.py weigh --save                with what was weighed, and then `report`
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of the verb."""
    parser.epilog = EPILOG
    options.add_config(parser)
    options.add_dist(parser)
    parser.add_argument(
        "--output",
        type=Path,
        metavar="FILE",
        help="the file to write (default: report.html in the folder of the artifacts)",
    )
    parser.add_argument(
        "--history",
        type=Path,
        action="append",
        default=[],
        metavar="DIR",
        help="folder with manifests of earlier releases; repeatable",
    )


def run(args: argparse.Namespace) -> int:
    """Run the verb.

    Raises:
        BuildError: There is nothing to report.
        ConfigError: layers.yaml is there and not valid.
    """
    # With all that it needs, so that a missing extra is named before anything is read.
    from layersmith.report import html, records  # noqa: PLC0415 -- start-up time

    for folder in args.history:
        if not folder.exists():
            console.warn(f"--history {folder} does not exist: nothing is compared with it")
    config = _config(args.config)
    artifacts = records.gather(args.dist, config, args.history)
    manifests = [one.manifest for one in artifacts]
    root = args.config.resolve().parent
    found = records.compositions(config, manifests, root) if config else []
    costs = records.costs([*args.history, args.dist])
    text = html.render(artifacts, found, costs=costs, commit=records.commit(root))
    answer = html.answer(artifacts, found)
    output = args.output or args.dist / "report.html"
    cache.write_text(output, text)
    console.success(
        f"wrote {output}: {console.counted(len(artifacts), 'target')},"
        f" {console.megabytes(len(text))}"
    )
    console.info(answer.text)
    for check, names in answer.reasons:
        console.info(f"  {check.word}: {', '.join(names)}; {check.text}")
    if args.json:
        console.emit_json(
            {
                "report": str(output),
                "targets": len(artifacts),
                "verdict": answer.text,
                "reasons": [
                    {**check._asdict(), "targets": names} for check, names in answer.reasons
                ],
            }
        )
    return 0


def _config(path: Path) -> Config | None:
    if not path.is_file():
        return None
    from layersmith.config import loader  # noqa: PLC0415 -- start-up time

    return loader.load(path).config

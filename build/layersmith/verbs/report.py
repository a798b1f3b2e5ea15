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
  for every target its files by size, budgets, import times, cold starts, proof, advice and
  licences, as far as their records lie in dist/ (build, smoke, coldstart and weigh --save write
  them); the functions of layers.yaml with all their layers; and the history over releases.
  It is one file that needs no network.

examples:
  python build/layers.py report
  python build/layers.py report --output report.html --history released/
  nox -s weigh                                       weighs all layers, then writes the report
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
    from layersmith.report import functions, html, records  # noqa: PLC0415 -- start-up time

    config = _config(args.config)
    named = {**config.layers, **config.functions} if config else {}
    budgets = {name: one.budgets for name, one in named.items()}
    artifacts = records.gather(args.dist, budgets, args.history)
    manifests = [one.manifest for one in artifacts]
    root = args.config.resolve().parent
    found = functions.compositions(config, manifests, root) if config else []
    text = html.render(artifacts, found)
    output = args.output or args.dist / "report.html"
    cache.write_text(output, text)
    console.success(
        f"wrote {output}: {console.counted(len(artifacts), 'target')}, {len(text) / 1e6:.1f} MB"
    )
    if args.json:
        console.emit_json({"report": str(output), "targets": len(artifacts)})
    return 0


def _config(path: Path) -> Config | None:
    if not path.is_file():
        return None
    from layersmith.config import loader  # noqa: PLC0415 -- start-up time

    return loader.load(path).config

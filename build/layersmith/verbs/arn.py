"""``arn``: prints the ARN of a published layer, or the table of all."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from layersmith import cache, console
from layersmith.base import runtimes
from layersmith.config import loader
from layersmith.errors import ShipError
from layersmith.plan import plan
from layersmith.ship import pointers
from layersmith.ship.index import catalog, document
from layersmith.ship.publish.site import RegionChoice
from layersmith.verbs import options

if TYPE_CHECKING:
    import argparse

EPILOG = """\
Asks the region's pointers; with --index it needs no credentials and reads the JSON index of a
release instead. Without --region it lists all that was ever published, whether layers.yaml still
has it or not; with --html or --csv it writes that table for people.

examples:
  python build/layers.py arn chromadb-vector --region eu-west-1 --runtime python3.13
  python build/layers.py arn chromadb-vector --region eu-west-1 --runtime python3.13 --version 1.2.0
  python build/layers.py arn chromadb-vector --region eu-west-1 --index dist/layers-index.json
  python build/layers.py arn                                         all that is published
  python build/layers.py arn --index dist/layers-index.json --html arns.html --csv arns.csv
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.epilog = EPILOG
    parser.add_argument("layer", nargs="?", help="name of the layer")
    parser.add_argument("--region", help="e.g. eu-west-1")
    parser.add_argument("--runtime", default=runtimes.DEFAULT, help=f"default: {runtimes.DEFAULT}")
    parser.add_argument("--arch", default="arm64", help="default: arm64")
    parser.add_argument("--version", default="latest", help="a semver; default: latest")
    parser.add_argument("--index", type=Path, action="append", default=[], help="read this index")
    parser.add_argument("--html", type=Path, help="write the table of all ARNs as HTML")
    parser.add_argument("--csv", type=Path, help="write the table of all ARNs as CSV")
    options.add_config(parser)
    options.add_accounts(parser)


def run(args: argparse.Namespace) -> int:
    """Print one ARN, or write the tables."""
    if args.html or args.csv:
        return _tables(args)
    if not args.region:
        return _list(args)
    if not args.layer:
        raise ShipError("--region needs a LAYER", hint="leave it out to list all; see `arn --help`")
    arn = _from_index(args) if args.index else _from_region(args)
    if args.json:
        said = {name: getattr(args, name) for name in ("layer", "region", "runtime", "version")}
        console.emit_json({**said, "architecture": args.arch, "arn": arn})
    else:
        console.emit_text(arn)
    return 0


def _index(args: argparse.Namespace) -> document.Index:
    """Return the index of --index or, without it, of the account."""
    if args.index:
        return _read(args.index)
    loaded = loader.load(args.config)
    names = list(RegionChoice().by_region(plan(loaded.config)))
    return document.published(options.site(args, loaded, names))


def _list(args: argparse.Namespace) -> int:
    """Print all ARNs, or those of a layer."""
    entries = [one for one in _index(args).layers if args.layer in {None, one.layer}]
    if args.json:
        console.emit_json({"layers": [one.model_dump(mode="json") for one in entries]})
    else:
        console.stdout().print(console.table(catalog.COLUMNS, catalog.rows(entries)))
    return 0


def _read(paths: list[Path]) -> document.Index:
    entries: dict[tuple[str, ...], document.IndexEntry] = {}
    for path in paths:
        try:
            content = path.read_bytes()
        except OSError as problem:
            raise ShipError(f"{path} cannot be read: {problem.strerror}") from None
        entries.update((entry.key, entry) for entry in document.parse(content).layers)
    return document.Index(layers=list(entries.values()))


def _tables(args: argparse.Namespace) -> int:
    entries = _index(args).layers
    if args.html:
        cache.write_text(args.html, catalog.html(entries))
    if args.csv:
        cache.write_text(args.csv, catalog.csv_table(entries))
    console.success(f"{len(entries)} ARNs written")
    if args.json:
        files = [str(path) for path in (args.html, args.csv) if path]
        console.emit_json({"written": files, "arns": len(entries)})
    return 0


def _from_index(args: argparse.Namespace) -> str:
    asked = (args.layer, args.runtime, args.arch, args.region)
    for entry in _read(args.index).layers:
        if (entry.layer, entry.runtime, entry.architecture, entry.region) != asked:
            continue
        if entry.latest if args.version == "latest" else entry.version == args.version:
            return entry.arn
    raise _nothing(args)


def _from_region(args: argparse.Namespace) -> str:
    aws = options.access(args).clients([args.region])[args.region]
    has = pointers.read(aws, args.region, (args.layer, args.runtime, args.arch))
    latest = args.version == "latest"
    arn = has.latest if latest else has.versions.get(args.version)
    if arn is None:
        raise _nothing(args, ", ".join(sorted(has.versions)))
    if args.version in has.yanked:
        console.warn(f"{args.version} was yanked: {has.yanked[args.version]}")
    return arn


def _nothing(args: argparse.Namespace, known: str = "") -> ShipError:
    what = f"{args.layer} {args.version} for {args.runtime} on {args.arch}"
    return ShipError(
        f"{what} is not published in {args.region}",
        cause=f"published there: {known}" if known else None,
        hint="check the names; `python build/layers.py verify` shows what is where",
    )

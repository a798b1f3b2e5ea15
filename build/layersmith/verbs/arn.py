"""``arn``: prints the ARN of a published layer, what to paste of it, or the table of all."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from layersmith import cache, console
from layersmith.base import runtimes
from layersmith.config import loader
from layersmith.errors import ShipError
from layersmith.plan import plan
from layersmith.ship import arns, pointers
from layersmith.ship.publish.site import RegionChoice
from layersmith.verbs import options

if TYPE_CHECKING:
    import argparse

    from layersmith.ship.publish.models import Place

EPILOG = """\
Asks the region's pointers; with --index it needs no credentials and reads the JSON index of a
release instead. Without --region it lists all that was ever published, whether layers.yaml still
has it or not; with --html or --csv it writes that table for people. --format prints what a template
or program takes, with the ARN or, with --parameter, with the SSM parameter that leads to it.

examples:
  python build/layers.py arn chromadb-vector --region eu-west-1 --runtime python3.13
  python build/layers.py arn chromadb-vector --region eu-west-1 --runtime python3.13 --version 1.2.0
  python build/layers.py arn chromadb-vector --region eu-west-1 --index dist/layers-index.json
  python build/layers.py arn chromadb-vector --format sam --parameter     what to paste, and it
                                       follows `promote`; asks nobody
  python build/layers.py arn chromadb-vector --format terraform --region eu-west-1
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
    parser.add_argument(
        "--format", choices=list(arns.snippets()), help="print what to paste into such a file"
    )
    parser.add_argument(
        "--parameter",
        action="store_true",
        help="name the SSM parameter, which is the same in every region, and not the ARN",
    )
    parser.add_argument("--index", type=Path, action="append", default=[], help="read this index")
    parser.add_argument("--html", type=Path, help="write the table of all ARNs as HTML")
    parser.add_argument("--csv", type=Path, help="write the table of all ARNs as CSV")
    options.add_config(parser)
    options.add_accounts(parser)


def run(args: argparse.Namespace) -> int:
    """Print one ARN, or write the tables."""
    if args.html or args.csv:
        return _tables(args)
    if not args.region and not args.format and not args.parameter:
        return _list(args)
    if not args.layer:
        given = next(f"--{one}" for one in ("region", "format", "parameter") if getattr(args, one))
        raise ShipError(f"{given} needs a LAYER", hint="leave it out to list all; see `arn --help`")
    said = {name: getattr(args, name) for name in ("layer", "region", "runtime", "version")}
    said["architecture"] = args.arch
    if args.parameter:
        _known(args)
        words = arns.snippet_words(_place(args), args.version)
        said["parameter"] = words["parameter"]
    else:
        said["arn"] = _arn(args)
        words = arns.snippet_words(_place(args), args.version, args.region, said["arn"])
    source: arns.Source = "parameter" if args.parameter else "arn"
    if args.format:
        said["text"] = arns.fill_snippet(args.format, source, words)
    if args.json:
        console.emit_json(said)
    else:
        console.emit_text(said.get("text", said[source]).rstrip("\n"))
    return 0


def _place(args: argparse.Namespace) -> Place:
    return (args.layer, args.runtime, args.arch)


def _arn(args: argparse.Namespace) -> str:
    if not args.region:
        raise ShipError(
            "an ARN is that of one region",
            hint="add --region, or --parameter, which is the same in every region",
        )
    return _from_index(args) if args.index else _from_region(args)


def _known(args: argparse.Namespace) -> None:
    """Refuse a parameter of what is neither in an index nor in layers.yaml.

    Raises:
        ConfigError: layers.yaml has no such target.
        ShipError: The index does not list it.
    """
    if not args.index:
        config = loader.load(args.config).config
        plan(config, layers=[args.layer], only_runtimes=[args.runtime], architectures=[args.arch])
        return
    for entry in arns.read(args.index).layers:
        if (entry.layer, entry.runtime, entry.architecture) == _place(args) and (
            args.version in {"latest", entry.version}
        ):
            return
    raise ShipError(
        f"the index does not list {args.layer} {args.version} for {args.runtime} on {args.arch}",
        hint="check the names; `arn --index FILE` lists all",
    )


def _index(args: argparse.Namespace) -> arns.Index:
    """Return the index of --index or, without it, of the account."""
    if args.index:
        return arns.read(args.index)
    loaded = loader.load(args.config)
    names = list(RegionChoice().by_region(plan(loaded.config), "pass --index, or "))
    return arns.published(options.site(args, loaded, names))


def _list(args: argparse.Namespace) -> int:
    """Print all ARNs, or those of a layer."""
    entries = [one for one in _index(args).layers if args.layer in {None, one.layer}]
    if args.json:
        console.emit_json({"layers": [one.model_dump(mode="json") for one in entries]})
    else:
        console.stdout().print(console.table(arns.COLUMNS, arns.table_rows(entries)))
    return 0


def _tables(args: argparse.Namespace) -> int:
    entries = _index(args).layers
    if args.html:
        cache.write_text(args.html, arns.html(entries))
    if args.csv:
        cache.write_text(args.csv, arns.csv_table(entries))
    console.success(f"{len(entries)} ARNs written")
    if args.json:
        files = [str(path) for path in (args.html, args.csv) if path]
        console.emit_json({"written": files, "arns": len(entries)})
    return 0


def _from_index(args: argparse.Namespace) -> str:
    asked = (args.layer, args.runtime, args.arch, args.region)
    for entry in arns.read(args.index).layers:
        if (entry.layer, entry.runtime, entry.architecture, entry.region) != asked:
            continue
        if entry.latest if args.version == "latest" else entry.version == args.version:
            return entry.arn
    raise _nothing(args)


def _from_region(args: argparse.Namespace) -> str:
    aws = options.access(args).clients([args.region])[args.region]
    has = pointers.read(aws, args.region, _place(args))
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

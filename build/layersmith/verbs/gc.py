"""``gc``: deletes old versions that nothing uses."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from layersmith import console
from layersmith.errors import ConfigError, ShipError
from layersmith.ship import gc
from layersmith.ship.index import document
from layersmith.ship.pointers import moves
from layersmith.ship.publish import observed, progress
from layersmith.verbs import options

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from rich.console import RenderableType

    from layersmith.ship.gc import Judgement

EPILOG = """\
Keeps the newest versions, young ones, the one in layers.yaml, what `latest` points to, and
everything that a function, one of its versions or an alias in this account uses. Other accounts
that a layer is shared with cannot be seen: their functions go on working with a deleted version,
but cannot be updated while they name it. Nothing is deleted without --apply.

examples:
  python build/layers.py gc                        what would be deleted, and what stays why
  python build/layers.py gc --keep 5 --days 90
  python build/layers.py gc --layer chromadb-vector --apply
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.epilog = EPILOG
    options.add_filters(parser)
    options.add_regions(parser)
    options.add_accounts(parser)
    parser.add_argument("--keep", type=int, default=3, help="newest versions that stay (3)")
    parser.add_argument(
        "--days", type=int, default=30, help="days for which a version is kept in any case (30)"
    )
    parser.add_argument("--apply", action="store_true", help="delete; without it nothing is")


def run(args: argparse.Namespace) -> int:
    """Judge every version, and delete what may go if told to."""
    if args.keep < 1 or args.days < 0:
        raise ConfigError("--keep is at least 1 and --days at least 0")
    loaded, targets = options.chosen(args)
    where = options.region_choice(args).by_region(targets)
    site = options.site(args, loaded, list(where))
    rule = gc.KeepRule(args.keep, args.days, datetime.now(UTC))

    def work(region: str) -> list[Judgement]:
        if args.apply:
            return gc.clean(site, region, where[region], rule)
        return gc.look(site, region, where[region], rule)[0]

    done, failed = observed.in_parallel(work, list(where), workers=site.workers)
    found = [judgement for judgements in done.values() for judgement in judgements]
    gone = [judgement for judgement in found if not judgement.kept]
    if args.apply and gone:
        # Take the deleted versions out of the index.
        left, _ = moves.read(site, {region: where[region] for region in done})
        document.refresh(site, left)
    if args.json:
        versions = [dataclasses.asdict(judgement) for judgement in found]
        unread = [dataclasses.asdict(one) for one in failed]
        console.emit_json(
            {
                "format": 1,
                "accounts": [dataclasses.asdict(one) for one in site.accounts],
                "applied": args.apply,
                "versions": versions,
                "quarantined": unread,
            }
        )
    else:
        console.stdout().print(_table(found, applied=args.apply))
    progress.show([], failed)
    verb = "deleted" if args.apply else "would be deleted (pass --apply)"
    console.info(f"{len(gone)} of {len(found)} versions {verb}; {site.where}")
    return ShipError.exit_code if failed else 0


def _table(found: Sequence[Judgement], *, applied: bool) -> RenderableType:
    gone = "deleted" if applied else "delete"
    rows = [
        (
            one.region,
            one.name,
            str(one.number),
            one.semver,
            f"keep: {one.kept}" if one.kept else gone,
        )
        for one in found
    ]
    styles = [None if one.kept else "red" for one in found]
    headings = ("region", "layer", "number", "version", "what")
    return console.table(headings, rows, right={"number"}, styles=styles)

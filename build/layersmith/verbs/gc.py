"""``gc``: deletes old versions that nothing uses."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from layersmith import console
from layersmith.errors import ConfigError, ShipError
from layersmith.ship import arns, gc
from layersmith.ship.pointers import moves
from layersmith.ship.publish import observed, progress
from layersmith.verbs import options

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from rich.console import RenderableType

    from layersmith.ship.gc import Judgement, RegionLook
    from layersmith.ship.publish.models import Quarantined
    from layersmith.ship.publish.site import Reach

EPILOG = """\
Keeps the newest versions, young ones, the one in layers.yaml, what `latest` points to, and
everything that a function, one of its versions or an alias in this account uses. Other accounts
that a layer is shared with cannot be seen: their functions go on working with a deleted version,
but cannot be updated while they name it. What stays in one region stays in all, and while a region
cannot be read nothing of its layers goes. Layers and runtimes that layers.yaml no longer has are
judged, too; and kept zips go with the last version that was made of them. Nothing is deleted
without --apply.

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
    parser.add_argument(
        "--keep", type=options.at_least(1), default=3, help="newest versions that stay (3)"
    )
    parser.add_argument(
        "--days",
        type=options.at_least(0),
        default=30,
        help="days for which a version is kept in any case (30)",
    )
    parser.add_argument("--apply", action="store_true", help="delete; without it nothing is")


def run(args: argparse.Namespace) -> int:
    """Judge every version, and delete what may go if told to."""
    shown = options.region_choice(args)
    if args.apply and args.region:
        raise ConfigError(
            "--region only narrows what gc shows: a version goes in all regions or in none",
            hint="leave out --region, or --apply",
        )
    args.region = []
    reach = options.reach(args, instead="")
    rule = gc.KeepRule(args.keep, args.days, datetime.now(UTC))
    site, every = reach.site, list(reach.where)
    looks, failed = observed.in_parallel(
        lambda region: gc.look(reach, region, rule), every, workers=site.workers
    )
    failed += [one for one in reach.unread if one.region not in {two.region for two in failed}]
    found = gc.together(looks, _unread(reach, failed), reach.versions, rule)
    if args.apply:
        decided = found
        done, more = observed.in_parallel(
            lambda region: gc.clean(reach, region, decided[region], rule),
            [region for region, look in decided.items() if look.anything],
            workers=site.workers,
        )
        failed += more
        found = {
            r: done.get(r, look) for r, look in decided.items() if r in done or not look.anything
        }
        # Take the deleted versions out of the index, also those of a run that could not.
        left, unread = moves.read(site, {r: reach.where[r] for r in found}, reach.wanted)
        _, stale = arns.refresh(site, left, unread)
        gone = {one.region for one in failed}
        failed += [one for one in stale if one.region not in gone]
    found = {region: look for region, look in found.items() if shown.takes(region)}
    _report(args, reach, found, failed)
    return ShipError.exit_code if failed else 0


def _unread(reach: Reach, failed: Sequence[Quarantined]) -> dict[str, set[str]]:
    """Return layer -> regions that may hold it and could not be read."""
    unread: dict[str, set[str]] = {}
    indexes = {one.region for one in reach.unread}
    for region, places in reach.where.items():
        down = {one.region for one in failed if one.region == region} | indexes
        for layer, _, _ in places if down else ():
            unread.setdefault(layer, set()).update(down)
    return unread


def _report(
    args: argparse.Namespace,
    reach: Reach,
    found: dict[str, RegionLook],
    failed: Sequence[Quarantined],
) -> None:
    versions = [one for look in found.values() for one in look.versions]
    files = [(region, file) for region, look in found.items() for _, _, file in look.files]
    gone = [one for one in versions if not one.kept]
    if args.json:
        console.emit_json(
            {
                "format": 1,
                "accounts": [dataclasses.asdict(one) for one in reach.site.accounts],
                "applied": args.apply,
                "versions": [dataclasses.asdict(one) for one in versions],
                "files": [
                    {"region": region, "key": file.key, "size": file.size} for region, file in files
                ],
                "quarantined": [dataclasses.asdict(one) for one in failed],
            }
        )
    else:
        console.stdout().print(_table(versions, applied=args.apply))
        if files:
            rows = [(region, file.key, f"{file.size / 1e6:.1f}") for region, file in files]
            headings = ("region", "kept file that goes", "MB")
            console.stdout().print(console.table(headings, rows, right={"MB"}))
    progress.show([], failed)
    verb = "deleted" if args.apply else "would be deleted (pass --apply)"
    counted = f"{len(gone)} of {len(versions)} versions and {len(files)} kept files"
    console.info(f"{counted} {verb}; {reach.site.where}")


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

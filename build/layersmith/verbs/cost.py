"""``cost``: says what storage, builds and sessions cost."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from layersmith import cache, console
from layersmith.errors import BudgetError, ShipError
from layersmith.ship import github
from layersmith.ship.aws import buckets
from layersmith.ship.cost import billing, usage
from layersmith.ship.publish import observed, progress
from layersmith.verbs import options

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping, Sequence

    from rich.console import RenderableType

    from layersmith.ship.cost.billing import Alarm, Item, Prices, SessionUsage
    from layersmith.ship.cost.usage import RegionUse
    from layersmith.ship.publish.site import Site

EPILOG = """\
Reads the bytes of every layer version in every region, against the quota of 300 GB; the artifact
buckets; and, with --sessions PREFIX, what this month's sessions used, billed as `session run`
bills them. Prices come from build/layersmith/ship/cost/prices.json, which names their date and
source; free tiers are not taken off. A threshold that is passed warns, or fails with exit code 7.

examples:
  python build/layers.py cost
  python build/layers.py cost --versions                      every layer version by itself
  python build/layers.py cost --run-jobs jobs.json --sessions layersmith-prod
  python build/layers.py cost --append --history-out dist/cost-history.jsonl --warn 5 --fail 20
  python build/layers.py cost --prices mine.json              {"s3-storage-gb-month": 0.0245}
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.epilog = EPILOG
    options.add_filters(parser)
    options.add_regions(parser)
    options.add_accounts(parser)
    parser.add_argument("--prices", type=Path, help="JSON file with prices of your own")
    parser.add_argument(
        "--run-jobs", type=Path, action="append", default=[],
        help="jobs of a workflow run as GitHub's API answers (repeatable)",
    )  # fmt: skip
    parser.add_argument(
        "--github-runs",
        action="store_true",
        help="ask GitHub for this month's workflow runs (in a workflow run)",
    )
    parser.add_argument("--sessions", metavar="PREFIX", help="prefix of the state machines' names")
    parser.add_argument(
        "--warn", type=float, help="warn if the monthly cost exceeds this amount (USD)"
    )
    parser.add_argument(
        "--fail", type=float, help="fail if the monthly cost exceeds this amount (USD)"
    )
    parser.add_argument("--quota-warn", type=float, default=0.7, help="share of the quota (0.7)")
    parser.add_argument("--quota-fail", type=float, default=0.95, help="share of the quota (0.95)")
    parser.add_argument("--append", action="store_true", help="add this day to the history in S3")
    parser.add_argument("--history-out", type=Path, help="also write the history to this file")
    parser.add_argument("--versions", action="store_true", help="list every layer version")


def run(args: argparse.Namespace) -> int:
    """Read the meters, multiply by the prices, judge."""
    prices = billing.load(args.prices)
    loaded, targets = options.chosen(args)
    where = options.region_choice(args).by_region(targets)
    site = options.site(args, loaded, list(where))
    now = datetime.now(UTC)
    month = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    uses, failed = observed.in_parallel(
        lambda region: usage.region_use(site.aws[region], site.stack, region, where[region], month),
        list(where),
        workers=site.workers,
    )
    used = billing.SessionUsage()
    if args.sessions:
        used = usage.sessions(site.aws[site.home], site.home, args.sessions, month)
    jobs = [job for path in args.run_jobs for job in usage.read_jobs(path)]
    if args.github_runs:
        jobs += github.Repository.current().jobs(month)
    items = bill(prices, list(uses.values()), used, usage.minutes(jobs), site.home)
    record = _record(now, prices, items, list(uses.values()), used)
    if failed:
        record["unread"] = sorted(one.region for one in failed)
    alarms = _judge(args, prices, items, list(uses.values()))
    said = {
        "alarms": [one.text for one in alarms],
        "quarantined": [dataclasses.asdict(one) for one in failed],
    }
    _print(args, prices, items, list(uses.values()), {**record, **said})
    progress.show([], failed)
    for alarm in alarms:
        (console.error if alarm.fails else console.warn)(alarm.text)
    # Last: what was read is told even where the history cannot be written.
    _keep(args, site, record)
    if any(alarm.fails for alarm in alarms):
        return BudgetError.exit_code
    return ShipError.exit_code if failed else 0


def bill(
    prices: Prices,
    uses: Sequence[RegionUse],
    used: SessionUsage,
    minutes: Mapping[str, int],
    home: str,
) -> list[Item]:
    """Return the lines of the month's bill, those without any quantity left out."""
    lines = [
        line
        for use in uses
        for line in (
            ("s3-storage-gb-month", use.region, use.bucket_bytes / billing.GB),
            ("s3-put-1000", use.region, use.puts / 1000),
        )
    ]
    lines += [(key, "GitHub", float(count)) for key, count in minutes.items()]
    lines += [(key, home, quantity) for key, _, quantity in billing.session_lines(used)]
    return [billing.item(prices, *line) for line in lines if line[2]]


def _record(
    now: datetime,
    prices: Prices,
    items: Sequence[Item],
    uses: Sequence[RegionUse],
    used: SessionUsage,
) -> dict[str, Any]:
    by_key: dict[str, float] = {}
    for one in items:
        by_key[one.key] = round(by_key.get(one.key, 0.0) + one.cost, 6)
    return {
        "format": 1,
        "date": now.date().isoformat(),
        "currency": prices.currency,
        "prices": prices.date,
        "total": round(billing.total(list(items)), 6),
        "costs": by_key,
        "layer_bytes": {use.region: use.layer_bytes for use in uses},
        "quota": {use.region: round(use.share, 6) for use in uses},
        "sessions": dataclasses.asdict(used),
    }


def _keep(args: argparse.Namespace, site: Site, record: dict[str, Any]) -> None:
    """Append to the history in S3 if told to, and write it where the report reads it."""
    if not args.append and not args.history_out:
        return
    aws = site.aws[site.home]
    if args.append:
        bucket = buckets.ensure(aws, site.stack, site.home)
        text = usage.append(aws, site.home, bucket, record)
    else:
        bucket = buckets.artifact_bucket(site.stack, aws.account(site.home), site.home)
        text, _ = usage.read(aws, site.home, bucket)
    if args.history_out:
        cache.write_text(args.history_out, text)


def _print(
    args: argparse.Namespace,
    prices: Prices,
    items: Sequence[Item],
    uses: Sequence[RegionUse],
    record: dict[str, Any],
) -> None:
    if args.json:
        detail = [dataclasses.asdict(one) for one in items]
        versions = {use.region: [dataclasses.asdict(v) for v in use.versions] for use in uses}
        console.emit_json({**record, "items": detail, "versions": versions})
        return
    if args.versions:
        console.stdout().print(_versions_table(uses))
    console.stdout().print(_regions_table(uses))
    console.stdout().print(_bill_table(prices, items))


def _versions_table(uses: Sequence[RegionUse]) -> RenderableType:
    rows = [
        (use.region, one.layer, one.version, str(one.number), f"{one.size / 1e6:,.2f}")
        for use in uses
        for one in use.versions
    ]
    headings = ("region", "layer", "version", "number", "MB")
    return console.table(headings, rows, right={"number", "MB"})


def _regions_table(uses: Sequence[RegionUse]) -> RenderableType:
    rows = [
        (
            use.region,
            str(len(use.versions)),
            f"{use.layer_bytes / 1e6:,.2f}",
            f"{use.bucket_bytes / 1e6:,.2f}",
            f"{use.share:.2%}",
        )
        for use in uses
    ]
    headings = ("region", "layer versions", "layers MB", "bucket MB", "of quota")
    return console.table(headings, rows, right=headings[1:])


def _bill_table(prices: Prices, items: Sequence[Item]) -> RenderableType:
    title = f"{prices.currency} a month, prices of {prices.date}"
    if prices.overridden:
        title += f", your own for {', '.join(prices.overridden)}"
    rows = [(one.key, one.place, f"{one.quantity:,.4f}", f"{one.cost:,.4f}") for one in items]
    rows.append(("total", "", "", f"{billing.total(list(items)):,.4f}"))
    headings = ("what", "where", "quantity", "cost")
    return console.table(headings, rows, right=headings[2:], title=title)


def _judge(
    args: argparse.Namespace, prices: Prices, items: Sequence[Item], uses: Sequence[RegionUse]
) -> Sequence[Alarm]:
    limits = billing.Thresholds(args.warn, args.fail, args.quota_warn, args.quota_fail)
    shares = {use.region: use.share for use in uses}
    return billing.alarms(billing.total(list(items)), shares, limits, prices.currency)

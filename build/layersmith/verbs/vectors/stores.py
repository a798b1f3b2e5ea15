"""Actions that choose where a database is asked: `plan` and `migrate`."""

from __future__ import annotations

import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from layersmith import console
from layersmith.verbs.vectors import shared

if TYPE_CHECKING:
    import argparse

    from chroma_store.storage import Storage


def migrate_(args: argparse.Namespace, storage: Storage) -> dict[str, Any]:
    """Ask the database in another store."""
    from chroma_store.stores import migrate  # noqa: PLC0415

    to = shared.needed(args, "to")
    with tempfile.TemporaryDirectory(prefix="migrate-") as name:
        folder = Path(name)
        if args.yes:
            report = migrate.migrate(
                storage,
                args.database,
                to,
                folder,
                bucket=args.vector_bucket,
                leave_out=args.leave_out,
                say=console.info,
            )
        else:
            report = migrate.plan(storage, args.database, to, folder)
    for line in report.collections:
        for reason in (*line.left_out, *line.differences):
            console.warn(f"{line.collection}: {reason}")
    if args.yes:
        console.info(
            f"let the stage ask it there: `databases: {{{args.database}: {to}}}` in its file, and "
            "deploy"
        )
    else:
        console.info("nothing was changed; pass --yes to migrate")
    return {
        "applied": args.yes,
        "to": to,
        "former": list(report.former),
        "snapshot": report.snapshot,
        "collections": [asdict(line) for line in report.collections],
    }


def plan_(args: argparse.Namespace) -> int:
    """Print what each store costs and how fast it answers."""
    from layersmith.ship.cost import billing, vectors  # noqa: PLC0415

    prices = billing.load(args.prices)
    work = vectors.Workload(
        shared.needed(args, "vectors"),
        shared.needed(args, "dimensions"),
        shared.needed(args, "queries"),
        args.sessions,
        args.latency,
        args.space or "cosine",
        args.top,
    )
    plans = vectors.plan(work, prices)
    why = vectors.reason(work, plans)
    best = None if plans[0].misfits else plans[0].store
    if args.json:
        stores = [{**asdict(one), "cost": one.cost} for one in plans]
        console.emit_json(
            {
                "stores": stores,
                "recommended": best,
                "reason": why,
                "currency": prices.currency,
                "prices": prices.date,
                "sources": vectors.times().sources,
            }
        )
        return 0
    rows = [
        (
            one.store,
            f"{one.cost:,.2f}",
            f"{one.loading:,.2f}",
            _seconds(one.first_ms),
            _seconds(one.warm_ms),
            "; ".join(one.misfits) or "yes",
            one.limits,
        )
        for one in plans
    ]
    headings = ("store", "a month", "loading", "first answer", "warm query", "fits", "limits")
    title = f"{prices.currency}, prices of {prices.date}"
    console.stdout().print(console.table(headings, rows, right=headings[1:5], title=title))
    console.emit_text(f"recommended: {best or 'none'}: {why}")
    console.info(f"times: {vectors.times().sources}; each price's source is in prices.json")
    return 0


def _seconds(milliseconds: float) -> str:
    if milliseconds < 1000:
        return f"{milliseconds:.3g} ms"
    return f"{milliseconds / 1000:.3g} s"

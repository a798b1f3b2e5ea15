"""Actions for who writes functions: which store to ask, a local server, thresholds for verdicts."""

from __future__ import annotations

import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from layersmith import cache, console
from layersmith.errors import ConfigError, ShipError
from layersmith.verbs.vectors import data

if TYPE_CHECKING:
    import argparse

    from chroma_store.storage import Storage

CATCH_UP_SECONDS = 1.0
"""Between two looks of `serve` for new deltas."""


def serve_(args: argparse.Namespace, storage: Storage) -> dict[str, Any]:
    """Serve a database until Ctrl-C; `chroma_supervisor.local` is the session behind it."""
    from chroma_supervisor.local import LocalSession, serve  # noqa: PLC0415
    from vector_common.errors import SupervisorError  # noqa: PLC0415

    started: list[LocalSession] = []

    def ready(session: LocalSession) -> None:
        started.append(session)
        if not args.json:
            console.emit_text(f"url: {session.address}\ntoken: {session.token}")
        console.success(f"database {args.database} answers at {session.address}; Ctrl-C saves it")
        console.info(
            "for functions: "
            f"export CHROMA_URL={session.address} CHROMA_TOKEN_REFERENCE={session.token_reference}"
        )

    try:
        report = serve(
            storage.url,
            args.database,
            port=args.port,
            token_file=args.token_file,
            catch_up_seconds=CATCH_UP_SECONDS,
            ready=ready,
            say=console.info,
            warn=console.warn,
        )
    except SupervisorError as error:
        hint = None if started else "--port chooses another port; a killed session counts for 60 s"
        raise ShipError(str(error), target=args.database, hint=hint) from error
    return {
        "url": started[0].address if started else None,
        "snapshot": report["snapshotId"],
        "saved": report["flipped"],
        "deltas": report["deltas"],
        "collections": report["records"],
    }


def calibrate_(args: argparse.Namespace, storage: Storage) -> dict[str, Any]:
    """Propose thresholds from labelled records."""
    from chroma_store.calibration import calibrate  # noqa: PLC0415
    from chroma_store.server.client import ChromaHttp  # noqa: PLC0415
    from vector_common.search.neighbours import MOST  # noqa: PLC0415

    labels = args.purpose == "labels"
    count = (10 if labels else 20) if args.neighbours is None else args.neighbours
    if not 1 <= count < MOST or not 0 < args.precision <= 1 or args.sample < 1:
        raise ConfigError(
            f"calibrate needs --neighbours of 1 to {MOST - 1}, --precision above 0 and up to 1, "
            "and --sample of at least 1",
            hint="see --help",
        )
    collection = data.needed(args, "collection")
    key = args.key or ("label" if labels else "merchant")
    with data.served(args, storage) as url:
        made = calibrate(
            ChromaHttp(url),
            collection,
            args.purpose,
            key,
            precision=args.precision,
            neighbours=count,
            sample=args.sample,
        )
    result = {
        "kind": made.kind,
        "parameter": "minSimilarity" if labels else "match",
        "collection": collection,
        "labelled": made.labelled,
        "names": made.names,
        "asked": made.points[0].asked,
        "precision": args.precision,
        "proposal": made.proposal.document() if made.proposal else None,
        "curve": [point.document() for point in made.curve()],
        "points": [point.document() for point in made.points],
    }
    _draw(args, result)
    return result


def _draw(args: argparse.Namespace, result: dict[str, Any]) -> None:
    """Draw what a calibration found, in the terminal and as a page."""
    from layersmith.report import bars  # noqa: PLC0415

    if args.file:
        cache.write_text(args.file, bars.threshold_page(result))
        console.info(f"wrote {args.file}")
    if not args.json:
        console.stdout().print(bars.thresholds(result))
    if not result["proposal"]:
        console.warn(
            f"no {result['parameter']} decides 20 of the {result['asked']} records with a "
            f"precision of {result['precision']:.1%}; look at wrongly labelled records, or lower "
            "--precision"
        )


def migrate_(args: argparse.Namespace, storage: Storage) -> dict[str, Any]:
    """Ask the database in another store."""
    from chroma_store.stores import migrate  # noqa: PLC0415

    to = data.needed(args, "to")
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
        data.needed(args, "vectors"),
        data.needed(args, "dimensions"),
        data.needed(args, "queries"),
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

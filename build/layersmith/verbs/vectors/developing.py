"""Actions for who writes functions: a database to develop against, thresholds for verdicts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from layersmith import cache, console
from layersmith.errors import ConfigError, ShipError
from layersmith.verbs.vectors import shared

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
    collection = shared.needed(args, "collection")
    key = args.key or ("label" if labels else "merchant")
    with shared.served(args, storage) as url:
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

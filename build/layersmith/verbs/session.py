"""``session``: runs work against an ephemeral Chroma server."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from layersmith import console
from layersmith.errors import ShipError
from layersmith.ship.cost import billing, vectors
from layersmith.stacks import sessions
from layersmith.verbs import options

if TYPE_CHECKING:
    import argparse

    from layersmith.stacks.sessions import Ended, Sessions

EPILOG = """\
run starts the state machine vector-session: it takes the database's lock, starts the server,
runs the items, has the server save, and frees the lock. Results beyond 200 KB go to S3. Ctrl-C
leaves the session running; stop aborts it, which saves its data too.

The input is a JSON array of {"function": "vector_search", "event": {...}}, or an object with
`items`, or with `source` for a longer file on S3, and the session's other settings.

examples:
  python build/layers.py session run --database receipts --input events.json
  python build/layers.py session run --stage prod --database receipts --input events.json --json
  python build/layers.py session run --database receipts --input events.json --logs
  python build/layers.py session stop arn:aws:states:eu-west-1:123456789012:execution:...
"""
SUCCEEDED = "SUCCEEDED"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the sub-verbs and their options."""
    parser.epilog = EPILOG
    verbs = parser.add_subparsers(dest="step", required=True, metavar="run|stop")
    run_ = verbs.add_parser("run", help="start a session and follow it")
    run_.add_argument("--database", required=True, help="name of the vector database")
    run_.add_argument("--input", type=Path, required=True, help="JSON file with the work")
    run_.add_argument("--detach", action="store_true", help="print the execution, do not follow")
    run_.add_argument("--logs", action="store_true", help="print the server's log")
    run_.add_argument("--prices", type=Path, help="JSON that overrides single prices")
    stop = verbs.add_parser("stop", help="abort a session; its data is saved")
    stop.add_argument("execution", help="ARN, as run prints it")
    for sub in (run_, stop):
        sub.add_argument("--stage", default="dev", help="the deployed stage (dev)")
        options.add_templates(sub)
        options.add_account(sub)


def run(args: argparse.Namespace) -> int:
    """Run the sub-verb."""
    at = sessions.Sessions(options.aws(args), options.stage(args))
    if args.step == "stop":
        at.stop(args.execution)
        console.success("aborted; the clean-up saves its data and stops its server")
        if args.json:
            console.emit_json({"execution": args.execution, "status": "ABORTED"})
        return 0
    prices = billing.load(args.prices)
    work = sessions.read_input(args.input, args.database)
    arn = at.start(work)
    console.info(f"execution {arn}")
    if args.detach:
        if args.json:
            console.emit_json({"execution": arn, "status": "RUNNING"})
        else:
            console.emit_text(arn)
        return 0
    ended = _follow(at, arn, logs=args.logs)
    # Those of a `source` on S3 are not known here.
    without = vectors.elsewhere(ended.use, len(work.get("items", ())), prices)
    return _report(args, ended, billing.session_items(ended.use, prices), prices, without)


def _follow(at: Sessions, arn: str, *, logs: bool) -> Ended:
    with console.progress() as display:
        task = display.add_task("session", step="starting", total=None)
        done = 0

        def item() -> None:
            nonlocal done
            done += 1
            display.update(task, step=f"{done} items done")

        def state(name: str) -> None:
            display.update(task, step=name)
            console.info(f"  {name}")

        log = console.info if logs else (lambda _: None)
        try:
            return at.follow(arn, sessions.Watch(state, item, log))
        except KeyboardInterrupt:
            console.warn(f"not followed any more, but it runs: session stop {arn}")
            raise


def _report(
    args: argparse.Namespace,
    ended: Ended,
    items: list[billing.Item],
    prices: billing.Prices,
    without: str | None,
) -> int:
    money = billing.total(items)
    if args.json:
        document = dataclasses.asdict(ended)
        document["bill"] = [dataclasses.asdict(one) for one in items]
        console.emit_json(
            {**document, "cost": money, "currency": prices.currency, "without": without}
        )
    else:
        for one in items:
            console.info(f"  {one.cost:.6f} {prices.currency}  {one.key} ({one.place})")
        console.info(
            f"cost {money:.6f} {prices.currency} at on-demand prices of {prices.date}; the same "
            f"task always on: {billing.month_of_task(ended.use, prices):.2f} a month"
        )
        if without:
            console.info(without)
        place = ended.output.get("results") if isinstance(ended.output, dict) else None
        if isinstance(place, dict) and "bytes" in place:
            console.info(
                f"results of {place['items']} items, {place['bytes']} bytes, are in "
                f"s3://{place['bucket']}/{place['key']}"
            )
    if ended.status == SUCCEEDED:
        console.success(f"{SUCCEEDED} after {ended.seconds:.1f} s")
        return 0
    raise ShipError(
        f"the session {ended.status}: {ended.error} after {ended.seconds:.1f} s",
        cause=ended.cause or None,
        hint="every acknowledged write is safe; fix the cause and run it again",
    )

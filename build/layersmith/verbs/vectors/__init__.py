"""`vectors`: look after Chroma's data on S3 or in a folder."""

from __future__ import annotations

from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from layersmith import console
from layersmith.errors import ConfigError, ShipError
from layersmith.verbs import options
from layersmith.verbs.vectors import data, developing

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator

    from chroma_store.storage import Storage

EPILOG = """\
STORE is a folder, or s3://bucket/prefix as the stack chroma exports it (StorageUrl).
`vectors ACTION --help` explains the options of an action. snapshot, compact, promote, rebuild and
migrate refuse while a session is using the database; so does serve, after a minute.

examples:
  python build/layers.py vectors serve --store data/ --database receipts
  python build/layers.py vectors list data/ --database receipts
  python build/layers.py vectors compact s3://bucket/ --database receipts
  python build/layers.py vectors plan --vectors 100000 --dimensions 384 --queries 30000
  python build/layers.py vectors migrate s3://bucket/ --database receipts --to file --yes
  python build/layers.py vectors restore s3://bucket/ --database receipts --into /tmp/chroma
  python build/layers.py vectors calibrate data/ --database receipts --collection labels
  python build/layers.py vectors export data/ --database receipts --collection items --file i.pq
"""


@dataclass(frozen=True)
class VectorAction:
    """One action on a database.

    Attributes:
        run: Does it, and returns what `--json` prints.
        what: In a line, for the overview.
        more: What else its own help says.
        options: Its options, as argparse takes them.
        flips: It makes another snapshot the current one, which would cost a running session what
            its clients wrote, so that it holds the database.
        asks: It changes nothing without ``--yes``.
        begins: A database begins with it.
    """

    run: Callable[[argparse.Namespace, Storage], dict[str, Any]]
    what: str
    options: tuple[tuple[str, dict[str, Any]], ...] = ()
    more: str = ""
    flips: bool = False
    asks: bool = False
    begins: bool = False


_COLLECTION = ("--collection", {"help": "its name"})
_YES = ("--yes", {"action": "store_true", "help": "do it; without it, only say what would be done"})
_SPACES = ["cosine", "l2", "ip"]

ACTIONS = {
    "serve": VectorAction(
        developing.serve_,
        "run Chroma on this machine, behind the server image's proxy",
        (
            (
                "--port",
                {"type": int, "default": 8000, "help": "on 127.0.0.1 (8000); 0: a free one"},
            ),
            ("--token-file", {"type": Path, "metavar": "FILE", "help": "where to write the token"}),
        ),
        "It applies the pending deltas and those that come, prints its URL and token, and saves a"
        " snapshot at Ctrl-C.",
        begins=True,
    ),
    "show": VectorAction(
        data.show,
        "show the changes of a delta that no snapshot holds yet",
        (("--delta", {"metavar": "ID", "help": "which one (default: the newest)"}),),
    ),
    "snapshot": VectorAction(
        data.snapshot,
        "make a copy of a data folder the current snapshot",
        (("--data", {"type": Path, "metavar": "DIR", "help": "Chroma's folder"}),),
        "Stop the server of that folder first.",
        flips=True,
        begins=True,
    ),
    "restore": VectorAction(
        data.restore,
        "write a snapshot's files into an empty folder",
        (
            ("--into", {"type": Path, "metavar": "DIR", "help": "an empty folder"}),
            ("--snapshot", {"metavar": "ID", "help": "which one (default: the current one)"}),
        ),
    ),
    "list": VectorAction(data.list_, "list the kept snapshots, the current one marked"),
    "deltas": VectorAction(
        data.deltas,
        "list the changes that no snapshot holds yet",
        (("--discard", {"metavar": "ID", "help": "drop this one for good, quarantined or not"}),),
    ),
    "compact": VectorAction(
        data.compact_,
        "make a new snapshot of the current one and its deltas",
        (("--migrate", {"action": "store_true", "help": "let a newer Chroma migrate a copy"}),),
        flips=True,
    ),
    "verify": VectorAction(
        data.verify,
        "read a snapshot and every pending delta whole, and compare every checksum",
        (("--snapshot", {"metavar": "ID", "help": "which one (default: the current one)"}),),
        "It also lists what compaction has set aside because Chroma does not take it.",
    ),
    "promote": VectorAction(
        data.promote,
        "make a kept snapshot the current one again",
        (("--snapshot", {"metavar": "ID", "help": "which one"}),),
        flips=True,
    ),
    "rebuild": VectorAction(
        data.rebuild_,
        "give a collection another space or a new index, or remove it",
        (
            _COLLECTION,
            ("--space", {"choices": _SPACES, "help": "the new one; its own makes a new index"}),
            ("--remove", {"action": "store_true", "help": "delete it and its settings"}),
            (
                "--renamed-from",
                {"metavar": "NAME", "help": "also delete the settings of a former name"},
            ),
            _YES,
        ),
        "It keeps the records and compacts on the way.",
        flips=True,
        asks=True,
    ),
    "migrate": VectorAction(
        developing.migrate_,
        "ask the database in another store: file, s3vectors or session",
        (
            ("--to", {"choices": ["session", "file", "s3vectors"], "help": "the store"}),
            ("--vector-bucket", {"default": "", "metavar": "NAME", "help": "of S3 Vectors"}),
            (
                "--leave-out",
                {"action": "store_true", "help": "go on without records that do not fit"},
            ),
            _YES,
        ),
        "It proves that ids, metadata and documents are equal, and measures recall@10 against exact"
        " search.",
        flips=True,
        asks=True,
    ),
    "retain": VectorAction(
        data.retain,
        "delete snapshots beyond a rule",
        (
            ("--keep-last", {"type": options.at_least(0), "default": 7, "help": "ancestors (7)"}),
            ("--keep-days", {"type": options.at_least(0), "default": 7, "help": "by age (7)"}),
            (
                "--apply",
                {"action": "store_true", "help": "delete; without it, only say what would go"},
            ),
        ),
    ),
    "calibrate": VectorAction(
        developing.calibrate_,
        "propose thresholds of verdicts from labelled records",
        (
            _COLLECTION,
            (
                "--for",
                {
                    "dest": "purpose",
                    "choices": ["labels", "merchants"],
                    "default": "labels",
                    "help": "label_validation or merchant_match (labels)",
                },
            ),
            ("--key", {"help": "metadata key of the label (label, or merchant)"}),
            ("--precision", {"type": float, "default": 0.95, "help": "wanted precision (0.95)"}),
            ("--neighbours", {"type": int, "help": "as the function is asked for (its own)"}),
            ("--sample", {"type": int, "default": 1000, "help": "records to judge (1000)"}),
            ("--file", {"type": Path, "help": "also write a page with the curves"}),
        ),
        "It shows for each threshold what share of the decisions is right, and what share of the"
        " records is decided.",
    ),
    "export": VectorAction(
        data.export,
        "write a collection to a Parquet file, pending deltas included",
        (_COLLECTION, ("--file", {"type": Path, "help": "the Parquet file"})),
    ),
    "import": VectorAction(
        data.import_,
        "write a Parquet file as deltas of a collection",
        (
            _COLLECTION,
            ("--file", {"type": Path, "help": "the Parquet file"}),
            ("--space", {"choices": _SPACES, "help": "if the file has none"}),
            (
                "--embed",
                {
                    "action": "store_true",
                    "help": "make the vectors of its documents by the embedder that EMBEDDER names",
                },
            ),
        ),
        begins=True,
    ),
}

PLAN_OPTIONS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("--vectors", {"type": options.at_least(0), "help": "records in the collection"}),
    ("--dimensions", {"type": options.at_least(0), "help": "numbers in a vector"}),
    ("--queries", {"type": options.at_least(0), "help": "in a month"}),
    (
        "--sessions",
        {
            "type": options.at_least(0),
            "default": 0,
            "help": "batches they come in (0: at any time)",
        },
    ),
    ("--latency", {"type": float, "metavar": "MS", "help": "of an answer, at most"}),
    ("--space", {"choices": _SPACES, "help": "(cosine)"}),
    ("--top", {"type": options.at_least(0), "default": 10, "help": "records in an answer (10)"}),
    ("--prices", {"type": Path, "help": "JSON file with prices of your own"}),
)


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the actions and their options."""
    parser.epilog = EPILOG
    verbs = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    for name, action in ACTIONS.items():
        dry = " It is a dry run unless --yes is given." if action.asks else ""
        description = f"{action.what[0].upper()}{action.what[1:]}. {action.more}{dry}".strip()
        sub = verbs.add_parser(name, help=action.what, description=description)
        sub.add_argument(
            "place", metavar="STORE", nargs="?", help="a folder, or s3://bucket/prefix"
        )
        sub.add_argument("--store", metavar="STORE", help="the same as an option")
        sub.add_argument("--database", help="whose data")
        for option, settings in action.options:
            sub.add_argument(option, **settings)
    what = "say what each store costs a month, how fast it answers, and which fits"
    plan = verbs.add_parser("plan", help=what, description=f"{what}. It needs no database.")
    for option, settings in PLAN_OPTIONS:
        plan.add_argument(option, **settings)


def run(args: argparse.Namespace) -> int:
    """Run the verb.

    Raises:
        ConfigError: The arguments do not fit each other.
        ShipError: The data is not in the state that was asked for, or a session is using it.
    """
    if args.action == "plan":
        return developing.plan_(args)
    if not args.database:
        raise ConfigError(f"{args.action} needs --database", hint="see --help")
    if bool(args.place) == bool(args.store):
        raise ConfigError("vectors needs one STORE: a folder, or s3://bucket/prefix")
    args.store = args.store or args.place
    with _explained(args.database):
        from chroma_store.lease import held  # noqa: PLC0415 -- start-up time
        from chroma_store.storage import open_storage  # noqa: PLC0415

        url = args.store if "://" in args.store else Path(args.store).absolute().as_uri()
        storage = open_storage(url)
        _check_database(storage, args)
        action = ACTIONS[args.action]
        flips = action.flips and (not action.asks or args.yes)
        name = f"vectors-{args.action}"
        with held(storage, args.database, name) if flips else nullcontext():
            result = action.run(args, storage)
    if args.json:
        console.emit_json(result)
    else:
        # Drawn already.
        _print({k: v for k, v in result.items() if k not in {"curve", "points"}})
    return 0


def _check_database(storage: Storage, args: argparse.Namespace) -> None:
    """Refuse a database that is not in the store, unless the action makes one."""
    from vector_common.names import base, lease_key  # noqa: PLC0415

    lease = lease_key(args.database)
    if any(info.key != lease for info in storage.list(f"{base(args.database)}/")):
        return
    if ACTIONS[args.action].begins:
        console.info(f"database {args.database} is new")
        return
    found = ", ".join(storage.folders("databases/")) or "none"
    raise ConfigError(
        f"there is no database {args.database} in {args.store}",
        target=args.database,
        hint=f"databases there: {found}; check --database and STORE",
    )


@contextmanager
def _explained(database: str) -> Iterator[None]:
    """Turn what the data packages raise into this tool's errors."""
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415
    from vector_common.errors import BadRequest, VectorError  # noqa: PLC0415

    try:
        yield
    except BadRequest as error:
        raise ConfigError(str(error), target=database) from error
    except VectorError as error:
        cause, hint = None, "run it again" if error.retryable else None
        if isinstance(error.__cause__, BotoCoreError | ClientError):
            cause, hint = _aws_says(error.__cause__)
        raise ShipError(str(error), target=database, cause=cause, hint=hint) from error


def _aws_says(error: Exception) -> tuple[str | None, str | None]:
    """Return the likely cause and the next step for a failed call of S3."""
    from layersmith.ship.aws.failures import AwsFailure, explained  # noqa: PLC0415

    try:
        with explained("", "s3"):
            raise error
    except AwsFailure as failure:
        return failure.cause, failure.hint


def _print(result: dict[str, Any]) -> None:
    for key, value in result.items():
        if isinstance(value, list) and value and isinstance(value[0], dict):
            rows = [["" if cell is None else str(cell) for cell in row.values()] for row in value]
            console.stdout().print(console.table(list(value[0]), rows))
        else:
            console.emit_text(f"{key}: {value}")

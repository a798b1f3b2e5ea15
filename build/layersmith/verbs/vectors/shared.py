"""What the actions of `vectors` share."""

from __future__ import annotations

import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from layersmith import console
from layersmith.errors import ConfigError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from chroma_store.deltas.compaction import CompactionReport
    from chroma_store.deltas.log import ReplayReport
    from chroma_store.storage import Storage


def opened(args: argparse.Namespace, storage: Storage) -> tuple[Any, Any, frozenset[str]]:
    """Return the delta log of a database, its snapshots, and what the current one consumed."""
    from chroma_store.deltas.log import DeltaLog  # noqa: PLC0415
    from chroma_store.snapshots.store import SnapshotStore  # noqa: PLC0415

    store = SnapshotStore(storage, args.database)
    head = store.head()
    consumed = frozenset(store.manifest(head).consumed) if head else frozenset[str]()
    return DeltaLog(storage, args.database), store, consumed


def needed(args: argparse.Namespace, option: str) -> Any:
    """Return the value of an option that the action cannot do without.

    Raises:
        ConfigError: It was not given.
    """
    value = getattr(args, option)
    if value is None:
        raise ConfigError(f"{args.action} needs --{option}", hint="see --help")
    return value


@contextmanager
def served(args: argparse.Namespace, storage: Storage) -> Iterator[str]:
    """Serve a copy of the database with its pending deltas; give its address."""
    from chroma_store.server.process import ChromaProcess  # noqa: PLC0415

    log, store, consumed = opened(args, storage)
    with tempfile.TemporaryDirectory(prefix=f"{args.action}-") as folder:
        store.restore(Path(folder) / "data")
        with ChromaProcess(Path(folder) / "data") as server:
            warn_of(log.replay(server.base_url, consumed))
            yield server.base_url


def warn_of(report: CompactionReport | ReplayReport) -> None:
    """Warn of what was set aside."""
    for line in (*(item.summary for item in report.set_aside), *report.notes):
        console.warn(line)


def recall(report: CompactionReport) -> list[dict[str, object]]:
    """Say which indexes did not find what they hold, and return it as `--json` has it."""
    for item in report.recall:
        if item.low:
            console.warn(item.summary)
        elif item.rebuilt:
            console.info(item.summary)
    return [item.document() for item in report.recall]

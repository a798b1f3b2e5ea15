"""What the data volume remembers, so that a restarted container can go on where it was killed.

ECS can restart a container inside its task (``restartPolicy``); the volume then still holds
every write that was answered, which the storage does not have yet.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from chroma_supervisor.settings import Settings

MARKER_NAME = "session.json"
FORMAT = 1


@dataclass(frozen=True, slots=True)
class Marker:
    """A volume whose restore and replay are complete.

    Args:
        session_id: Whose session it is.
        database: Which database.
        parent: Id of the snapshot that it was restored from; None for an empty start.
        token_digest: SHA-256 of the session's token in hex, so that its clients can go on.
        token_expires_at: Unix time in seconds.
        flips: Ids of the snapshots that the session has tried to make current, if any. If the
            database is at one of them, that flip succeeded and only its answer was lost.
        applied: Ids of the deltas that were replayed into the data and are in no snapshot yet.
    """

    session_id: str
    database: str
    parent: str | None
    applied: tuple[str, ...]
    token_digest: str
    token_expires_at: float
    flips: tuple[str, ...] = ()


def write(data_dir: Path, marker: Marker) -> None:
    """Write the marker so that it is there whole, on disk, or not at all."""
    temporary = data_dir / f".{MARKER_NAME}.{os.getpid()}"
    try:
        with temporary.open("w", encoding="utf-8") as file:
            json.dump({"format": FORMAT, **asdict(marker)}, file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(data_dir / MARKER_NAME)
    finally:
        temporary.unlink(missing_ok=True)


def read(data_dir: Path) -> Marker | None:
    """The volume's marker; None if there is none or it is not understood."""
    try:
        document = json.loads((data_dir / MARKER_NAME).read_text(encoding="utf-8"))
        if document["format"] != FORMAT:
            return None
        return Marker(
            session_id=str(document["session_id"]),
            database=str(document["database"]),
            parent=document["parent"],
            applied=tuple(document["applied"]),
            token_digest=str(document["token_digest"]),
            token_expires_at=float(document["token_expires_at"]),
            flips=tuple(document["flips"]),
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def of_session(settings: Settings) -> Marker | None:
    """The marker, if the volume holds the data of this very session."""
    found = read(settings.data_dir)
    if found is None or not settings.database_dir.is_dir():
        return None
    same = (found.session_id, found.database) == (settings.session_id, settings.database)
    return found if same else None


def remove(data_dir: Path) -> None:
    """Forget the volume's state, before it changes."""
    (data_dir / MARKER_NAME).unlink(missing_ok=True)

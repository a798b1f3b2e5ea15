"""Which Chroma may open whose files."""

from __future__ import annotations

import os
import re
from importlib import metadata

from vector_common.errors import Refused


def running_version() -> str:
    """The version of the Chroma server on this machine.

    The server itself answers the version of its API. The image, which has the server's library
    without its Python package, says it in CHROMA_VERSION.
    """
    return os.environ.get("CHROMA_VERSION") or metadata.version("chromadb")


def check_version(snapshot: str, running: str, *, migrate: bool) -> None:
    """Raise unless a server may open a restored copy of a snapshot.

    Chroma migrates the files it opens, one way. Within a minor version that is taken as safe;
    over one it is done only when asked for; the snapshot itself never changes.

    Raises:
        Refused: The snapshot is newer, or older and ``migrate`` is False.
    """
    theirs, ours = _minor(snapshot), _minor(running)
    if theirs > ours:
        raise Refused(
            f"snapshot of Chroma {snapshot}: this server is {running} and cannot read it; "
            "use an image with that version, or restore an older snapshot"
        )
    if theirs < ours and not migrate:
        raise Refused(
            f"snapshot of Chroma {snapshot}: this server is {running} and would migrate it; "
            "allow the migration (--migrate) of a copy; the snapshot stays unchanged"
        )


def _minor(version: str) -> tuple[int, int]:
    match = re.match(r"(\d+)\.(\d+)", version)
    if not match:
        raise Refused(f"{version[:40]!r} is not a version of Chroma")
    return int(match[1]), int(match[2])

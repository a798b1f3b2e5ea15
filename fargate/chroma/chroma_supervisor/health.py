"""The container's health check, without curl: one request to the proxy over loopback."""

from __future__ import annotations

import http.client
import json

from chroma_supervisor.admission import ADMIN_PREFIX
from chroma_supervisor.session import Phase

TIMEOUT = 2.0
"""Seconds; ECS and Docker call a check that takes longer failed anyway."""


def check(port: int) -> int:
    """The exit code of a health check: 0 while the session lives, 1 if it does not.

    A session that restores or that stores its snapshot is alive, though it serves nobody:
    whoever replaced it then would lose what it is about to keep.
    """
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT)
    try:
        connection.request("GET", f"{ADMIN_PREFIX}health")
        phase = json.loads(connection.getresponse().read())["phase"]
    except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError):
        return 1
    finally:
        connection.close()
    return 1 if phase == Phase.FAILED else 0

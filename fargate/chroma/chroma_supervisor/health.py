"""The container's health check, without curl: one request to the proxy over loopback."""

from __future__ import annotations

import http.client

from chroma_supervisor.admission import ADMIN_PREFIX

TIMEOUT = 2.0
"""Seconds; ECS and Docker call a check that takes longer failed anyway."""


def check(port: int) -> int:
    """0 if the session serves, 1 if it does not or does not answer, as a health check exits."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT)
    try:
        connection.request("GET", f"{ADMIN_PREFIX}health")
        return 0 if connection.getresponse().status == 200 else 1
    except OSError:
        return 1
    finally:
        connection.close()

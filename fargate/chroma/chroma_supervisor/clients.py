"""The botocore clients of the session, made when first asked for."""

from __future__ import annotations

import threading
from typing import Any

CONNECT_TIMEOUT = 3.0
READ_TIMEOUT = 15.0
"""Seconds; every call here is small, and a session that hangs on one cannot end in time."""

ATTEMPTS = 5


class Clients:
    """Makes one client a service; safe to call from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._clients: dict[str, Any] = {}

    def __call__(self, service: str) -> Any:
        """The client of a service such as ``ssm``, with botocore's own region and credentials."""
        with self._lock:
            if service not in self._clients:
                from vector_common import aws  # noqa: PLC0415 - a file:// session needs none

                config = {
                    "connect_timeout": CONNECT_TIMEOUT,
                    "read_timeout": READ_TIMEOUT,
                    "retries": {"mode": "standard", "total_max_attempts": ATTEMPTS},
                }
                self._clients[service] = aws.client(service, config)
            return self._clients[service]

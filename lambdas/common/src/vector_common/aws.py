"""Clients of AWS services for processes that start cold.

They are what ``boto3.client`` returns, made by botocore itself: boto3 would load its resources and
transfers too, 45 ms that neither a function's first answer nor a session's start has use for.
"""

from __future__ import annotations

import functools
import threading
from datetime import datetime
from typing import Any

import botocore.session
from botocore.config import Config
from botocore.utils import parse_timestamp

_lock = threading.Lock()


def client(service: str, config: dict[str, Any], **options: Any) -> Any:
    """Make a client, by default with the environment's region, credentials and endpoint.

    Args:
        service: For example ``s3``.
        config: Arguments of botocore's ``Config``: timeouts and retries.
        options: Further arguments of ``boto3.client``, such as ``endpoint_url``.
    """
    # A session must not make two clients at once; the clients themselves may be shared.
    with _lock:
        return _session().create_client(service, config=Config(**config), **options)


@functools.cache
def _session() -> botocore.session.Session:
    session = botocore.session.get_session()
    session.get_component("response_parser_factory").set_parser_defaults(timestamp_parser=moment)
    return session


def moment(value: Any) -> datetime:
    """A timestamp of an answer, as botocore reads it.

    Listings hold one per object as ``2026-11-26T18:00:00.000Z``; dateutil, which botocore hands
    them to, takes three quarters of the time that a listing takes.

    Raises:
        ValueError: It is none.
    """
    if isinstance(value, str) and value[10:11] == "T":
        return datetime.fromisoformat(value)
    return parse_timestamp(value)

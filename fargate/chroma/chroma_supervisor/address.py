"""Where the session's clients reach this task."""

from __future__ import annotations

import json
import os
import socket
import urllib.request
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

METADATA_VARIABLE = "ECS_CONTAINER_METADATA_URI_V4"
"""Set by the Fargate agent (platform version 1.4.0 and later) in every container."""

METADATA_TIMEOUT = 2.0
"""Seconds; the endpoint is on the same host."""


@dataclass(frozen=True, slots=True)
class TaskAddress:
    """The task as its clients see it.

    Args:
        url: Base URL of the proxy, without a slash at the end.
        task_arn: ARN of the ECS task; None outside ECS.
    """

    url: str
    task_arn: str | None


def find(
    public_address: str, listen_host: str, port: int, environ: Mapping[str, str] = os.environ
) -> TaskAddress:
    """Find the address: what was set, else the task's private IP, else the host's own.

    Args:
        public_address: PUBLIC_ADDRESS, a URL or empty.
        listen_host: The address that the proxy is bound to.
        port: The port that the proxy is bound to.
        environ: Where to look for the metadata endpoint of ECS.
    """
    metadata = _task_metadata(environ.get(METADATA_VARIABLE, ""))
    arn = metadata.get("TaskARN")
    task_arn = arn if isinstance(arn, str) else None
    if public_address:
        return TaskAddress(public_address.rstrip("/"), task_arn)
    return TaskAddress(f"http://{_private_ip(metadata) or _own_ip(listen_host)}:{port}", task_arn)


def _task_metadata(base: str) -> dict[str, Any]:
    if not base.startswith("http://"):
        return {}
    with urllib.request.urlopen(f"{base}/task", timeout=METADATA_TIMEOUT) as answer:  # noqa: S310
        document = json.load(answer)
    return document if isinstance(document, dict) else {}


def _private_ip(metadata: Mapping[str, Any]) -> str | None:
    for container in metadata.get("Containers", []):
        for network in container.get("Networks", []):
            for address in network.get("IPv4Addresses", []):
                return str(address)
    return None


def _own_ip(listen_host: str) -> str:
    if listen_host not in {"", "0.0.0.0", "::"}:  # noqa: S104 - compared, not bound
        return listen_host
    try:
        return socket.gethostbyname(socket.gethostname())
    except OSError:
        return "127.0.0.1"

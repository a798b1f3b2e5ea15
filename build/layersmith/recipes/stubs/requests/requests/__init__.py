"""Stub of requests: its errors and answers by name, for packages that only tell them apart."""

from __future__ import annotations

from typing import Any

from .exceptions import ConnectionError, HTTPError, RequestException, Timeout  # noqa: A004

__all__ = ["ConnectionError", "HTTPError", "RequestException", "Response", "Timeout"]


class Response:
    """An answer, of which there is none.

    Raises:
        ImportError: Always.
    """

    def __init__(self) -> None:
        __getattr__("Response")


def __getattr__(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(name)
    raise ImportError(
        f"requests.{name} was asked for, and this layer holds a stub of requests: add requests to "
        "the requirements of the layer"
    )

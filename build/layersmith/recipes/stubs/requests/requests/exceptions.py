"""Stub of requests.exceptions: the errors by name; nothing raises them."""

from __future__ import annotations

from typing import Any


class RequestException(OSError):
    """A request failed."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.response = kwargs.pop("response", None)
        self.request = kwargs.pop("request", None)
        super().__init__(*args, **kwargs)


class HTTPError(RequestException):
    """An answer says that a request failed."""


class ConnectionError(RequestException):  # noqa: A001 -- requests' own name
    """No connection was made."""


class Timeout(RequestException):
    """An answer did not come in time."""

"""Stub of langsmith.address: nothing has an address to which traces are sent."""

from __future__ import annotations

from typing import Any

from .utils import refuse


def ensure_agent(address: Any) -> Any:
    """Refuse.

    Raises:
        RuntimeError: Always.
    """
    refuse()

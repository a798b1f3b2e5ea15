"""Stub of langsmith.run_helpers: there is never a run that is traced."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from .utils import refuse

if TYPE_CHECKING:
    from collections.abc import Iterator


def get_current_run_tree() -> None:
    """Return None: nothing is traced."""


def get_tracing_context(context: Any = None) -> dict[str, Any]:
    """Return a context in which nothing is set."""
    return {
        "parent": None,
        "project_name": None,
        "address": None,
        "tags": None,
        "metadata": None,
        "enabled": None,
        "client": None,
        "replicas": None,
        "distributed_parent_id": None,
    }


def _set_tracing_context(context: dict[str, Any] | None = None) -> None:
    """Do nothing: no run is traced."""


@contextlib.contextmanager
def tracing_context(*, enabled: Any = None, **kwargs: Any) -> Iterator[None]:
    """Do nothing for a while.

    Raises:
        RuntimeError: Tracing is to be enabled.
    """
    if enabled:
        refuse()
    yield


def traceable(*args: Any, **kwargs: Any) -> Any:
    """Return the function unchanged, or a decorator that returns it unchanged.

    Raises:
        RuntimeError: Tracing is to be enabled.
    """
    if kwargs.get("enabled"):
        refuse()
    if args and callable(args[0]):
        return args[0]
    return lambda function: function

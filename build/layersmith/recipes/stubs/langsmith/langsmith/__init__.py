"""Stub of LangSmith: what langchain-core and what stands on it name; nothing is traced.

Where tracing is asked for, it says that it is not there: traces are not silently lost.
"""

from __future__ import annotations

from typing import Any

from . import address, run_helpers, run_trees, utils
from .run_helpers import (
    get_current_run_tree,
    get_tracing_context,
    traceable,
    tracing_context,
)
from .run_trees import Client, RunTree

__all__ = [
    "Client",
    "RunTree",
    "address",
    "get_current_run_tree",
    "get_tracing_context",
    "run_helpers",
    "run_trees",
    "traceable",
    "tracing_context",
    "utils",
]


def __getattr__(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(name)
    raise ImportError(
        f"langsmith.{name} was asked for, and this layer holds a stub of langsmith: add langsmith "
        "to the requirements of the layer"
    )

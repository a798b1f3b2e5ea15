"""Stub of langsmith.utils: whether traces are asked for, and that there are none."""

from __future__ import annotations

import os
from typing import Any, NoReturn

VARIABLES = (
    "LANGSMITH_TRACING_V2",
    "LANGCHAIN_TRACING_V2",
    "LANGSMITH_TRACING",
    "LANGCHAIN_TRACING",
)
"""The first that is set decides."""


class LangSmithError(Exception):
    """An error of LangSmith's API."""


def refuse() -> NoReturn:
    """Say that nothing can be traced.

    Raises:
        RuntimeError: Always.
    """
    raise RuntimeError(
        "tracing with LangSmith was asked for, and this layer holds a stub of langsmith: add "
        "langsmith to the requirements of the layer, or unset LANGSMITH_TRACING"
    )


def tracing_is_enabled(ctx: dict[str, Any] | None = None) -> bool:
    """Return False.

    Raises:
        RuntimeError: The environment asks for tracing.
    """
    values = [os.environ.get(name, "").strip() for name in VARIABLES]
    if next(filter(None, values), "") == "true":
        refuse()
    return False

"""Stub of Jinja2 for spaCy, whose command `init config` alone fills in a template."""

from __future__ import annotations

from typing import Any

__all__ = ["Template"]


class Template:
    """Refuses to be made.

    Raises:
        ImportError: Always.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        __getattr__("Template")


def __getattr__(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(name)
    raise ImportError(
        f"jinja2.{name} was asked for, and this layer holds a stub of jinja2: add jinja2 to the "
        "requirements of the layer"
    )

"""Stub of opentelemetry.sdk.trace: a provider that records nothing."""

from typing import Any

from opentelemetry.trace import TracerProvider as _Provider

__all__ = ["TracerProvider"]


class TracerProvider(_Provider):
    """A provider that takes processors and sends them nothing."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.resource = kwargs.get("resource")

    def add_span_processor(self, span_processor: Any) -> None:
        """Do nothing."""

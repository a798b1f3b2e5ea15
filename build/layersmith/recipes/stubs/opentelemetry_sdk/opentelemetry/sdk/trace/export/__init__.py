"""Stub of opentelemetry.sdk.trace.export: a processor that gets no spans."""

from typing import Any

__all__ = ["BatchSpanProcessor"]


class BatchSpanProcessor:
    """A processor of spans that gets none."""

    def __init__(self, span_exporter: Any, *args: Any, **kwargs: Any) -> None:
        self.span_exporter = span_exporter

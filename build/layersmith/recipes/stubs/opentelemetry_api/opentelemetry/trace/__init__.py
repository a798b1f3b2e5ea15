"""Stub of opentelemetry.trace: what chromadb-client names; nothing is recorded.

chromadb-client asks for a tracer only after it made an exporter, and the exporter's stub refuses
to be made: spans are not silently lost.
"""

import contextlib
import enum
from collections.abc import Iterator
from typing import Any

__all__ = [
    "Span",
    "SpanKind",
    "StatusCode",
    "Tracer",
    "TracerProvider",
    "get_current_span",
    "get_tracer",
    "get_tracer_provider",
    "set_tracer_provider",
]


class SpanKind(enum.Enum):
    """Kinds of spans (OpenTelemetry trace API)."""

    INTERNAL = 0
    SERVER = 1
    CLIENT = 2
    PRODUCER = 3
    CONSUMER = 4


class StatusCode(enum.Enum):
    """Status of a span (OpenTelemetry trace API)."""

    UNSET = 0
    OK = 1
    ERROR = 2


class Span:
    """A span that records nothing."""

    def set_attribute(self, key: Any, value: Any) -> None:
        """Do nothing."""

    def set_attributes(self, attributes: Any) -> None:
        """Do nothing."""

    def set_status(self, status: Any, description: Any = None) -> None:
        """Do nothing."""

    def add_event(self, name: Any, attributes: Any = None, timestamp: Any = None) -> None:
        """Do nothing."""

    def record_exception(
        self, exception: Any, attributes: Any = None, timestamp: Any = None, escaped: bool = False
    ) -> None:
        """Do nothing."""

    def end(self, end_time: Any = None) -> None:
        """Do nothing."""

    def is_recording(self) -> bool:
        """Return False, as a span of a provider without SDK does."""
        return False


class Tracer:
    """A tracer whose spans record nothing."""

    def start_span(self, name: Any, *args: Any, **kwargs: Any) -> Span:
        """Return a span that records nothing."""
        return Span()

    @contextlib.contextmanager
    def start_as_current_span(self, name: Any, *args: Any, **kwargs: Any) -> Iterator[Span]:
        """Yield a span that records nothing."""
        yield Span()


class TracerProvider:
    """A provider of tracers that record nothing."""

    def get_tracer(self, *args: Any, **kwargs: Any) -> Tracer:
        """Return a tracer."""
        return Tracer()


_provider = TracerProvider()


def set_tracer_provider(tracer_provider: Any) -> None:
    """Remember a provider."""
    global _provider
    _provider = tracer_provider


def get_tracer_provider() -> TracerProvider:
    """Return the provider that was set, or one that records nothing."""
    return _provider


def get_tracer(*args: Any, **kwargs: Any) -> Tracer:
    """Return a tracer of the current provider."""
    return _provider.get_tracer(*args, **kwargs)


def get_current_span(context: Any = None) -> Span:
    """Return a span that records nothing."""
    return Span()

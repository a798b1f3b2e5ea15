"""Stub of the OTLP exporter: says that it is not there when it is asked for."""

from typing import Any

__all__ = ["OTLPSpanExporter"]


class OTLPSpanExporter:
    """Refuses to be made.

    Raises:
        RuntimeError: Always: grpc and protobuf, which it needs, were left out of the layer.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        raise RuntimeError(
            "OTLP export was asked for (chroma_otel_granularity is not 'none'), and this layer "
            "holds no OpenTelemetry exporter. Leave the setting at 'none', or build the layer "
            "without the stubs for opentelemetry."
        )

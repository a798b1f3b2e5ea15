"""Stub of opentelemetry.sdk.resources."""

from typing import Any

__all__ = ["SERVICE_NAME", "Resource"]

SERVICE_NAME = "service.name"


class Resource:
    """Attributes of what would be traced."""

    def __init__(self, attributes: Any, schema_url: Any = None) -> None:
        self.attributes = dict(attributes)
        self.schema_url = schema_url

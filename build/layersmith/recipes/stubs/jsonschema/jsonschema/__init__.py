"""Stub of jsonschema: its error, and a validator that says that it is not there.

chromadb-client imports both, and validates only against schema files that its wheel does not
hold: it raises FileNotFoundError before it gets here.
"""

from typing import Any

__all__ = ["SchemaError", "ValidationError", "validate"]


class ValidationError(Exception):
    """An instance does not fit its schema."""

    def __init__(self, message: Any, *args: Any, **kwargs: Any) -> None:
        super().__init__(message, *args)
        self.message = message
        self.path = ()


class SchemaError(Exception):
    """A schema is not valid."""


def validate(instance: Any, schema: Any, *args: Any, **kwargs: Any) -> None:
    """Refuse.

    Raises:
        RuntimeError: Always.
    """
    raise RuntimeError(
        "this layer holds a stub of jsonschema, which validates nothing; build the layer without "
        "the stub to validate instances"
    )

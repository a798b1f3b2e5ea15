"""Stub of PyYAML: refuses to read.

chromadb-client imports it beside its token authentication, whose server side alone reads YAML.
"""

from typing import Any

__all__ = ["YAMLError", "safe_load"]


class YAMLError(Exception):
    """A document is not YAML."""


def safe_load(stream: Any) -> None:
    """Refuse.

    Raises:
        RuntimeError: Always.
    """
    raise RuntimeError(
        "this layer holds a stub of PyYAML, which reads nothing; build the layer without the stub"
    )

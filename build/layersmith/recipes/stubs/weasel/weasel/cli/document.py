"""Stub of weasel.cli.document."""

from . import project_document

__all__ = ["project_document"]

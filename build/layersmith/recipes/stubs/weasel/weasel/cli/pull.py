"""Stub of weasel.cli.pull."""

from . import project_pull

__all__ = ["project_pull"]

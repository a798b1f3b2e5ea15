"""Stub of weasel.cli.clone."""

from . import project_clone

__all__ = ["project_clone"]

"""Stub of weasel.cli.push."""

from . import project_push

__all__ = ["project_push"]

"""Stub of weasel.cli.run."""

from . import project_run

__all__ = ["project_run"]

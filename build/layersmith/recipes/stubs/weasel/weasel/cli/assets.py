"""Stub of weasel.cli.assets."""

from . import project_assets

__all__ = ["project_assets"]

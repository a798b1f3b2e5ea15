"""Stub of weasel.cli.dvc."""

from . import project_update_dvc

__all__ = ["project_update_dvc"]

"""Stub of weasel.cli: what spaCy imports; whatever is called refuses."""

from __future__ import annotations

from typing import Any, NoReturn

import typer

__all__ = [
    "app",
    "project_assets",
    "project_clone",
    "project_document",
    "project_pull",
    "project_push",
    "project_run",
    "project_update_dvc",
]

WITHOUT = (
    "this layer holds a stub of weasel, which has no commands: add weasel to the requirements of "
    "the layer"
)

app = typer.Typer(name="weasel", help=WITHOUT)


def refuse(*args: Any, **kwargs: Any) -> NoReturn:
    """Refuse.

    Raises:
        RuntimeError: Always.
    """
    raise RuntimeError(WITHOUT)


project_assets = project_clone = project_document = project_pull = refuse
project_push = project_run = project_update_dvc = refuse

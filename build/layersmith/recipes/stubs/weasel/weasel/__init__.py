"""Stub of Weasel: the commands of `spacy project` by name; none runs."""

from __future__ import annotations

from .cli import app

__all__ = ["app"]

"""Handlers as Lambda loads them: a file named handler.py in a folder of its own."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

LAMBDAS = Path(__file__).parents[3] / "lambdas"

Handler = Callable[..., dict[str, Any]]


@pytest.fixture(scope="session")
def load() -> Callable[[str], Any]:
    """The module of a function."""
    loaded: dict[str, Any] = {}

    def load(name: str) -> Any:
        if name not in loaded:
            path = LAMBDAS / name / "handler.py"
            spec = importlib.util.spec_from_file_location(f"function_{name}", path)
            assert spec
            assert spec.loader
            loaded[name] = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(loaded[name])
        return loaded[name]

    return load

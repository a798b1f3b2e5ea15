"""Targets of layers that are made up for a test."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from layersmith.base import runtimes
from layersmith.config.models import Layer
from layersmith.plan import Target

MakeTarget = Callable[..., Target]


@pytest.fixture
def make_target() -> MakeTarget:
    def make(runtime: str = "python3.13", architecture: str = "arm64", **settings: Any) -> Target:
        said = {
            "description": "d",
            "version": "1.0.0",
            "runtimes": [runtime],
            "requirements": ["pillow"],
            **settings,
        }
        layer = Layer.model_validate(said)
        return Target("demo", runtimes.get(runtime), architecture, layer)

    return make

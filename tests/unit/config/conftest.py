"""A folder in which a layers.yaml is written and loaded."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from layersmith.config import loader
from layersmith.config.loader import LoadedConfig
from layersmith.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

Load = Callable[[str], LoadedConfig]
Problems = Callable[[str], list[str]]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    def write_and_load(text: str) -> LoadedConfig:
        path = tmp_path / "layers.yaml"
        path.write_text(text, "utf-8")
        return loader.load(path)

    return write_and_load


@pytest.fixture
def problems(load: Load) -> Problems:
    """Load a document that must be refused and return its problems, one a line."""

    def refused(text: str) -> list[str]:
        with pytest.raises(ConfigError) as caught:
            load(text)
        first, *rest = caught.value.message.splitlines()
        return [line.strip() for line in rest] or [first]

    return refused

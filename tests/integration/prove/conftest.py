"""Runners, and functions made of a few lines."""

from __future__ import annotations

import sys
import textwrap
from typing import TYPE_CHECKING, Any, Protocol

import pytest
from layersmith import runtimes
from layersmith.prove import runner as runners
from layersmith.prove.models import FunctionSpec

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from layersmith.prove.runner import Runner

HERE = f"python3.{sys.version_info[1]}"
"""The runtime whose interpreter runs these tests, so that the host runner needs no other."""


class MakeFunction(Protocol):
    """Writes a handler, and returns the function."""

    def __call__(self, source: str, **settings: Any) -> FunctionSpec: ...


@pytest.fixture
def function(tmp_path: Path) -> MakeFunction:
    def make(source: str, **settings: Any) -> FunctionSpec:
        folder = tmp_path / f"code-{len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        (folder / "handler.py").write_text(textwrap.dedent(source))
        return FunctionSpec(handler="handler.handler", code=folder, **settings)

    return make


@pytest.fixture(scope="session")
def host() -> Iterator[Runner]:
    with runners.make("host", runtimes.get(HERE), "arm64") as opened:
        yield opened


@pytest.fixture(scope="session")
def engine() -> Iterator[Runner]:
    """The Docker runner; tests that use it have the marker docker."""
    with runners.make("docker", runtimes.get("python3.13"), "arm64") as opened:
        yield opened


@pytest.fixture(params=["host", pytest.param("engine", marks=pytest.mark.docker)])
def runner(request: pytest.FixtureRequest) -> Runner:
    found: Runner = request.getfixturevalue(request.param)
    return found

"""Runners, and functions made of a few lines."""

from __future__ import annotations

import os
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import docker
import pytest
from layersmith.base import runtimes
from layersmith.engine.client import Engine
from layersmith.prove import runners
from layersmith.prove.base_images import standin
from layersmith.prove.models import FunctionSpec

from tests.support import cli

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator

    from layersmith.prove.runners import Runner

ROOT = Path(__file__).parents[3]

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


@pytest.fixture
def load(tmp_path: Path) -> Iterator[Callable[..., str]]:
    """Make an image of a few files, and remove it at the end."""
    names: list[str] = []

    def make(files: dict[str, bytes], architecture: str = "arm64") -> str:
        root = tmp_path / f"root-{len(names)}"
        for name, content in files.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
            path.chmod(0o755)
        name = f"layersmith-test/{os.getpid()}-{len(names)}:{tmp_path.name[-20:].lower()}"
        names.append(name)
        standin.write_archive(
            tmp_path / "image.tar",
            root,
            tag=name,
            architecture=architecture,
            config={"Entrypoint": ["/lambda-entrypoint.sh"]},
        )
        Engine("tests").load(tmp_path / "image.tar")
        return name

    yield make
    for name in names:
        docker.from_env().images.remove(name, force=True)


class Call(Protocol):
    """Runs the tool as people do."""

    def __call__(self, *words: str) -> subprocess.CompletedProcess[str]: ...


@pytest.fixture(scope="session")
def call() -> Call:
    return cli.layers


@pytest.fixture(scope="session")
def built(call: Call, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Build all layers for a runtime, once; from the cache, that takes seconds."""
    known: dict[str, Path] = {}

    def build(runtime: str) -> Path:
        if runtime not in known:
            dist = tmp_path_factory.mktemp(f"dist-{runtime}")
            done = call("build", "--runtime", runtime, "--dist", str(dist), "--quiet")
            assert done.returncode == 0, done.stderr
            known[runtime] = dist
        return known[runtime]

    return build

"""What all tests share: whether there is a Docker engine to prove with."""

from __future__ import annotations

import functools
import os
import shutil
import signal
import sys
import sysconfig
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings
from layersmith import console
from layersmith.base import runtimes, uv
from layersmith.errors import LayersmithError

if TYPE_CHECKING:
    from collections.abc import Iterator

# Tests start some thousand processes. Where a machine asks for no bytecode, each would compile what
# it imports: collecting the tests alone takes twice the time. Tests that mean it say so themselves.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

RUNTIME = "python3.13"
"""The runtime of the base image that the Docker tests use."""

# Speed is measured in tests/bench alone: a busy machine fails no property.
settings.register_profile("layersmith", deadline=None)
settings.load_profile("layersmith")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option that CI sets."""
    parser.addoption(
        "--require-docker",
        action="store_true",
        help="fail where a test of the marker docker would be skipped",
    )
    parser.addoption(
        "--slow", action="store_true", help="run the tests that take more than ten seconds, too"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Keep xdist from putting the files with the most tests first, see below."""
    if hasattr(config.option, "loadscopereorder"):
        config.option.loadscopereorder = False


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the files first that take longest, so that none of them is left over at the end.

    A file's tests stay together on one of xdist's workers. Those that compile and emulate are few
    in a file; by their number they would come last, and one worker would end minutes after all.
    """
    weights: Counter[Path] = Counter()
    for item in items:
        weights[item.path] += _weight(item)
    items.sort(key=lambda item: -weights[item.path])


def _weight(item: pytest.Item) -> int:
    """About how many tenths of a second a test takes, by its markers and its folder."""
    docker, slow = (item.get_closest_marker(name) is not None for name in ("docker", "slow"))
    if item.get_closest_marker("exhaustive") is not None:
        return 0
    if docker:
        return 200 if slow else 20
    if slow:
        return 100 if item.config.getoption("--slow") else 0
    return 6 if "integration" in item.path.parts else 0


@pytest.fixture(autouse=True)
def new_consoles(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test has consoles of its own, as wide as those of a pipe.

    A console lives as long as its process and keeps the width that it was made with; xdist gives
    its workers 80 columns, in which tables fold. How much is said stays as the last verb chose it.
    """
    monkeypatch.delenv("COLUMNS", raising=False)
    console.stdout.cache_clear()
    console.stderr.cache_clear()
    console.set_volume()


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Children of the test end by Ctrl-C, wherever the tests were started.

    A script's background command ignores SIGINT, and so do all processes that it starts: nothing
    is interrupted then, and a test that waits for it waits in vain.
    """
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@functools.cache
def docker_is_missing(runtime: str = RUNTIME) -> str | None:
    """Return why the Docker proofs of a runtime cannot run here, or None."""
    try:
        from layersmith.engine.client import Engine
        from layersmith.prove import base_images

        base_images.choose(Engine("tests"), runtimes.get(runtime), "arm64")
    except (ImportError, LayersmithError) as problem:
        return str(problem)
    return None


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what was not asked for and what cannot run here, each with the reason."""
    for marker in item.iter_markers("needs"):
        for name in marker.args:
            if not _has(name):
                pytest.skip(f"needs {name}, which this machine has not")
    if item.get_closest_marker("docker") is not None:
        _judge_docker(item)
    elif item.get_closest_marker("slow") is not None:
        asked = item.config.getoption("--slow") or "slow" in item.config.getoption("markexpr")
        if not asked:
            pytest.skip("takes more than ten seconds; run it by --slow")
    asked = "exhaustive" in item.config.getoption("markexpr")
    if item.get_closest_marker("exhaustive") is not None and not asked:
        pytest.skip("takes minutes; run it by -m exhaustive")


def _has(name: str) -> bool:
    """Whether the machine has what a test needs."""
    if name == "Python.h":
        return Path(sysconfig.get_path("include"), name).is_file()
    if name.startswith("python3."):
        return uv.interpreter(int(name.removeprefix("python3."))) is not None
    return shutil.which(name) is not None


def _judge_docker(item: pytest.Item) -> None:
    """Skip what needs Docker where there is none; fail it with --require-docker."""
    marker = item.get_closest_marker("docker")
    reason = docker_is_missing(*marker.args) if marker else None
    if reason is None:
        return
    if item.config.getoption("--require-docker"):
        pytest.fail(f"--require-docker, and {reason}", pytrace=False)
    pytest.skip(reason)

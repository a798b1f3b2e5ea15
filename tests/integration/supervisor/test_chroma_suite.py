"""Chroma's own tests of its client: the layer's client, the real server, with and without proxy.

Nothing of Chroma's tests is kept here but their names; they are fetched with its package.
"""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import subprocess
import tomllib
import zipfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
from chroma_store.server.process import ChromaProcess
from chroma_store.snapshots.versions import running_version
from layersmith.base import uv

from tests.support import cli

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.chroma_sessions import Launcher

pytestmark = pytest.mark.exhaustive

ROOT = Path(__file__).parents[3]
NAMES = Path(__file__).with_name("chroma_suite.toml")
PLUGIN = ROOT / "tests" / "support" / "chroma_suite.py"
MINOR = 13
"""Of the runtime whose layer is tried."""

NEEDS = ("pytest<9", "pytest-asyncio", "hypothesis", "psutil", "uvicorn")
"""Of Chroma's tests; its conftest uses what pytest 9 no longer has."""

OPTIONS = ("-p", "chroma_suite", "-p", "no:cacheprovider", "-q", "--tb=line", "-rfE")

LIMIT = 1200.0
"""Seconds for all of them; two minutes were measured."""

CONFIG = """\
defaults: {{runtimes: [python3.{minor}], architectures: [{architecture}], license: Apache-2.0}}
layers:
  chromadb-vector:
    description: the client
    version: 1.0.0
    requirements: ["chromadb-client=={version}"]
    recipes: all
    bytecode: only
"""


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the layer's content, Chroma's tests, and an interpreter that has pytest."""
    folder = tmp_path_factory.mktemp("suite")
    python = uv.interpreter(MINOR, install=False)
    if python is None:
        pytest.skip(f"no CPython 3.{MINOR} here, for which the layer is")
    version = running_version()
    _uv_or_skip("venv", "-p", str(python), str(folder / "venv"))
    install = ("pip", "install", "-p", str(folder / "venv/bin/python"))
    _uv_or_skip(*install, *NEEDS)
    # The layer's numpy has no numpy.random, which the tests use.
    for name, target in ((f"chromadb=={version}", "whole"), ("numpy>=2,<3", "numpy")):
        _uv_or_skip(*install, "--no-deps", "--target", str(folder / target), name)
    _layer(folder, version)
    shutil.copy(PLUGIN, folder)
    return folder


def _layer(folder: Path, version: str) -> None:
    """Build the layer for this machine, and unpack it."""
    machine = {"aarch64": "arm64"}.get(platform.machine(), platform.machine())
    config = CONFIG.format(minor=MINOR, architecture=machine, version=version)
    (folder / "layers.yaml").write_text(config)
    for verb in ("lock", "build"):
        done = cli.layers(verb, cwd=folder)
        assert done.returncode == 0, done.stderr
    [made] = (folder / "dist" / "latest").glob("*.zip")
    with zipfile.ZipFile(made) as archive:
        archive.extractall(folder / "layer")


def _uv(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [uv.program(), *words], capture_output=True, text=True, check=False, timeout=LIMIT
    )


def _uv_or_skip(*words: str) -> None:
    done = _uv(*words)
    if done.returncode:
        pytest.skip(f"uv {' '.join(words[:2])} failed: {done.stderr[-500:]}")


@contextmanager
def _bare(folder: Path) -> Iterator[tuple[str, dict[str, str]]]:
    (folder / "data").mkdir()
    with ChromaProcess(folder / "data") as server:
        yield server.base_url, {}


@contextmanager
def _proxied(start: Launcher) -> Iterator[tuple[str, dict[str, str]]]:
    session = start(MAX_REQUESTS_PER_SECOND="100000", IDLE_TIMEOUT="1200")
    # As the functions' client sends it.
    headers = json.dumps({"Authorization": f"Bearer {session.token}"})
    yield session.url, {"CHROMA_SERVER_HEADERS": headers}
    assert session.finish() == 0


@pytest.mark.parametrize("way", ["bare", "proxied"])
def test_chroma_s_own_tests_pass(suite: Path, way: str, tmp_path: Path, start: Launcher) -> None:
    tests = tomllib.loads(NAMES.read_text())["tests"]
    names = [f"{file}::{name}" for file, found in tests.items() for name in found]
    with _bare(tmp_path) if way == "bare" else _proxied(start) as (url, more):
        place = urlsplit(url)
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(tmp_path),
            "PYTHONPATH": os.pathsep.join(
                str(suite / part) for part in ("numpy", "layer/python", ".")
            ),
            "CHROMA_SUITE": str(suite / "whole/chromadb"),
            "CHROMA_INTEGRATION_TEST_ONLY": "1",
            "CHROMA_SERVER_HOST": str(place.hostname),
            "CHROMA_SERVER_HTTP_PORT": str(place.port),
            **more,
        }
        done = subprocess.run(
            [str(suite / "venv/bin/python"), "-m", "pytest", *OPTIONS, *names],
            cwd=suite / "whole/chromadb/test",
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=LIMIT,
        )
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
    passed = re.search(r"(\d+) passed", done.stdout)
    # Each by the client and by the asynchronous one.
    assert passed
    assert int(passed[1]) == 2 * len(names)

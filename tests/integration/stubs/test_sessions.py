"""The client of layers.yaml with the real distributions and with their stubs, side by side."""

from __future__ import annotations

import ast
import json
import os
import socket
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from layersmith.assemble import prune
from layersmith.base import runtimes
from layersmith.config.models import Prune
from layersmith.engine import emulation
from layersmith.prove import services, sites
from layersmith.recipes import book
from pathspec import GitIgnoreSpec

from tests.support import clocks

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[3]
SESSION = Path(__file__).with_name("session.py")
LAYER = yaml.safe_load((ROOT / "layers.yaml").read_text())["layers"]["chromadb-vector"]
CLIENT = book.read(book.SHIPPED / "chromadb-client.toml")
STUBS = [str(book.SHIPPED / one.path) for one in CLIENT.stubs.values()]
TOPS = {"jsonschema", "opentelemetry", "overrides", "yaml"}
EXCLUDED = {"attr", "attrs", "google", "grpc", "jsonschema_specifications", "referencing", "rpds"}
"""Top-level modules of the distributions that go with what the stubs replace."""


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The client as its wheel holds it; what it requires is installed with the tests."""
    folder = tmp_path_factory.mktemp("client")
    runtime = runtimes.get(f"python3.{sys.version_info[1]}")
    machine = emulation.host_architecture()
    sites.install_for(runtime, machine, folder, LAYER["requirements"], what="the client")
    return folder


@pytest.fixture(scope="module")
def stubbed(client: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The path of a layer: stubs, the client, and of the rest what is not excluded."""
    rest = tmp_path_factory.mktemp("rest")
    for path in Path(sysconfig.get_path("purelib")).iterdir():
        if path.name not in TOPS | EXCLUDED and path.suffix != ".pth":
            (rest / path.name).symlink_to(path)
    return [*STUBS, str(client), str(rest)]


@pytest.fixture(scope="module")
def real(client: Path) -> list[str]:
    """The path as an installation makes it."""
    return [str(client), sysconfig.get_path("purelib")]


@pytest.fixture(scope="module")
def server() -> Iterator[services.ChromaService]:
    with services.ChromaService() as running:
        yield running


def python(paths: list[str], *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-S", *words],
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": os.pathsep.join(paths),
            "PYTHONDONTWRITEBYTECODE": "1",
            **variables,
        },
        capture_output=True,
        text=True,
        timeout=clocks.seconds(120),
        check=False,
    )


def session(paths: list[str], port: int) -> Any:
    with socket.socket() as taken:
        # Bound and not listening: whoever connects is refused.
        taken.bind(("127.0.0.1", 0))
        nobody = taken.getsockname()[1]
        done = python(paths, str(SESSION), "127.0.0.1", str(port), str(nobody))
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    text = json.dumps(found).replace(f":{nobody}", ":<nobody>")
    return json.loads(text)


def test_results_and_error_types_are_the_same(
    real: list[str], stubbed: list[str], server: services.ChromaService
) -> None:
    expected = session(real, server.port)
    found = session(stubbed, server.port)
    for kind in ("sync", "async"):
        # Step by step, so that a difference names its step.
        for step, outcome in expected[kind].items():
            assert (step, found[kind][step]) == (step, outcome)
    assert found == expected
    sync = found["sync"]
    # The session is worth comparing: it found what it should, and raised what it should.
    assert sync["count"] == 12
    assert sync["query"]["ids"][0][0] == "id-3"
    assert sync["missing"]["raised"][0] == "chromadb.errors.NotFoundError"
    assert sync["wrong dimension"]["raised"][0] == "chromadb.errors.InvalidArgumentError"
    assert sync["nobody answers"]["raised"][0] == "builtins.ValueError"
    assert found["async"]["query"] == sync["query"]


def test_the_stubs_are_what_was_loaded(real: list[str], stubbed: list[str]) -> None:
    """The comparison would compare nothing if the real packages were found first."""
    words = (
        "import chromadb, sys; print(sorted({m.__file__ for n, m in sys.modules.items()"
        f" if n.split('.')[0] in {sorted(TOPS)} and getattr(m, '__file__', None)}}))"
    )
    for paths, wanted in ((stubbed, True), (real, False)):
        done = python(paths, "-c", words)
        assert done.returncode == 0, done.stderr
        files = ast.literal_eval(done.stdout)
        assert {part for one in files for part in Path(one).parts} >= {"overrides", "opentelemetry"}
        assert all(any(one.startswith(f"{s}/") for s in STUBS) is wanted for one in files), files


def test_asking_for_otlp_says_what_is_missing(
    stubbed: list[str], server: services.ChromaService
) -> None:
    done = python(
        stubbed,
        "-c",
        f"import chromadb; chromadb.HttpClient(host='127.0.0.1', port={server.port})",
        CHROMA_OTEL_GRANULARITY="all",
        CHROMA_OTEL_COLLECTION_ENDPOINT="http://127.0.0.1:4317",
    )
    assert done.returncode == 1
    assert (
        done.stderr.strip()
        .splitlines()[-1]
        .startswith(
            "RuntimeError: OTLP export was asked for (chroma_otel_granularity is not 'none')"
        )
    )


def test_every_name_that_the_layer_imports_is_in_its_stub(client: Path) -> None:
    """Read from the client's sources, those left out that the layer leaves out."""
    gone = GitIgnoreSpec.from_lines(CLIENT.prune)
    wanted: set[tuple[str, str]] = set()
    for path in sorted((client / "chromadb").rglob("*.py")):
        inner = path.relative_to(client).as_posix()
        if not gone.match_file(inner) and not _by_default(inner):
            wanted |= _imported(path)
    assert ("overrides", "EnforceOverrides") in wanted
    lines = [f"from {module} import {name}" for module, name in sorted(wanted) if name]
    lines += [f"import {module}" for module, name in sorted(wanted) if not name]
    done = python(STUBS, "-c", "\n".join(lines))
    assert done.returncode == 0, done.stderr


def _by_default(inner: str) -> bool:
    assert Prune().defaults
    return any(rule.spec.match_file(inner) for rule in prune.default_rules())


def _imported(path: Path) -> set[tuple[str, str]]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names = [(alias.name, "") for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = [(node.module, alias.name) for alias in node.names]
        else:
            continue
        found |= {one for one in names if one[0].split(".")[0] in TOPS}
    return found

"""The functions under lambdas/ come up in the ARM64 runtime with the built layers, and answer."""

from __future__ import annotations

import http.client
import io
import json
import zipfile
from typing import TYPE_CHECKING, Any

import pytest
from layersmith.prove.models import FunctionSpec
from layersmith.prove.services import ChromaService
from layersmith.stacks import assets

from tests.support import clocks

from .conftest import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from layersmith.prove.runners import Runner

pytestmark = [pytest.mark.docker, pytest.mark.slow]

NAMES = sorted(path.parent.name for path in ROOT.glob("lambdas/*/handler.py"))
WITH_CHROMA = {"label_validation", "merchant_match", "session_work", "vector_search"}
COLLECTIONS = "/api/v2/tenants/default_tenant/databases/default_database/collections"
VECTORS = [[1.0, 0.0, 0.0], [0.8, 0.6, 0.0], [0.0, 0.0, 1.0]]
"""Unit vectors: against the first one, their cosines are 1, 0.8 and 0."""


@pytest.fixture
def specification(built: Callable[[str], Path], tmp_path: Path) -> Callable[..., FunctionSpec]:
    dist = built("python3.13")
    tmp_path.chmod(0o755)  # a function in a container is another user

    def unpacked(name: str) -> Path:
        with zipfile.ZipFile(io.BytesIO(assets.zip_function(ROOT / "lambdas" / name))) as archive:
            archive.extractall(tmp_path / name)
        return tmp_path / name

    def make(name: str, **environment: str) -> FunctionSpec:
        layers = ["vector-common", *(["chromadb-vector"] if name in WITH_CHROMA else [])]
        return FunctionSpec(
            handler="handler.handler",
            code=unpacked(name),
            layers=tuple(next(dist.glob(f"{layer}-*.zip")) for layer in layers),
            environment=environment,
            name=name,
            timeout=clocks.seconds(60),
        )

    return make


@pytest.fixture(scope="module")
def chroma(engine: Runner) -> Iterator[tuple[ChromaService, str]]:
    """A server with one collection, and the address that functions know it by."""
    with ChromaService(engine.service_host) as server:
        configuration = {"hnsw": {"space": "cosine"}}
        made = post(server, "", {"name": "receipts", "configuration": configuration})
        records = {
            "ids": ["one", "two", "three"],
            "embeddings": VECTORS,
            "metadatas": [{"merchant": m, "label": "food"} for m in ("ada", "ada", "bob")],
        }
        post(server, f"/{made['id']}/upsert", records)
        yield server, f"http://{engine.service_name}:{server.port}"


def post(server: ChromaService, path: str, body: dict[str, Any]) -> Any:
    connection = http.client.HTTPConnection(server.host, server.port, timeout=10)
    headers = {"Content-Type": "application/json"}
    connection.request("POST", COLLECTIONS + path, json.dumps(body), headers)
    response = connection.getresponse()
    content = response.read()
    assert response.status < 300, content
    return json.loads(content)


@pytest.mark.parametrize("name", NAMES)
def test_each_comes_up(
    name: str, engine: Runner, specification: Callable[..., FunctionSpec]
) -> None:
    with engine.start(specification(name)) as running:
        assert running.init.error is None


def test_search_finds_what_is_near(
    engine: Runner, specification: Callable[..., FunctionSpec], chroma: tuple[ChromaService, str]
) -> None:
    event = {
        "collection": "receipts",
        "embedding": VECTORS[0],
        "minSimilarity": 0.5,
        "session": {"address": chroma[1]},
    }
    with engine.start(specification("vector_search")) as running:
        answer = running.invoke(event)
    assert answer.error is None
    found = answer.payload["results"]
    assert [one["id"] for one in found] == ["one", "two"]
    assert [one["similarity"] for one in found] == pytest.approx([1.0, 0.8], abs=1e-5)


def test_changes_are_kept_without_a_server(
    engine: Runner, specification: Callable[..., FunctionSpec]
) -> None:
    event = {
        "database": "receipts",
        "collection": {"name": "receipts", "dimension": 3, "space": "cosine"},
        "records": [{"op": "upsert", "id": "four", "embedding": VECTORS[2]}],
    }
    spec = specification("delta_writer", STORAGE_URL="file:///tmp/storage")
    with engine.start(spec) as running:
        answer = running.invoke(event)
    assert answer.error is None
    assert answer.payload["records"] == 1
    assert len(answer.payload["deltas"]) == 1


def test_a_request_that_is_none_is_refused(
    engine: Runner, specification: Callable[..., FunctionSpec]
) -> None:
    with engine.start(specification("vector_search")) as running:
        answer = running.invoke({"collection": 3})
    assert answer.error is not None
    assert answer.error.type == "BadRequest"

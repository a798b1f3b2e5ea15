"""Calls of Chroma's API, and the collections that they settle."""

from __future__ import annotations

from typing import Any

import pytest
import urllib3
from chroma_store.server import client
from chroma_store.server.client import ChromaHttp
from chroma_store.snapshots.manifest import CollectionInfo
from vector_common.errors import Conflict, ModelMismatch, NotFound, Unavailable
from vector_common.records import CollectionSpec, EmbeddingModel, model_metadata, parse_records

from tests.unit.vectors.fake_chroma import FakeChroma

TITAN, NOVA = EmbeddingModel("titan"), EmbeddingModel("nova", "2")


@pytest.fixture
def chroma() -> FakeChroma:
    return FakeChroma()


def test_collections_of_all_pages_come_by_name(
    chroma: FakeChroma, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "_PAGE", 2)
    for name in ("c", "b", "a", "d"):
        chroma.put(name, {"r": [1.0, 2.0]} if name == "b" else {})
    chroma.collections["d"]["configuration_json"] = None
    found = chroma.http.collections()
    assert [one.name for one in found] == ["a", "b", "c", "d"]
    assert found[1] == CollectionInfo("b", 2, 1, "cosine")
    assert found[3].space is None
    elsewhere = ChromaHttp("http://chroma/", place=("us", "a b"))
    assert "/tenants/us/databases/a%20b/" in elsewhere._api
    monkeypatch.setattr(elsewhere._http, "request", chroma.request)
    assert elsewhere.collections()[0].name == "us/a b/a"


def test_a_collection_is_made_once_and_its_model_is_written(chroma: FakeChroma) -> None:
    spec = CollectionSpec("c", 2, "l2")
    first = chroma.http.ensure(spec)
    assert first == (chroma.collections["c"]["id"], "l2")
    assert chroma.http.model("c") is None
    asked = len(chroma.asked)
    assert chroma.http.ensure(spec) == first
    assert len(chroma.asked) == asked + 1
    named = CollectionSpec("c", 2, "l2", TITAN)
    chroma.collections["c"]["metadata"] = {"mine": 1}
    assert chroma.http.ensure(named) == first
    assert chroma.http.model("c") == TITAN
    assert chroma.collections["c"]["metadata"] == {"mine": 1} | model_metadata(TITAN)
    asked = len(chroma.asked)
    chroma.http.ensure(named)
    assert [method for method, _ in chroma.asked[asked:]] == ["POST"]
    with pytest.raises(ModelMismatch):
        chroma.http.ensure(CollectionSpec("c", 2, "l2", NOVA))


def test_an_empty_collection_of_other_settings_is_made_anew(chroma: FakeChroma) -> None:
    chroma.put("c", {}, metadata={"mine": 1})
    chroma.collections["c"]["dimension"] = 7
    old = chroma.collections["c"]["id"]
    identifier, space = chroma.http.ensure(CollectionSpec("c", 2, "cosine"))
    assert (identifier != old, space) == (True, "cosine")
    assert chroma.collections["c"]["metadata"] == {"mine": 1}
    assert chroma.http.ensure(CollectionSpec("c", 2, "ip"))[1] == "ip"


def test_a_collection_with_records_keeps_its_space_and_refuses_another_dimension(
    chroma: FakeChroma,
) -> None:
    made = chroma.put("c", {"r": [1.0, 2.0]})
    assert chroma.http.ensure(CollectionSpec("c", 2, "l2")) == (made["id"], "cosine")
    with pytest.raises(Conflict, match="records of 2 dimensions, its delta has 3"):
        chroma.http.ensure(CollectionSpec("c", 3, "cosine"))
    assert chroma.http.count(made["id"]) == 1


def test_a_copy_has_the_settings_of_the_other_and_its_own_space(chroma: FakeChroma) -> None:
    old = chroma.put("a/b", {}, metadata={"hnsw:space": "l2", "mine": 1})
    old["configuration_json"] = {"hnsw": {"space": "l2", "ef": 9}, "more": 1}
    old["name"] = "a"
    chroma.http.create_like("a", "copy", "ip")
    copy = chroma.collections["copy"]
    assert copy["metadata"] == {"hnsw:space": "ip", "mine": 1}
    assert copy["configuration_json"] == {"hnsw": {"space": "ip", "ef": 9}, "more": 1}
    old["metadata"], old["configuration_json"] = {"mine": 1}, {"hnsw": None}
    chroma.http.create_like("a", "plain", "ip")
    plain = chroma.collections["plain"]
    assert (plain["metadata"], plain["configuration_json"]) == (
        {"mine": 1},
        {"hnsw": {"space": "ip"}},
    )


def test_records_are_written_whole_and_their_parts_are_told(
    chroma: FakeChroma, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = CollectionSpec("c", 2)
    rows: list[dict[str, Any]] = [
        {"id": "a", "embedding": [1.0, 2.0], "metadata": {"k": 1}},
        {"id": "b", "embedding": [3.0, 4.0], "document": "text"},
    ]
    sent: list[Any] = []
    real = chroma.http._call

    def call(*said: Any) -> Any:
        sent.append(said)
        return None if said[1].endswith("/upsert") else real(*said)

    made = chroma.put("c", {})
    records = parse_records(rows, spec)
    monkeypatch.setattr(chroma.http, "_call", call)
    chroma.http.upsert(made["id"], records, [{"k": 1}, None])
    body = sent[0][2]
    assert (body["ids"], len(body["embeddings"])) == (["a", "b"], 2)
    assert (body["metadatas"], body["documents"]) == ([{"k": 1}, None], [None, "text"])
    made["records"] = {"a": [[1.0, 2.0], {"k": 1}, None, None], "b": [[3.0, 4.0], None, "t", None]}
    assert chroma.http.parts(made["id"], ["a", "b", "z"]) == {
        "a": ({"k"}, False),
        "b": (set(), True),
    }
    chroma.http.delete(made["id"], ["a"])
    assert sent[-1][1:] == (f"{chroma.http._api}/{made['id']}/delete", {"ids": ["a"]})


def test_a_server_that_is_not_there_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    server = ChromaHttp("http://chroma")

    def lost(*_: Any, **__: Any) -> Any:
        raise urllib3.exceptions.HTTPError("gone")

    monkeypatch.setattr(server._http, "request", lost)
    with pytest.raises(Unavailable, match="HTTPError: gone"):
        server.heartbeat()


def test_a_name_that_is_not_known_is_not_found(chroma: FakeChroma) -> None:
    chroma.put("c", {})
    assert chroma.http.find("c") == chroma.collections["c"]["id"]
    with pytest.raises(NotFound):
        chroma.http.find("d")

"""Texts in place of vectors, with the embedder for tests and with plug-ins of one's own."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from vector_common import embedding, errors
from vector_common.deltas import DeltaWriter, decode
from vector_common.embedding.bedrock import Bedrock
from vector_common.embedding.hashing import Hashing
from vector_common.records import CollectionSpec, EmbeddingModel
from vector_common.storage import open_storage

if TYPE_CHECKING:
    from pathlib import Path

    from vector_common.deltas import Delta

Load = Callable[[str], Any]


@pytest.fixture(autouse=True)
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A store of its own, EMBEDDER=hashing of 8 dimensions."""
    embedding.forget()
    monkeypatch.setenv("STORAGE_URL", tmp_path.as_uri())
    monkeypatch.setenv("EMBEDDER", "hashing")
    monkeypatch.setenv("EMBEDDER_DIMENSION", "8")
    return tmp_path


def event(*records: dict[str, Any], **collection: Any) -> dict[str, Any]:
    return {
        "database": "db",
        "collection": {"name": "receipts", **collection},
        "records": list(records),
    }


def deltas(store: Path) -> list[Delta]:
    paths = sorted((store / "databases/db/deltas").iterdir())
    return [decode(path.read_bytes(), path.stem) for path in paths]


def settled(store: Path) -> dict[str, Any]:
    text = (store / "databases/db/collections/receipts.json").read_text()
    return dict(json.loads(text))


def test_texts_become_vectors_and_documents_of_a_collection_that_names_the_model(
    load: Load, store: Path
) -> None:
    records: list[dict[str, Any]] = [
        {"id": "a", "text": "green tea", "metadata": {"n": 1}},
        {"id": "b", "embedding": [1.0] * 8},
        {"id": "c", "text": "black tea", "document": "kept"},
        {"op": "delete", "id": "d"},
    ]
    assert load("delta_writer").handler(event(*records), None)["records"] == 4
    [delta] = deltas(store)
    assert delta.spec.dimension == 8
    assert delta.spec.model == EmbeddingModel("hashing", "1")
    assert [record.document for record in delta.records] == ["green tea", None, "kept", None]
    [expected] = Hashing(8).embed(["green tea"], "document")
    assert delta.records[0].embedding is not None
    assert list(delta.records[0].embedding) == pytest.approx(expected)
    assert settled(store)["model"] == {"name": "hashing", "version": "1"}


@pytest.mark.parametrize(
    ("record", "problem"),
    [
        ({"id": "a", "text": ""}, r"records\[0\].text: must be a string"),
        ({"id": "a", "text": "x" * 8193}, r"records\[0\].text: must be a string"),
        ({"id": "a", "text": 1}, r"records\[0\].text: must be a string"),
        ({"id": "a", "text": "\ud800", "document": "x"}, r"records\[0\].text: has a character"),
        ({"id": "a", "text": "x", "embedding": [1.0] * 8}, r"give either embedding or text"),
        ({"op": "delete", "id": "a", "text": "x"}, r"a delete takes an id and nothing else"),
        ({"id": "", "text": "x"}, r"records\[0\].id: must be a string"),
        ({"id": "a", "text": "x", "metadata": {"$a": 1}}, r"records\[0\].metadata: key"),
    ],
)
def test_the_embedder_is_not_asked_for_a_change_that_is_refused(
    load: Load, store: Path, monkeypatch: pytest.MonkeyPatch, record: dict[str, Any], problem: str
) -> None:
    monkeypatch.setattr(Hashing, "embed", lambda *_: pytest.fail("was asked"))
    with pytest.raises(errors.BadRequest, match=problem):
        load("delta_writer").handler(event(record), None)
    assert list(store.iterdir()) == []


def test_without_an_embedder_a_text_is_refused(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EMBEDDER")
    with pytest.raises(errors.BadRequest, match=r"records\[1\]\.text: needs an embedder"):
        load("delta_writer").handler(
            event({"id": "a", "embedding": [1.0]}, {"id": "b", "text": "x"}, dimension=1), None
        )


def test_another_model_or_dimension_is_a_mismatch_that_nobody_retries(
    load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = load("delta_writer").handler
    tea = {"id": "a", "text": "tea"}
    write(event(tea), None)
    with pytest.raises(errors.ModelMismatch, match=r"has 4 dimensions.* hashing 1 gives 8"):
        write(event(tea, dimension=4), None)
    with pytest.raises(errors.ModelMismatch, match="come from the model titan, these from hashing"):
        write(event(tea, model={"name": "titan"}), None)
    monkeypatch.setattr(Hashing, "model", EmbeddingModel("hashing", "2"))
    # As an event of an API: a status of the 400s, and no Retry-After.
    request = {"requestContext": {}, "body": json.dumps(event(tea))}
    answer = write(request, None)
    assert answer["statusCode"] == 409
    assert "Retry-After" not in answer["headers"]
    assert json.loads(answer["body"])["error"] == "ModelMismatch"
    # What was embedded elsewhere, and names its model, is held to the same rule.
    raw = {"id": "b", "embedding": [1.0] * 8}
    write(event(raw, dimension=8, model={"name": "hashing", "version": "1"}), None)
    with pytest.raises(errors.ModelMismatch):
        write(event(raw, dimension=8, model={"name": "other"}), None)


def test_a_collection_without_a_model_takes_the_first_one(store: Path) -> None:
    storage = open_storage(store.as_uri())
    plain = CollectionSpec("receipts", 2)
    named = CollectionSpec("receipts", 2, model=EmbeddingModel("one"))
    early, late = DeltaWriter(storage, "db"), DeltaWriter(storage, "db")
    assert early.settle(plain).model is None
    assert late.settle(named).model == EmbeddingModel("one")
    assert settled(store)["model"] == {"name": "one", "version": ""}
    # The first writer remembers settings without a model, and meets the new ones.
    with pytest.raises(errors.ModelMismatch):
        early.settle(CollectionSpec("receipts", 2, model=EmbeddingModel("two")))
    assert DeltaWriter(storage, "db").settle(plain).model == EmbeddingModel("one")
    with pytest.raises(errors.ModelMismatch, match="is 2 dimensions"):
        early.settle(CollectionSpec("receipts", 3, model=EmbeddingModel("one")))


def test_a_batch_of_texts_may_be_sent_again_though_the_model_answers_otherwise(
    load: Load, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = load("delta_writer").handler
    batch = {**event({"id": "a", "text": "tea"}), "idempotencyKey": "k"}
    first = write(batch, None)
    [before] = deltas(store)
    monkeypatch.setattr(Hashing, "embed", lambda _, texts, kind: [[1.0] * 8 for _ in texts])
    assert write(batch, None) == first
    assert deltas(store) == [before]
    with pytest.raises(errors.Conflict, match="another batch"):
        write({**event({"id": "a", "text": "other"}), "idempotencyKey": "k"}, None)


PLUG_IN = """
from vector_common.records import EmbeddingModel
class Counting:
    model, dimension, batch = EmbeddingModel("counting", "3"), 2, 2
    asked = []
    def embed(self, texts, kind):
        self.asked.append((list(texts), kind))
        return [[len(text), 1] for text in texts]
object_of_it = Counting()
def plain(texts):
    return [[len(text), 1] for text in texts]
"""


@pytest.mark.parametrize("name", ["Counting", "object_of_it", "plain"])
def test_a_plug_in_is_a_class_an_object_or_a_function(
    store: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    (store / "plug_in.py").write_text(PLUG_IN)
    monkeypatch.syspath_prepend(str(store))
    monkeypatch.setenv("EMBEDDER", f"plug_in:{name}")
    embedder = embedding.configured()
    assert embedder
    vectors = embedding.embed(embedder, ["a", "bb", "ccc"], "document")
    assert [list(vector) for vector in vectors] == [[1, 1], [2, 1], [3, 1]]
    if name == "plain":
        assert embedder.model == EmbeddingModel("plug_in:plain")
    else:
        assert embedder.model == EmbeddingModel("counting", "3")
        asked = embedder.asked  # type: ignore[attr-defined]
        assert asked[-2:] == [(["a", "bb"], "document"), (["ccc"], "document")]


@given(text=st.text(min_size=1))
def test_hashing_gives_any_text_a_direction(text: str) -> None:
    [vector] = Hashing(16).embed([text], "query")
    assert math.hypot(*vector) == pytest.approx(1)


def test_hashing_brings_texts_that_share_words_together() -> None:
    tea, teas, car = Hashing(256).embed(["Green tea", "green teas", "red car"], "query")
    near = sum(a * b for a, b in zip(tea, teas, strict=True))
    far = sum(a * b for a, b in zip(tea, car, strict=True))
    assert near > 0.5
    assert far < 0.2


@pytest.mark.parametrize(
    ("setting", "problem"),
    [
        ({}, "EMBEDDER_MODEL: is not set, and EMBEDDER=bedrock needs it"),
        ({"EMBEDDER_MODEL": "meta.llama"}, "neither a text model of Titan nor one of Cohere"),
        (
            {"EMBEDDER_MODEL": "amazon.titan-embed-text-v2:0", "EMBEDDER_DIMENSION": "x"},
            "EMBEDDER_DIMENSION: must be an integer",
        ),
        (
            {"EMBEDDER_MODEL": "cohere.embed-english-v3", "EMBEDDER_DIMENSION": "512"},
            "always gives 1024 dimensions",
        ),
    ],
)
def test_settings_that_are_wrong_are_named(
    load: Load, monkeypatch: pytest.MonkeyPatch, setting: dict[str, str], problem: str
) -> None:
    monkeypatch.setenv("EMBEDDER", "bedrock")
    monkeypatch.delenv("EMBEDDER_DIMENSION")
    for name, value in setting.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(errors.EmbedderFailed, match=problem):
        load("delta_writer").handler(event({"id": "a", "text": "tea"}), None)


def test_a_profile_of_bedrock_names_its_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EMBEDDER_DIMENSION")
    arn = "arn:aws:bedrock:eu-west-1:123456789012:inference-profile/eu.cohere.embed-v4:0"
    for identifier in ("cohere.embed-v4:0", "eu.cohere.embed-v4:0", arn):
        monkeypatch.setenv("EMBEDDER_MODEL", identifier)
        assert Bedrock().model == EmbeddingModel("cohere.embed-v4:0")
        assert Bedrock().dimension == 1536


CHANGES = st.dictionaries(
    st.sampled_from(("id", "op", "text", "embedding", "metadata", "document", "other")),
    st.none()
    | st.text(max_size=3)
    | st.integers()
    | st.sampled_from(("upsert", "update", "delete", [1.0] * 8, {"n": 1}, "\ud800")),
)
COLLECTIONS = st.none() | st.fixed_dictionaries(
    {"name": st.sampled_from(("receipts", "..", None))},
    optional={
        "dimension": st.sampled_from((8, 7, 0, "8", None, True)),
        "space": st.sampled_from(("l2", "x", None)),
        "model": st.sampled_from(({"name": "hashing", "version": "1"}, {"name": ""}, [], "x")),
    },
)


@given(
    records=st.lists(CHANGES, max_size=3), collection=COLLECTIONS, key=st.sampled_from((None, "k"))
)
@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_event_with_texts_is_written_or_has_a_named_error(
    load: Load, records: list[Any], collection: Any, key: Any
) -> None:
    event = {"database": "db", "collection": collection, "records": records, "idempotencyKey": key}
    try:
        answer = load("delta_writer").handler(event, None)
    except errors.VectorError as error:
        assert 400 <= error.status < 500
        assert not error.retryable
    else:
        assert answer["records"] == len(records)

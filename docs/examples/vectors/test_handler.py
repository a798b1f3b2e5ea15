"""Run by `python -m pytest`; the fixtures come with layersmith."""

import pytest
from handler import handler
from vector_common.errors import BadRequest


@pytest.fixture(autouse=True)
def database(vector_database, monkeypatch):
    monkeypatch.setenv("DATABASE", vector_database.name)
    return vector_database


def test_a_receipt_finds_those_like_it(database, lambda_context):
    known = {"a": "two coffees and a croissant", "b": "diesel, 40 l"}
    database.add("receipts", [{"id": name, "text": text} for name, text in known.items()])
    answer = handler({"id": "c", "text": "coffee and croissants"}, lambda_context)
    assert [one["id"] for one in answer["similar"]] == ["a", "b"]
    assert answer["similar"][0]["similarity"] > 0.3


def test_a_receipt_is_remembered(database, lambda_context):
    handler({"id": "a", "text": "rye bread"}, lambda_context)
    [written] = database.written("receipts")
    assert (written.op, written.id, written.document) == ("upsert", "a", "rye bread")
    database.apply()  # what the next session or compaction does
    answer = handler({"id": "b", "text": "bread"}, lambda_context)
    assert [one["id"] for one in answer["similar"]] == ["a"]


def test_a_receipt_without_text_is_refused(lambda_context):
    with pytest.raises(BadRequest, match="text: is missing"):
        handler({"id": "a"}, lambda_context)

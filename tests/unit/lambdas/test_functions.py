"""What functions do without a server: refusals, deltas into a folder, the canary."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from vector_common import embedding, errors, tokens
from vector_common.chroma import chroma_client
from vector_common.deltas import decode

if TYPE_CHECKING:
    from pathlib import Path

Load = Callable[[str], Any]


@pytest.mark.parametrize(
    ("function", "event", "problem"),
    [
        ("vector_search", {}, "collection: is missing"),
        ("vector_search", {"collection": "abc"}, "embedding: give either embedding or text"),
        ("vector_search", {"collection": "abc", "embedding": [1], "text": "x"}, "give either"),
        ("vector_search", {"collection": "abc", "text": "x"}, "EMBEDDER is not set"),
        ("vector_search", {"collection": "abc", "embedding": []}, "embedding: must have 1 to"),
        ("vector_search", {"collection": "abc", "embedding": [1, None]}, "array of numbers"),
        ("vector_search", {"collection": "abc", "embedding": [1], "limit": 301}, "limit: must be"),
        ("vector_search", {"collection": "abc", "embedding": [1], "where": []}, "where: must be"),
        ("vector_search", {"collection": "../x", "embedding": [1]}, "collection: '../x'"),
        ("label_validation", {"collection": "abc", "embedding": [1]}, "label: is missing"),
        ("merchant_match", {"embedding": [1]}, "collections: is missing"),
        (
            "merchant_match",
            {"collections": ["abc"], "embedding": [1], "match": 0.5},
            "candidate: must not be more than match",
        ),
        ("session_work", {"key": "k"}, "items: must be an array of 1 to"),
        ("session_work", {"key": "k", "items": []}, "items: must be an array of 1 to"),
        (
            "session_work",
            {"key": "k", "items": [{"function": "delta_writer", "event": {}}]},
            "items[0].function: must be one of vector_search, label_validation, merchant_match",
        ),
        (
            "session_work",
            {"key": "k", "items": [{"function": "vector_search"}]},
            "items[0].event: must be an object",
        ),
        (
            "session_work",
            {"key": "k", "items": [{"function": "vector_search", "event": {"limit": 0}}]},
            "items[0]: limit: must be an integer",
        ),
        ("delta_writer", {"database": "db"}, "records: must be an array"),
        ("compaction_trigger", {"databases": [""]}, "databases: must be"),
    ],
)
def test_events_that_are_refused(
    load: Load, function: str, event: dict[str, Any], problem: str
) -> None:
    session = {"session": {"address": "http://127.0.0.1:9"}}
    events = event if function in {"delta_writer", "compaction_trigger"} else event | session
    with pytest.raises(errors.BadRequest) as caught:
        load(function).handler(events, None)
    assert problem in str(caught.value)


@pytest.mark.parametrize(
    "session",
    [
        {},
        {"address": 7},
        {"address": "ftp://x"},
        {"address": "http://user:secret@x"},
        {"address": "http://x?y"},
        {"address": "http://x", "tokenReference": 1},
    ],
)
def test_sessions_that_are_refused(session: dict[str, Any]) -> None:
    with pytest.raises(errors.BadRequest, match="session"):
        chroma_client(session)


def test_the_writer_appends_what_compaction_can_read(
    load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STORAGE_URL", tmp_path.as_uri())
    event = {
        "database": "db",
        "collection": {"name": "receipts", "dimension": 2},
        "records": [{"id": "a", "embedding": [1, 2]}, {"op": "delete", "id": "b"}],
        "idempotencyKey": "message 1",
    }
    answer = load("delta_writer").handler(event, None)
    assert load("delta_writer").handler(event, None) == answer
    assert answer["records"] == 2
    stored = list((tmp_path / "databases/db/deltas").iterdir())
    assert [path.stem for path in stored] == answer["deltas"]
    delta = decode(stored[0].read_bytes(), answer["deltas"][0])
    assert [(record.op, record.id) for record in delta.records] == [
        ("upsert", "a"),
        ("delete", "b"),
    ]


def test_the_writer_splits_a_large_batch_in_order(
    load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STORAGE_URL", tmp_path.as_uri())
    records = [{"id": f"r{n}", "embedding": [n, 1]} for n in range(4500)]
    event = {
        "database": "db",
        "collection": {"name": "receipts", "dimension": 2},
        "records": records,
    }
    ids = load("delta_writer").handler(event, None)["deltas"]
    assert len(ids) == 3
    assert ids == sorted(ids)
    read = [
        record.id
        for delta_id in ids
        for record in decode(
            (tmp_path / f"databases/db/deltas/{delta_id}.jsonl").read_bytes(), delta_id
        ).records
    ]
    assert read == [record["id"] for record in records]


@pytest.mark.parametrize("database", ["../x", "a/b", "", "x" * 64, ".hidden", "a b"])
def test_the_writer_lets_no_database_name_out_of_the_store(
    load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, database: str
) -> None:
    monkeypatch.setenv("STORAGE_URL", (tmp_path / "store").as_uri())
    event = {
        "database": database,
        "collection": {"name": "receipts", "dimension": 1},
        "records": [{"id": "a", "embedding": [1]}],
    }
    with pytest.raises(errors.BadRequest, match="database"):
        load("delta_writer").handler(event, None)
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_written_of_a_batch_with_one_bad_record(
    load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STORAGE_URL", tmp_path.as_uri())
    records: list[dict[str, Any]] = [{"id": "a", "embedding": [1]}] * 3000
    event = {
        "database": "db",
        "collection": {"name": "receipts", "dimension": 1},
        "records": [*records, {"id": "b", "embedding": [1, 2]}],
    }
    with pytest.raises(errors.BadRequest, match=r"records\[3000\]"):
        load("delta_writer").handler(event, None)
    assert list(tmp_path.rglob("*")) == []


def test_the_embedder_is_asked_only_for_good_events(
    load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "my_embedder.py").write_text(
        "calls = []\ndef embed(texts):\n    calls.append(texts)\n    return [[1.0, float('nan')]]\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("EMBEDDER", "my_embedder:embed")
    embedding.forget()
    session = {"address": "http://127.0.0.1:9"}
    event = {"collection": "abc", "text": "tea", "session": session}
    with pytest.raises(errors.BadRequest, match="limit"):
        load("vector_search").handler({**event, "limit": 0}, None)
    with pytest.raises(errors.EmbedderFailed, match="my_embedder:embed: its answer"):
        load("vector_search").handler(event, None)
    assert sys.modules["my_embedder"].calls == [["tea"]]


def test_tokens_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text(json.dumps({"token": "secret", "expiresAt": time.time() + 60}))
    token = tokens.read_token(path.as_uri())
    assert token.value == "secret"
    assert "secret" not in repr(token)
    path.write_text(json.dumps({"token": "secret", "expiresAt": time.time()}))
    with pytest.raises(errors.Unauthorized, match="expired"):
        tokens.read_token(path.as_uri())
    path.write_text("secret")
    with pytest.raises(errors.Unauthorized) as caught:
        tokens.read_token(path.as_uri())
    assert "secret" not in str(caught.value)
    path.unlink()
    with pytest.raises(errors.Unauthorized):
        tokens.read_token(path.as_uri())
    with pytest.raises(errors.BadRequest):
        tokens.read_token("env:TOKEN")

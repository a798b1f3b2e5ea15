"""The pytest plugin for handlers, by tests that use it as a developer does."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
PATHS = (ROOT / "lambdas/common/src", ROOT / "fargate/chroma", ROOT / "lambdas/vector_search")
TESTS = """
import json
import pytest
from handler import handler
from vector_common.errors import BadRequest
from vector_common.deltas import DeltaWriter
from vector_common.records import CollectionSpec
from vector_common.storage import open_storage

TEAS = [{"id": "a", "text": "green tea", "metadata": {"n": 1}}, {"id": "b", "text": "rye bread"}]

def test_text_is_found(vector_database, lambda_context):
    vector_database.add("items", TEAS)
    event = {"collection": "items", "text": "tea", "documents": True}
    first = handler(event, lambda_context)["results"][0]
    assert (first["id"], first["document"], first["metadata"]) == ("a", "green tea", {"n": 1})
    assert lambda_context.get_remaining_time_in_millis() > 0

def test_the_database_is_empty_again(vector_database, lambda_context, capsys):
    vector_database.add("items", [{"id": "x", "embedding": [1.0, 0.0]}], space="l2")
    event = {"collection": "items", "embedding": [1.0, 0.0], "session": vector_database.session}
    assert [one["id"] for one in handler(event, lambda_context)["results"]] == ["x"]
    line = json.loads(capsys.readouterr().out)
    assert line["requestId"] == lambda_context.aws_request_id

def test_what_a_handler_wrote_is_seen_before_and_after_it_is_applied(vector_database):
    import os
    writer = DeltaWriter(open_storage(os.environ["STORAGE_URL"]), vector_database.name)
    writer.append([{"id": "n", "embedding": [1.0]}], CollectionSpec("numbers", 1))
    [record] = vector_database.written("numbers")
    assert (record.op, record.id) == ("upsert", "n")
    assert vector_database.written("others") == []
    assert vector_database.apply() == 1
    assert vector_database.written() == []

def test_what_chroma_refuses_is_refused_here(vector_database):
    with pytest.raises(BadRequest):
        vector_database.add("items", [{"id": "x", "embedding": [1.0], "metadata": {"$k": 1}}])
"""


def test_handlers_are_tested_on_a_real_server(tmp_path: Path) -> None:
    (tmp_path / "test_handler.py").write_text(TESTS)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "vector_common.testing", str(tmp_path)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, PATHS))},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert "4 passed" in done.stdout, done.stdout

"""A session from its start to a flipped pointer, on a folder and on S3."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import uuid
from pathlib import Path
from typing import Any

import httpx
import pytest
from chroma_store.deltas.compaction import compact
from chroma_store.deltas.log import DeltaLog
from chroma_store.storage import open_storage
from vector_common.records import CollectionSpec

from tests.support import clocks
from tests.support.chroma_sessions import PACKAGES, make_bucket


@pytest.fixture(params=["file", "s3"])
def environment(
    request: pytest.FixtureRequest,
    store: str,
    aws_environment: dict[str, str],
) -> dict[str, str]:
    """The same session on both storages."""
    if request.param == "file":
        return {"STORAGE_URL": store}
    bucket = f"vectors-{uuid.uuid4().hex[:12]}"
    make_bucket(aws_environment["AWS_ENDPOINT_URL"], bucket)
    return {**aws_environment, "STORAGE_URL": f"s3://{bucket}/chroma"}


def test_stop_and_start_again_gives_the_same_answers(
    start: Any, words: Any, environment: dict[str, str]
) -> None:
    first = start(volume="first", **environment)
    with first.client() as http:
        collection = words(http)
        assert collection.upsert(*range(20)) == 200
        before = collection.nearest(7)
    assert first.finish() == 0
    report = first.wait("report")
    assert report["flipped"]
    assert report["records"] == {"words": 20}

    second = start(volume="second", **environment)
    assert second.wait("ready")["snapshotId"] == report["snapshotId"]
    with second.client() as http:
        collection = words(http)
        assert collection.nearest(7) == before
        assert collection.upsert(20) == 200
    assert second.terminate() == 0
    assert second.wait("report")["records"] == {"words": 21}
    assert second.wait("report")["reason"] == "SIGTERM"

    third = start(volume="third", **environment)
    with third.client() as http:
        assert words(http).ids() == {f"id-{n}" for n in range(21)}


def test_a_session_that_changes_nothing_makes_no_snapshot(start: Any, words: Any) -> None:
    first = start(volume="first")
    with first.client() as http:
        words(http).upsert(1)
    assert first.finish() == 0
    second = start(volume="second")
    with second.client() as http:
        assert http.get("/api/v2/heartbeat").status_code == 200
    assert second.finish() == 0
    report = second.wait("report")
    assert not report["flipped"]
    assert report["snapshotId"] == first.wait("report")["snapshotId"]


def test_deltas_are_replayed_before_the_session_is_ready(
    start: Any, words: Any, store: str
) -> None:
    from vector_common.deltas import encode_lines
    from vector_common.ids import new_id
    from vector_common.names import delta_key

    log = DeltaLog(open_storage(store), "receipts")
    spec = CollectionSpec("words", 3, "l2")
    log.append([{"op": "upsert", "id": "id-1", "embedding": [1.0, 1.0, -1.0]}], spec)
    log.append([{"op": "upsert", "id": "id-2", "embedding": [2.0, 1.0, -2.0]}], spec)
    log.append([{"op": "delete", "id": "id-1"}], spec)
    # Of a writer without today's checks.
    odd = new_id()
    line = b'{"op":"update","id":"id-2","metadata":{"$set":1}}\n'
    log.storage.put(delta_key("receipts", odd), encode_lines(odd, spec, [line]))
    session = start(STAGE="layersmith-dev")
    assert session.wait("replayed")["records"] == 3
    with session.client() as http:
        assert words(http).ids() == {"id-2"}
    assert session.finish() == 0
    assert session.wait("report")["deltas"] == 4
    assert session.wait("report")["quarantined"] == 1
    aside = session.wait("quarantined")
    assert (aside["delta"], aside["changes"], aside["stage"]) == (odd, 1, "layersmith-dev")
    assert "'$set'" in aside["reason"]
    assert aside["_aws"]["CloudWatchMetrics"][0]["Metrics"][0]["Name"] == "Quarantined"
    assert log.pending() == []
    assert [item.delta for item in log.quarantined()] == [odd]


def test_what_was_acknowledged_outlives_a_server_that_hangs(
    start: Any, words: Any, store: str
) -> None:
    session = start(PROBE_INTERVAL=str(clocks.seconds(0.3)))
    with session.client() as http:
        assert words(http).upsert(1, 2) == 200
        os.kill(session.server_pid(), signal.SIGSTOP)
        session.wait("server_hung")
        session.wait("phase", phase="recovering")
        clocks.wait(lambda: http.get("/_session/status").json()["phase"] == "serving", "serving")
        assert words(http).upsert(3) == 200
    # Now at the end, when nobody asks any more.
    os.kill(session.server_pid(), signal.SIGSTOP)
    assert session.terminate() == 0
    assert session.wait("counts_unknown")["again"] is False
    assert session.wait("report")["records"] == {"words": 3}


def test_what_was_acknowledged_outlives_a_full_volume(
    start: Any, words: Any, small_volume: Path
) -> None:
    session = start(DATA_DIR=str(small_volume))
    with session.client() as http:
        collection = words(http)
        assert collection.upsert(*range(20)) == 200
        filler = small_volume / "filler"
        with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(b"x" * 4096)
        assert collection.upsert(99) >= 400
    assert session.terminate() in {0, 7}
    assert session.wait("report")["flipped"]
    second = start(volume="second")
    with second.client() as http:
        assert words(http).ids() == {f"id-{n}" for n in range(20)}


def test_files_are_stored_though_nobody_can_count_them(
    start: Any, words: Any, store: str, tmp_path: Path
) -> None:
    session = start(program=[str(Path(__file__).with_name("uncounted.py"))])
    with session.client() as http:
        assert words(http).upsert(1, 2) == 200
    assert session.finish() == 7
    report = session.wait("report")
    assert (report["flipped"], report["counted"], report["records"]) == (True, False, {})
    assert session.find("counts_unknown", again=True)
    second = start(volume="second")
    with second.client() as http:
        assert words(http).ids() == {"id-1", "id-2"}
    storage = open_storage(store)
    DeltaLog(storage, "receipts").append(
        [{"id": "id-3", "embedding": [1.0, 1.0, 1.0]}], CollectionSpec("words", 3, "l2")
    )
    second.finish()
    compacted = compact(storage, "receipts", tmp_path / "work")
    assert compacted.snapshot
    assert [c.count for c in compacted.snapshot.manifest.collections] == [3]


def test_collections_of_other_tenants_are_reported_and_kept(
    start: Any, words: Any, store: str, tmp_path: Path
) -> None:
    session = start()
    elsewhere = "/api/v2/tenants/other/databases/theirs/collections"
    with session.client() as http:
        assert http.get("/api/v2").status_code == 200
        assert words(http).upsert(1) == 200
        assert http.post("/api/v2/tenants", json={"name": "other"}).status_code == 200
        databases = "/api/v2/tenants/other/databases"
        assert http.post(databases, json={"name": "theirs"}).status_code == 200
        made = http.post(elsewhere, json={"name": "words"}).json()["id"]
        body = {"ids": ["a", "b"], "embeddings": [[1.0, 2.0], [2.0, 1.0]]}
        assert http.post(f"{elsewhere}/{made}/upsert", json=body).status_code in {200, 201}
    assert session.finish() == 0
    counts = {"words": 1, "other/theirs/words": 2}
    assert session.wait("report")["records"] == counts
    storage = open_storage(store)
    DeltaLog(storage, "receipts").append(
        [{"id": "id-3", "embedding": [1.0, 1.0, 1.0]}], CollectionSpec("words", 3, "l2")
    )
    compacted = compact(storage, "receipts", tmp_path / "work")
    assert compacted.snapshot
    held = {info.name: info.count for info in compacted.snapshot.manifest.collections}
    assert held == {**counts, "words": 2}


def test_idleness_ends_a_session_and_requests_keep_it(start: Any, words: Any) -> None:
    idle = clocks.seconds(0.8)
    session = start(IDLE_TIMEOUT=str(idle))
    with session.client() as http:
        collection = words(http)
        until = time.monotonic() + 1.5 * idle
        while time.monotonic() < until:
            assert collection.upsert(1) == 200
            time.sleep(0.1)
        assert session.process.poll() is None
    assert session.ended() == 0
    assert session.wait("report")["reason"] == "idle"
    assert session.wait("report")["records"] == {"words": 1}


def test_a_bound_on_the_snapshot_refuses_writes_but_not_reads(start: Any, words: Any) -> None:
    session = start(MAX_SNAPSHOT_BYTES="1000000")
    assert "fits into" in session.wait("spot_budget")["message"]
    with session.client() as http:
        collection = words(http)
        large = {"ids": ["large"], "embeddings": [[1.0, 2.0, 3.0]], "documents": ["x" * 1_000_000]}
        assert http.post(f"{collection.path}/upsert", json=large).status_code == 200
        session.wait("size_bound", full=True)
        assert collection.upsert(1) == 507
        assert collection.ids() == {"large"}
        assert not http.get("/_session/status").json()["acceptsWrites"]


def test_a_session_is_refused_if_its_snapshot_would_outlast_the_spot_warning(start: Any) -> None:
    session = start(ready=False, BUDGET_POLICY="refuse", MAX_SNAPSHOT_BYTES=str(10**15))
    assert session.ended() == 4
    assert "does not fit into" in session.wait("failed")["message"]


def test_restored_data_beyond_the_bound_is_refused(start: Any, words: Any) -> None:
    first = start(volume="first")
    with first.client() as http:
        words(http).upsert(1)
    assert first.finish() == 0
    second = start(ready=False, volume="second", MAX_SNAPSHOT_BYTES="1000")
    assert second.ended() == 4
    assert "MAX_SNAPSHOT_BYTES" in second.wait("failed")["message"]


def test_a_damaged_snapshot_is_not_served(start: Any, words: Any, store: str) -> None:
    first = start(volume="first")
    with first.client() as http:
        words(http).upsert(1)
    assert first.finish() == 0
    [pack] = Path(store.removeprefix("file://")).glob("databases/receipts/packs/*/*")
    pack.write_bytes(pack.read_bytes()[:-1] + b"\0")
    second = start(ready=False, volume="second")
    assert second.ended() == 4
    assert "could not be restored" in second.wait("failed")["message"]


def test_bad_settings_are_one_line_of_json(start: Any) -> None:
    session = start(ready=False, DATABASE="../x", IDLE_TIMEOUT="never")
    assert session.ended() == 2
    message = session.wait("failed")["message"]
    assert "DATABASE" in message
    assert "IDLE_TIMEOUT" in message


def test_the_log_names_no_secret(start: Any, words: Any) -> None:
    session = start()
    with session.client() as http:
        words(http).upsert(1)
        http.get("/api/v2/nothing")
    assert session.finish() == 0
    log = json.dumps(session.events)
    assert session.token
    assert session.token not in log


def test_one_session_a_database_and_the_next_takes_over(start: Any, words: Any) -> None:
    first = start(volume="first")
    with first.client() as http:
        assert words(http).upsert(1) == 200
    second = start(ready=False, volume="second", LEASE_WAIT="0")
    assert second.ended() == 4
    assert "session-0 is using this database" in second.wait("failed")["message"]
    port = str(free_port())
    assert health(port) == 1
    third = start(ready=False, volume="third", LEASE_WAIT=str(clocks.seconds(60)), LISTEN_PORT=port)
    third.wait("listening")
    assert httpx.get(f"http://127.0.0.1:{port}/_session/health").status_code == 503
    assert health(port) == 0, "one that waits is alive"
    assert first.finish() == 0
    third.wait("ready", snapshotId=first.wait("report")["snapshotId"])
    assert health(port) == 0


def test_a_port_that_is_taken_ends_the_session_and_frees_the_database(start: Any) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        refused = start(ready=False, LISTEN_PORT=str(taken.getsockname()[1]))
        assert refused.ended() == 4
    assert "cannot listen" in refused.wait("failed")["message"]
    assert not [event for event in refused.events if event["event"] == "not json"]
    start(volume="next", LEASE_WAIT="0").wait("ready")


def health(port: str) -> int:
    """The exit code of the container's health check."""
    command = [sys.executable, "-m", "chroma_supervisor", "health"]
    environment = {"LISTEN_PORT": port, "PYTHONPATH": os.pathsep.join(map(str, PACKAGES))}
    return subprocess.run(command, env=environment, check=False).returncode


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def test_compaction_waits_for_no_session_and_takes_what_is_pending(start: Any, store: str) -> None:

    log = DeltaLog(open_storage(store), "receipts")
    spec = CollectionSpec("words", 3, "l2")
    log.append([{"op": "upsert", "id": "id-1", "embedding": [1.0, 1.0, -1.0]}], spec)
    task = start(ready=False, MODE="compact", TOKEN_REFERENCE="")
    assert task.ended() == 0
    report = task.wait("report")
    assert (report["flipped"], report["deltas"], report["records"]) == (True, 1, 1)
    assert log.pending() == []

    session = start(volume="other")
    session.wait("ready", snapshotId=report["snapshotId"])
    log.append([{"op": "delete", "id": "id-1"}], spec)
    task = start(ready=False, MODE="compact", TOKEN_REFERENCE="", LEASE_WAIT="0")
    assert task.ended() == 4
    assert "is using this database" in task.wait("failed")["message"]

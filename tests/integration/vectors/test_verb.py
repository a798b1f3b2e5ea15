"""`python build/layers.py vectors`, as a user types it."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]
import pytest
from chroma_store.deltas.log import DeltaLog
from chroma_store.lease import held
from chroma_store.server.client import ChromaHttp
from chroma_store.server.process import ChromaProcess
from chroma_store.snapshots.store import SnapshotStore
from chroma_store.storage import open_storage
from vector_common import aws
from vector_common.errors import Conflict, Damaged
from vector_common.records import parse_records

from tests.integration.vectors.corpus import SPEC, Model, changes, recovered
from tests.support import clocks
from tests.support.envelopes import data_of, validator

LAYERS = Path(__file__).parents[3] / "build" / "layers.py"


class Verb:
    def __init__(self, store: str, **environment: str) -> None:
        self.store = store
        self.environment = {"PATH": os.environ["PATH"], "HOME": os.environ["HOME"], **environment}

    def run(self, action: str, *options: str, code: int = 0) -> Any:
        command = [sys.executable, str(LAYERS), "vectors", action, self.store, "--json"]
        done = subprocess.run(
            [*command, "--database", "db", *options],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=clocks.seconds(60),
            check=False,
        )
        assert done.returncode == code, done.stderr
        return data_of(done.stdout) if code == 0 else done.stderr


def test_from_a_file_to_a_snapshot_and_back(tmp_path: Path) -> None:
    verb = Verb(str(tmp_path / "store"))
    source, out = tmp_path / "in.parquet", tmp_path / "out.parquet"
    table = pa.table(
        {
            "id": [f"r{n}" for n in range(50)],
            "embedding": pa.array([[n, 1.0] for n in range(50)], pa.list_(pa.float32(), 2)),
            "metadata": [json.dumps({"n": n}) if n % 2 else None for n in range(50)],
            "document": [f"text {n}" if n % 3 else None for n in range(50)],
        },
        schema=pa.schema(
            [
                ("id", pa.string()),
                ("embedding", pa.list_(pa.float32(), 2)),
                ("metadata", pa.string()),
                ("document", pa.string()),
            ],
            metadata={"chroma.space": "l2"},
        ),
    )
    pq.write_table(table, source)
    receipts = ("--collection", "receipts")
    assert verb.run("import", *receipts, "--file", str(source)) == {"records": 50}
    assert verb.run("deltas")["pending"] == 1
    compacted = verb.run("compact")
    assert (compacted["deltas"], compacted["records"]) == (1, 50)
    assert verb.run("export", *receipts, "--file", str(out)) == {
        "records": 50,
        "refusedByImport": 0,
    }
    read = pq.read_table(out)
    assert read.sort_by("id").to_pylist() == table.sort_by("id").to_pylist()
    assert read.schema.metadata[b"chroma.space"] == b"l2"

    assert verb.run("verify")["deltas"] == 0
    restored = verb.run("restore", "--into", str(tmp_path / "data"))
    assert restored["snapshot"] == compacted["snapshot"]
    second = verb.run("snapshot", "--data", str(tmp_path / "data"))
    assert second["collections"] == {"receipts": 50}
    assert second["uploaded"] < compacted["uploaded"]
    listed = verb.run("list")
    assert [s["current"] for s in listed["snapshots"]] == [False, True]
    promoted = verb.run("promote", "--snapshot", compacted["snapshot"])
    assert promoted["generation"] == 3
    assert verb.run("list")["current"] == promoted["snapshot"]
    assert verb.run("retain", "--apply")["deleted"] == []


def test_an_export_says_what_an_import_would_refuse(tmp_path: Path) -> None:
    """Clients of a session may write what deltas may not hold."""
    verb, out = Verb(str(tmp_path / "store")), tmp_path / "out.parquet"
    (tmp_path / "data").mkdir()
    with ChromaProcess(tmp_path / "data") as server:
        http = ChromaHttp(server.base_url)
        collection, _ = http.ensure(SPEC)
        http.ensure(replace(SPEC, name="empty"))
        records = parse_records([{"id": i, "embedding": [1.0] * 4} for i in "abc"], SPEC)
        long = [replace(records[1], document="x" * 70_000)]
        http.upsert(collection, records, [None] * 3)
        http.upsert(collection, long, [None])
    verb.run("snapshot", "--data", str(tmp_path / "data"))
    receipts = ("--collection", "receipts", "--file", str(out))
    assert verb.run("export", *receipts) == {"records": 3, "refusedByImport": 1}
    empty = ("--collection", "empty", "--file", str(tmp_path / "empty.parquet"))
    assert verb.run("export", *empty)["records"] == 0
    assert verb.run("import", *empty) == {"records": 0}


def test_a_bucket_is_a_store(s3: Any, s3_url: str, tmp_path: Path) -> None:
    url = f"s3://vectors/{tmp_path.name}"
    log = DeltaLog(open_storage(url, client=s3), "db")
    log.append(changes(random.Random(1), 10), SPEC)
    verb = Verb(
        url,
        AWS_ENDPOINT_URL=s3_url,
        AWS_ACCESS_KEY_ID="test",
        AWS_SECRET_ACCESS_KEY="test",
        AWS_DEFAULT_REGION="eu-west-1",
    )
    assert verb.run("compact")["deltas"] == 1
    assert verb.run("verify")["chunks"] == 1
    assert "Unable to locate credentials" in Verb(url).run("list", code=9)


def test_what_is_missing_is_no_empty_database(tmp_path: Path) -> None:
    verb = Verb(str(tmp_path / "store"))
    storage = open_storage((tmp_path / "store").as_uri())
    DeltaLog(storage, "other").append(changes(random.Random(1), 3), SPEC)
    into = ("--into", str(tmp_path / "data"))
    for action in ("compact", "verify", "deltas", "list", "retain", "restore"):
        said = verb.run(action, *(into if action == "restore" else ()), code=2)
        assert "there is no database db in" in said
        assert "databases there: other" in said
    assert storage.folders("databases/") == ("other",), "no lease of a database that is not"

    batch = changes(random.Random(2), 10)
    log, model = DeltaLog(storage, "db"), Model()
    log.append(batch, SPEC)
    model.apply(batch)
    snapshot = verb.run("compact")["snapshot"]
    (tmp_path / "store/databases/db/pointer.json").unlink()
    log.append([{"op": "delete", "id": "none"}], SPEC)
    for action in ("compact", "verify", "deltas", "retain", "restore"):
        said = verb.run(action, *(into if action == "restore" else ()), code=9)
        assert "its pointer is missing" in said
        assert snapshot in said
    assert [s["snapshot"] for s in verb.run("list")["snapshots"]] == [snapshot]
    assert verb.run("promote", "--snapshot", snapshot)["generation"] == 1
    assert recovered(SnapshotStore(storage, "db"), log, tmp_path / "out") == model.records

    storage.put("databases/empty/collections/things.json", b"{}")
    assert "nothing to verify" in verb.run("verify", "--database", "empty", code=2)


def test_mistakes_end_with_a_code_and_a_sentence(tmp_path: Path) -> None:
    verb = Verb(str(tmp_path / "store"))
    open_storage((tmp_path / "store").as_uri()).put("databases/db/claims/0.json", b"{}")
    assert "needs --into" in verb.run("restore", code=2)
    assert "holds no chroma.sqlite3" in verb.run("snapshot", "--data", str(tmp_path), code=2)
    missing = "01a1ffc4-be0a-7000-a768-c95e47ef6243"
    assert "not in file://" in verb.run("restore", "--into", "x", "--snapshot", missing, code=9)
    (tmp_path / "bad").write_text("x")
    options = ("--collection", "receipts", "--file", str(tmp_path / "bad"))
    assert "is not a Parquet file" in verb.run("import", *options, code=2)
    table = pa.table({"id": ["a", "b"], "embedding": [[1.0, 2.0], [1.0]]})
    pq.write_table(table, tmp_path / "uneven")
    options = ("--collection", "receipts", "--file", str(tmp_path / "uneven"))
    assert "records[1].embedding: has 1 dimensions" in verb.run("import", *options, code=2)
    assert not (tmp_path / "store/databases/db/deltas").exists()
    assert "neither s3://" in Verb("gs://bucket").run("list", code=2)


def test_a_delta_that_cannot_be_applied_is_discarded(tmp_path: Path) -> None:
    verb, model = Verb(str(tmp_path / "store")), Model()
    storage = open_storage((tmp_path / "store").as_uri())
    log, batch = DeltaLog(storage, "db"), changes(random.Random(1), 10)
    log.append(batch, SPEC)
    model.apply(batch)
    bad = log.append([{"id": "x", "embedding": [1.0] * 4}], SPEC)[0]
    path = tmp_path / f"store/databases/db/deltas/{bad}.jsonl"
    path.write_bytes(path.read_bytes().replace(b'"x"', b'"y"'))
    assert bad in verb.run("verify", code=9)
    compacted = verb.run("compact")
    assert (compacted["deltas"], compacted["quarantined"]) == (2, 1)
    [aside] = verb.run("verify")["quarantine"]
    assert aside["delta"] == bad
    assert "checksum" in aside["reason"]
    assert verb.run("deltas", "--discard", bad)["dropped"] == 2
    assert verb.run("verify")["quarantined"] == 0
    found = recovered(SnapshotStore(storage, "db"), log, tmp_path / "out")
    assert found == model.records


@pytest.mark.parametrize("action", ["compact", "promote", "snapshot"])
def test_nothing_is_flipped_under_a_session(tmp_path: Path, action: str) -> None:
    """The session would lose what its clients wrote since its start."""
    verb, storage = Verb(str(tmp_path / "store")), open_storage((tmp_path / "store").as_uri())
    DeltaLog(storage, "db").append(changes(random.Random(1), 10), SPEC)
    before = verb.run("compact")["snapshot"]
    verb.run("restore", "--into", str(tmp_path / "data"))
    options = {"promote": ("--snapshot", before), "snapshot": ("--data", str(tmp_path / "data"))}
    with held(storage, "db", "receipts-session"):
        refused = verb.run(action, *options.get(action, ()), code=9)
        assert "Session receipts-session-" in refused
        assert "is using this database" in refused
        assert SnapshotStore(storage, "db").head().snapshot_id == before  # type: ignore[union-attr]
    after = verb.run(action, *options.get(action, ()))["snapshot"]
    assert after == (before if action == "compact" else SnapshotStore(storage, "db").ids()[-1])
    assert verb.run("compact")["deltas"] == 0, "the lease was given back"


class Rebuild:
    """A store with a collection `receipts` (l2) made by deltas, and how to look at it."""

    def __init__(self, folder: Path) -> None:
        self.verb, self.folder = Verb(str(folder / "store")), folder
        self.storage = open_storage((folder / "store").as_uri())
        self.log, self.store = DeltaLog(self.storage, "db"), SnapshotStore(self.storage, "db")
        self.model = Model()
        self.write(60)

    def write(self, seed: int) -> None:
        batch = changes(random.Random(seed), 60)
        # A vector without a length has no direction for cosine.
        batch = [c | {"embedding": [1.0, *c["embedding"][1:]]} if "embedding" in c else c
                 for c in batch]  # fmt: skip
        self.log.append(batch, SPEC)
        self.model.apply(batch)

    def run(self, *options: str, code: int = 0) -> Any:
        return self.verb.run("rebuild", "--collection", "receipts", *options, code=code)

    def settings(self, name: str = "receipts") -> Any:
        path = self.folder / f"store/databases/db/collections/{name}.json"
        return json.loads(path.read_bytes()) if path.exists() else None

    def held(self) -> dict[str, Any]:
        with tempfile.TemporaryDirectory() as folder:
            self.store.restore(Path(folder) / "data")
            with ChromaProcess(Path(folder) / "data") as server:
                return {info.name: info for info in ChromaHttp(server.base_url).collections()}


def test_a_collection_gets_another_space_and_keeps_its_records(tmp_path: Path) -> None:
    at = Rebuild(tmp_path)
    at.verb.run("compact")
    before = at.store.ids()
    at.write(61)
    planned = at.run("--space", "ip")
    assert (planned["applied"], planned["space"], planned["deltas"]) == (False, "l2", 1)
    assert at.store.ids() == before
    assert at.settings()["space"] == "l2"
    with held(at.storage, "db", "receipts-session"):
        assert "is using this database" in at.run("--space", "ip", "--yes", code=9)
    done = at.run("--space", "ip", "--yes")
    assert (done["applied"], done["records"], done["deltas"]) == (True, len(at.model.records), 1)
    # Every id, vector, metadata and document, exactly.
    assert recovered(at.store, at.log, tmp_path / "out") == at.model.records
    assert at.held()["receipts"].space == at.settings()["space"] == "ip"
    assert at.settings()["sha256"]
    # Writers settle on the new space.
    DeltaLog(at.storage, "db").append(changes(random.Random(1), 5), replace(SPEC, space="ip"))
    with pytest.raises(Conflict, match="in space ip"):
        DeltaLog(at.storage, "db").append(changes(random.Random(1), 5), SPEC)
    # For cosine, Chroma keeps directions.
    assert at.run("--space", "cosine", "--yes")["space"] == "ip"
    assert at.held()["receipts"].space == at.settings()["space"] == "cosine"
    at.verb.run("verify")


def test_a_rebuild_that_was_killed_before_the_settings_is_run_again(tmp_path: Path) -> None:
    at = Rebuild(tmp_path)
    at.run("--space", "cosine", "--yes")
    path = tmp_path / "store/databases/db/collections/receipts.json"
    # What a kill leaves, and a damaged file.
    for content in (json.dumps({"name": "receipts", "dimension": 4, "space": "l2"}), "{"):
        path.write_text(content)
        at.run("--space", "cosine", "--yes")
        assert at.settings()["space"] == "cosine"
    damaged = path.read_text().replace("cosine", "ip")
    path.write_text(damaged)
    with pytest.raises(Damaged, match="checksum"):
        DeltaLog(at.storage, "db").append(changes(random.Random(1), 5), SPEC)


def test_a_collection_is_removed_and_one_that_was_renamed_is_followed(tmp_path: Path) -> None:
    at = Rebuild(tmp_path)
    at.verb.run("compact")
    at.verb.run("restore", "--into", str(tmp_path / "data"))
    with ChromaProcess(tmp_path / "data") as server:
        http = ChromaHttp(server.base_url)
        http.rename(http.find("receipts"), "bills")
    at.verb.run("snapshot", "--data", str(tmp_path / "data"))
    missing = at.run("--space", "ip", code=2)
    assert "there is no collection receipts" in missing
    assert "collections there: bills" in missing
    bills = ("rebuild", "--collection", "bills", "--renamed-from", "receipts", "--space", "l2")
    assert at.verb.run(*bills, "--yes")["records"] == len(at.model.records)
    assert at.settings() is None
    assert at.settings("bills")["dimension"] == 4
    # A name that is in use was not given up.
    at.log = DeltaLog(at.storage, "db")
    at.write(62)
    assert "still exists" in at.verb.run(*bills, "--yes", code=9)
    assert at.settings()
    # A new model: other dimensions under the same name.
    assert at.run("--remove", "--yes")["removed"] is True
    assert at.held().keys() == {"bills"}
    assert at.settings() is None
    spec = replace(SPEC, dimension=2)
    DeltaLog(at.storage, "db").append([{"id": "a", "embedding": [1.0, 2.0]}], spec)
    assert at.verb.run("compact")["quarantined"] == 0
    assert at.held()["receipts"].dimension == 2
    assert "either --space or --remove" in at.run("--yes", code=2)


def test_a_refused_rebuild_changes_nothing(tmp_path: Path) -> None:
    at = Rebuild(tmp_path)
    at.verb.run("compact")
    head = at.store.head()
    at.log.append([{"id": "zero", "embedding": [0.0] * 4}], SPEC)
    refused = at.run("--space", "cosine", "--yes", code=2)
    assert "1 of these have none, the first of them 'zero'" in refused
    assert at.store.head() == head
    assert at.settings()["space"] == "l2"
    assert len(at.log.pending()) == 1


@pytest.mark.slow
def test_what_is_too_large_for_one_request_is_rebuilt(tmp_path: Path) -> None:
    """Chroma takes 40 MiB at once, and may hold metadata that no delta may."""
    verb = Verb(str(tmp_path / "store"))
    (tmp_path / "data").mkdir()
    with ChromaProcess(tmp_path / "data") as server:
        http = ChromaHttp(server.base_url)
        collection, _ = http.ensure(SPEC)
        for start in range(0, 660, 220):
            batch = [
                {"id": f"r{start + n}", "embedding": [1.0] * 4, "document": "x" * 65_000}
                for n in range(220)
            ]
            http.upsert(collection, parse_records(batch, SPEC), [{"n": [1, 2]}] * 220)
    verb.run("snapshot", "--data", str(tmp_path / "data"))
    options = ("--collection", "receipts", "--yes", "--space", "ip")
    assert verb.run("rebuild", *options)["records"] == 660


@pytest.mark.slow
def test_a_database_moves_between_stores_and_proves_it(tmp_path: Path, s3_url: str) -> None:
    keys = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
    region = {"AWS_DEFAULT_REGION": "eu-west-1", "AWS_ENDPOINT_URL": s3_url}
    verb = Verb(str(tmp_path / "store"), **keys, **region)
    log = DeltaLog(open_storage((tmp_path / "store").as_uri()), "db")
    log.append(changes(random.Random(1), 60), SPEC)
    bucket = ("--vector-bucket", "moved")
    planned = verb.run("migrate", "--to", "file")
    validator("vectors-migrate").validate(planned)
    assert (planned["applied"], planned["snapshot"], planned["former"]) == (False, None, [])
    [receipts] = planned["collections"]
    assert (receipts["collection"], receipts["held"]) == ("receipts", None)
    assert verb.run("list")["snapshots"] == []

    moved = verb.run("migrate", "--to", "file", "--yes")
    validator("vectors-migrate").validate(moved)
    [receipts] = moved["collections"]
    assert receipts["held"] == receipts["records"] > 0
    assert (receipts["recall"], receipts["differences"]) == (1.0, [])
    log.append(changes(random.Random(2), 20), SPEC)
    assert [one["store"] for one in verb.run("compact")["stores"]] == ["file"]

    assert verb.run("verify")["exports"] == 2
    exports = sorted((tmp_path / "store" / "databases" / "db" / "exports").iterdir())
    for file in exports:
        file.chmod(0o600)
        file.write_bytes(b"x" * file.stat().st_size)
    assert "migrate to its store again" in verb.run("verify", code=9)
    assert verb.run("migrate", "--to", "file", "--yes")["collections"][0]["recall"] == 1.0
    assert verb.run("verify")["exports"] == 2

    assert "NotFound" in verb.run("migrate", "--to", "s3vectors", *bucket, "--yes", code=9)
    made = aws.client("s3vectors", {}, endpoint_url=s3_url, region_name="eu-west-1",
                      aws_access_key_id="test", aws_secret_access_key="test")  # fmt: skip
    made.create_vector_bucket(vectorBucketName="moved")
    moved = verb.run("migrate", "--to", "s3vectors", *bucket, "--yes")
    assert moved["former"] == ["file"]
    assert moved["collections"][0]["recall"] == 1.0
    assert [one["store"] for one in verb.run("compact")["stores"]] == ["s3vectors"]

    log.append([{"id": "long", "embedding": [1] * 4, "metadata": {"k": "x" * 3000}}], SPEC)
    assert verb.run("migrate", "--to", "s3vectors")["collections"][0]["left_out_count"] == 1
    assert "do not fit" in verb.run("migrate", "--to", "s3vectors", *bucket, "--yes", code=9)
    assert verb.run("migrate", "--to", "session", "--yes")["former"] == ["s3vectors"]
    assert verb.run("compact")["stores"] == []
    assert not made.list_indexes(vectorBucketName="moved")["indexes"]
    assert not list((tmp_path / "store" / "databases" / "db" / "exports").iterdir())

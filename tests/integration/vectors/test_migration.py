"""A database that a real older Chroma wrote becomes one of the installed version."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest
import urllib3
from chroma_store.deltas.compaction import compact
from chroma_store.deltas.log import DeltaLog
from chroma_store.server import child as serve
from chroma_store.snapshots.manifest import CollectionInfo
from chroma_store.snapshots.store import SnapshotStore
from chroma_store.snapshots.versions import running_version
from chroma_store.storage import open_storage
from vector_common.errors import Refused

from tests.integration.vectors.corpus import SPEC, Model, changes, recovered

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

OLD = "1.0.12"
# More than Chroma keeps in memory before it writes its index (1,000).
COUNT = 1200
PORT = 18_231


@pytest.fixture(scope="module")
def old_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The data folder of a running server of the old version."""
    packages, data = tmp_path_factory.mktemp("old"), tmp_path_factory.mktemp("old-data")
    install = ["uv", "pip", "install", "-q", "--no-deps", "--target", str(packages)]
    wanted = subprocess.run(
        [*install, "--python", sys.executable, f"chromadb=={OLD}"],
        check=False,
        capture_output=True,
        text=True,
    )
    if wanted.returncode:
        pytest.skip(f"chromadb {OLD} cannot be installed here: {wanted.stderr[-300:]}")
    command = [sys.executable, "-P", serve.__file__, str(os.getpid())]
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(packages)}
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    ) as server:
        assert server.stdin
        server.stdin.write(json.dumps([str(data), PORT]) + "\n")
        server.stdin.close()
        yield data
        server.terminate()


@pytest.mark.slow
def test_an_older_chroma_is_migrated_in_a_copy(old_server: Path, tmp_path: Path) -> None:
    rng = random.Random(1)
    first: list[dict[str, Any]] = [
        {"id": f"r{n}", "embedding": [rng.randrange(-64, 64) / 8 for _ in range(4)]}
        for n in range(COUNT)
    ]
    model = Model()
    model.apply(first)
    _write(first)
    storage = open_storage((tmp_path / "store").as_uri())
    store, log = SnapshotStore(storage, "db"), DeltaLog(storage, "db")
    # The old server's writes are in its files; nothing changes them any more.
    held = [CollectionInfo(SPEC.name, SPEC.dimension, COUNT, SPEC.space)]
    old = store.snapshot(old_server, parent=None, chroma_version=OLD, collections=held)
    batch = changes(rng, 200, ids=COUNT)
    log.append(batch, SPEC)
    model.apply(batch)
    with pytest.raises(Refused, match="would migrate it"):
        compact(storage, "db", tmp_path / "work")
    report = compact(storage, "db", tmp_path / "work", migrate=True)
    assert report.snapshot
    assert report.snapshot.manifest.chroma_version == running_version()
    assert recovered(store, log, tmp_path / "new") == model.records
    assert store.verify(old.pointer).chroma_version == OLD


def _write(records: list[dict[str, Any]]) -> None:
    http = urllib3.PoolManager(retries=urllib3.Retry(connect=8, backoff_factor=0.2))
    api = f"http://127.0.0.1:{PORT}/api/v2/tenants/default_tenant/databases/default_database"
    configuration = {"hnsw": {"space": SPEC.space}}
    body = json.dumps({"name": SPEC.name, "configuration": configuration}).encode()
    headers = {"Content-Type": "application/json"}
    made = http.request("POST", f"{api}/collections", body=body, headers=headers)
    assert made.status == 200, made.data
    identifier = json.loads(made.data)["id"]
    upsert = {
        "ids": [record["id"] for record in records],
        "embeddings": [record["embedding"] for record in records],
    }
    done = http.request(
        "POST",
        f"{api}/collections/{identifier}/upsert",
        body=json.dumps(upsert).encode(),
        headers=headers,
    )
    assert done.status in {200, 201}, done.data
    time.sleep(0.5)  # the index is written behind the answer

"""Stores to test against: a folder, and moto's S3."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from chroma_store.snapshots.manifest import CHUNK_BYTES
from chroma_store.snapshots.store import SnapshotStore, TransferLimits
from chroma_store.storage import Storage, open_storage
from vector_common.storage.s3 import s3_client

from tests.support import clocks

Faults = Callable[..., None]


@pytest.fixture(scope="session")
def s3_url() -> Iterator[str]:
    with subprocess.Popen(
        [sys.executable, "-m", "tests.integration.vectors.s3_server"],
        cwd=Path(__file__).parents[3],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout
        assert process.stdin
        yield f"http://127.0.0.1:{process.stdout.readline().strip()}"
        process.stdin.close()
        process.wait(timeout=clocks.seconds(30))


@pytest.fixture(scope="session")
def s3(s3_url: str) -> Any:
    client = s3_client(
        endpoint_url=s3_url,
        region_name="eu-west-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )
    client.create_bucket(
        Bucket="vectors", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"}
    )
    return client


@pytest.fixture
def s3_storage(s3: Any) -> Storage:
    return open_storage(f"s3://vectors/{uuid.uuid4().hex}", client=s3)


@pytest.fixture(params=["file", "s3"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    if request.param == "s3":
        return request.getfixturevalue("s3_storage")  # type: ignore[no-any-return]
    return open_storage((tmp_path / "store").as_uri())


@pytest.fixture
def store(storage: Storage) -> SnapshotStore:
    return SnapshotStore(storage, "db", limits=TransferLimits(threads=4))


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """Like Chroma's: a database of pages, an index, small files."""
    rng = random.Random(1)
    folder = tmp_path / "data"
    (folder / "segment").mkdir(parents=True)
    (folder / "chroma.sqlite3").write_bytes(rng.randbytes(3 * CHUNK_BYTES + 4096))
    (folder / "segment" / "data_level0.bin").write_bytes(rng.randbytes(6 * CHUNK_BYTES))
    (folder / "segment" / "header.bin").write_bytes(rng.randbytes(100))
    (folder / "segment" / "empty.bin").touch()
    return folder


@pytest.fixture
def faults(s3_url: str) -> Iterator[Faults]:
    """Make the S3 server misbehave: ``faults({"action": "error", "times": 1}, ...)``."""

    def post(*rules: dict[str, Any]) -> None:
        request = urllib.request.Request(f"{s3_url}/_faults", json.dumps(rules).encode())
        urllib.request.urlopen(request, timeout=clocks.seconds(30)).close()

    yield post
    post()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Try again as often as ever, but at once."""
    monkeypatch.setattr("vector_common.storage.s3._BACKOFF_SECONDS", 0.001)
    backoff = "botocore.retries.standard.ExponentialBackoff.delay_amount"
    monkeypatch.setattr(backoff, lambda *_: 0.0)

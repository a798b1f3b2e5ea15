"""compaction_trigger and tokens against moto."""

from __future__ import annotations

import json
import runpy
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from moto import mock_aws
from vector_common import aws as clients
from vector_common import errors
from vector_common.deltas import DeltaWriter
from vector_common.ids import new_id
from vector_common.names import delta_prefix
from vector_common.records import CollectionSpec
from vector_common.storage import open_storage
from vector_common.stores.state import FedStore, read_stores, write_stores
from vector_common.tokens import read_token

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vector_common.storage import Storage
    from vector_common.stores.state import StoreName

SPEC = CollectionSpec("receipts", 1)


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    # Its credentials are those of the environment in which the first test asked for a client.
    clients._session.cache_clear()
    with mock_aws():
        yield


@pytest.fixture(params=["s3", "folder"])
def storage(
    request: pytest.FixtureRequest, aws: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Storage:
    boto3.client("s3").create_bucket(
        Bucket="vectors", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"}
    )
    url = "s3://vectors/data" if request.param == "s3" else tmp_path.as_uri()
    monkeypatch.setenv("STORAGE_URL", url)
    return open_storage(url)


def look(event: dict[str, Any], **constants: int) -> Any:
    path = Path(__file__).parents[3] / "lambdas/compaction_trigger/handler.py"
    handler = runpy.run_path(str(path))["handler"]
    handler.__wrapped__.__globals__.update(constants)
    return handler(event, None)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Storage:
    monkeypatch.setenv("STORAGE_URL", tmp_path.as_uri())
    return open_storage(tmp_path.as_uri())


def test_databases_with_deltas_are_pending_and_others_are_not(storage: Storage) -> None:
    for database in ("receipts", "labels"):
        DeltaWriter(storage, database).append([{"id": "a", "embedding": [1]}], SPEC)
    storage.put("databases/quiet/pointer.json", b"{}")
    assert look({"source": "aws.scheduler"}) == {"pending": ["labels", "receipts"], "later": 0}
    assert look({"databases": ["receipts", "quiet"]}) == {"pending": ["receipts"], "later": 0}
    assert look({"databases": ["quiet", "unheard"]}) == {"pending": [], "later": 0}


def test_a_database_whose_store_is_behind_is_pending_without_deltas(folder: Storage) -> None:
    folder.put("databases/shops/pointer.json", b'{"snapshot_id": "new"}')
    for snapshot, pending in (("old", ["shops"]), ("new", [])):
        fed: dict[StoreName, FedStore] = {"file": FedStore(snapshot)}
        write_stores(folder, "shops", fed, read_stores(folder, "shops"))
        assert look({}) == {"pending": pending, "later": 0}


def test_what_one_run_cannot_take_is_counted(folder: Storage) -> None:
    for name in "abcde":
        folder.put(f"{delta_prefix(name)}{new_id()}.jsonl", b"")
    assert look({}, MOST=3) == {"pending": ["a", "b", "c"], "later": 2}


@pytest.mark.parametrize("scheme", ["ssm", "secretsmanager", "s3"])
def test_tokens_from_every_vault(aws: None, scheme: str) -> None:
    document = json.dumps({"token": "secret", "expiresAt": time.time() + 60})
    if scheme == "ssm":
        boto3.client("ssm").put_parameter(Name="/s/1", Value=document, Type="SecureString")
        good, bad = "ssm:/s/1", "ssm:/s/2"
    elif scheme == "secretsmanager":
        boto3.client("secretsmanager").create_secret(Name="s1", SecretString=document)
        good, bad = "secretsmanager:s1", "secretsmanager:s2"
    else:
        client = boto3.client("s3")
        client.create_bucket(
            Bucket="tokens", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"}
        )
        client.put_object(Bucket="tokens", Key="a/1", Body=document.encode())
        good, bad = "s3://tokens/a/1", "s3://tokens/a/2"
    assert read_token(good).value == "secret"
    with pytest.raises(errors.Unauthorized, match="no token"):
        read_token(bad)

"""compaction_trigger and tokens against moto."""

from __future__ import annotations

import importlib.util
import json
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from moto import mock_aws
from vector_common import aws as clients
from vector_common import errors
from vector_common.deltas import DeltaWriter
from vector_common.records import CollectionSpec
from vector_common.storage import open_storage
from vector_common.tokens import read_token

if TYPE_CHECKING:
    from collections.abc import Iterator

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


@pytest.fixture
def handler(aws: None, monkeypatch: pytest.MonkeyPatch) -> Any:
    boto3.client("s3").create_bucket(
        Bucket="vectors", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"}
    )
    machine = boto3.client("stepfunctions").create_state_machine(
        name="compaction",
        definition=json.dumps({"StartAt": "A", "States": {"A": {"Type": "Succeed"}}}),
        roleArn="arn:aws:iam::123456789012:role/x",
    )
    monkeypatch.setenv("STORAGE_URL", "s3://vectors/data")
    monkeypatch.setenv("STATE_MACHINE_ARN", machine["stateMachineArn"])
    path = Path(__file__).parents[3] / "lambdas/compaction_trigger/handler.py"
    spec = importlib.util.spec_from_file_location("function_compaction_trigger", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.handler


def started(arn: str) -> list[dict[str, Any]]:
    client = boto3.client("stepfunctions")
    executions = client.list_executions(stateMachineArn=arn)["executions"]
    return [
        json.loads(client.describe_execution(executionArn=e["executionArn"])["input"])
        for e in executions
    ]


def test_databases_with_deltas_are_compacted_once_at_a_time(handler: Any) -> None:
    storage = open_storage("s3://vectors/data")
    for database in ("receipts", "labels"):
        DeltaWriter(storage, database).append([{"id": "a", "embedding": [1]}], SPEC)
    storage.put("databases/quiet/pointer.json", b"{}")
    first = handler({"source": "aws.scheduler", "time": "now"}, None)
    assert first == {
        "started": ["labels", "receipts"],
        "running": [],
        "idle": ["quiet"],
        "failed": {},
    }
    again = handler({"databases": ["receipts", "quiet"]}, None)
    assert (again["idle"], again["started"], again["running"]) == (["quiet"], [], ["receipts"])
    inputs = started(os.environ["STATE_MACHINE_ARN"])
    assert {"database": "receipts"} in inputs
    assert {"database": "labels"} in inputs
    assert {"database": "quiet"} not in inputs


def test_what_has_ended_is_started_again_and_not_called_running(handler: Any) -> None:
    DeltaWriter(open_storage("s3://vectors/data"), "a-b").append(
        [{"id": "a", "embedding": [1]}], SPEC
    )
    assert handler({}, None)["started"] == ["a-b"]
    assert handler({}, None)["running"] == ["a-b"]
    client = boto3.client("stepfunctions")
    machine = os.environ["STATE_MACHINE_ARN"]
    for one in client.list_executions(stateMachineArn=machine)["executions"]:
        client.stop_execution(executionArn=one["executionArn"])
    assert handler({}, None)["started"] == ["a-b"]
    assert len(started(machine)) == 2


def test_one_failure_does_not_stop_the_others(
    handler: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = open_storage("s3://vectors/data")
    DeltaWriter(storage, "receipts").append([{"id": "a", "embedding": [1]}], SPEC)
    monkeypatch.setenv(
        "STATE_MACHINE_ARN", "arn:aws:states:eu-west-1:123456789012:stateMachine:gone"
    )
    assert handler({}, None)["failed"] == {"receipts": "StateMachineDoesNotExist"}


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

"""The session and Step Functions: heartbeats, the callback when ready, the report at the end."""

from __future__ import annotations

import json
import threading
import time
import uuid
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from chroma_supervisor.session.callbacks import TaskCallback

from tests.e2e.rehearsal import events, interpreter
from tests.support import clocks
from tests.support.chroma_sessions import make_bucket

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MOTO_CONFIG = "/moto-api/config"
WAIT = "arn:aws:states:::sqs:sendMessage.waitForTaskToken"


class Machine:
    """An execution whose two states each hand their task token to a queue, and wait for it."""

    def __init__(self, client: Callable[[str], Any], heartbeat: int) -> None:
        self.heartbeat = heartbeat
        self._sqs, self._states = client("sqs"), client("stepfunctions")
        name = f"session-{uuid.uuid4().hex[:8]}"
        self._queue = self._sqs.create_queue(QueueName=name)["QueueUrl"]
        definition = {"StartAt": "Start", "States": {"Start": self._state("Finish"),
                                                     "Finish": self._state(None)}}  # fmt: skip
        arn = self._states.create_state_machine(
            name=name,
            definition=json.dumps(definition),
            roleArn="arn:aws:iam::123456789012:role/states",
        )["stateMachineArn"]
        self._execution = self._states.start_execution(stateMachineArn=arn)["executionArn"]

    def _state(self, following: str | None) -> dict[str, Any]:
        return {
            "Type": "Task",
            "Resource": WAIT,
            "HeartbeatSeconds": self.heartbeat,
            "Parameters": {
                "QueueUrl": self._queue,
                "MessageBody": {"token.$": "$$.Task.Token"},
            },
            **({"Next": following} if following else {"End": True}),
        }

    def token(self) -> str:
        """The task token of the state that waits now."""
        messages: list[dict[str, Any]] = []

        def asked() -> bool:
            messages.extend(self._sqs.receive_message(QueueUrl=self._queue).get("Messages", []))
            return bool(messages)

        clocks.wait(asked, "no state asks for a task token")
        [message] = messages
        self._sqs.delete_message(QueueUrl=self._queue, ReceiptHandle=message["ReceiptHandle"])
        token: str = json.loads(message["Body"])["token"]
        return token

    def end(self) -> dict[str, Any]:
        """How the execution ended."""
        clocks.wait(lambda: self.status() != "RUNNING", "the execution does not end")
        answer: dict[str, Any] = self._states.describe_execution(executionArn=self._execution)
        return answer

    def status(self) -> str:
        status: str = self._states.describe_execution(executionArn=self._execution)["status"]
        return status

    def events(self, kind: str) -> list[dict[str, Any]]:
        history = self._states.get_execution_history(executionArn=self._execution)["events"]
        return [event for event in history if event["type"] == kind]


@pytest.fixture
def machine(
    aws: str, client: Callable[[str], Any], request: pytest.FixtureRequest
) -> Iterator[Machine]:
    """An execution; its parameter is HeartbeatSeconds on a quiet machine, by default enough."""
    config = {"stepfunctions": {"execute_state_machine": True}}
    httpx.post(aws + MOTO_CONFIG, json=config).raise_for_status()
    before = [*interpreter.fill(), *events.fill()]
    yield Machine(client, clocks.whole(getattr(request, "param", 20)))
    interpreter.empty(before)
    config["stepfunctions"]["execute_state_machine"] = False
    httpx.post(aws + MOTO_CONFIG, json=config).raise_for_status()


def test_an_execution_hears_of_the_start_and_of_the_flip(
    start: Any,
    words: Any,
    machine: Machine,
    aws_environment: dict[str, str],
    client: Callable[[str], Any],
) -> None:
    ssm = client("ssm")
    reference = f"/layersmith/test/{uuid.uuid4().hex}"
    environment = {
        **aws_environment,
        "SESSION_ID": "one",
        "TASK_TOKEN": machine.token(),
        "TOKEN_REFERENCE": f"ssm:{reference}",
        "HEARTBEAT_INTERVAL": "0.2",
    }
    session = start(**environment)
    finish_token = machine.token()
    [started] = machine.events("TaskSucceeded")
    output = json.loads(started["taskSucceededEventDetails"]["output"])
    assert output["address"] == session.url
    assert output["tokenReference"] == f"ssm:{reference}"

    parameter = ssm.get_parameter(Name=reference, WithDecryption=True)["Parameter"]
    assert parameter["Type"] == "SecureString"
    session.token = json.loads(parameter["Value"])["token"]
    assert session.token not in json.dumps(output)
    with session.client() as http:
        assert words(http).upsert(1, 2, 3) == 200
    session.kill()  # the container is restarted with the same environment, and its clients go on
    resumed = start(**environment)
    assert resumed.find("volume_adopted")
    resumed.token = session.token
    assert resumed.finish({"taskToken": finish_token}) == 0

    end = machine.end()
    assert end["status"] == "SUCCEEDED"
    report = json.loads(end["output"])
    assert report["flipped"]
    assert report["records"] == {"words": 3}
    with pytest.raises(ssm.exceptions.ParameterNotFound):
        ssm.get_parameter(Name=reference)


def test_an_execution_hears_why_a_session_could_not_start(
    start: Any, machine: Machine, aws_environment: dict[str, str]
) -> None:
    session = start(
        ready=False,
        **aws_environment,
        TASK_TOKEN=machine.token(),
        STORAGE_URL="s3://no-such-bucket-anywhere/chroma",
    )
    assert session.ended() == 4
    end = machine.end()
    assert end["status"] == "FAILED"
    assert end["error"] == "StartError"
    # moto drops the cause that it was sent.
    assert "no-such-bucket-anywhere" in session.wait("failed")["message"]


@pytest.mark.parametrize("machine", [1], indirect=True)
def test_heartbeats_keep_a_state_waiting_and_their_end_fails_it(
    machine: Machine, client: Callable[[str], Any]
) -> None:
    gone = threading.Event()
    callback = TaskCallback(
        client("stepfunctions"), machine.token(), interval=machine.heartbeat / 5, on_gone=gone.set
    )
    callback.start()
    time.sleep(1.7 * machine.heartbeat)
    assert machine.status() == "RUNNING"
    callback.close()
    assert machine.end()["status"] == "FAILED"
    assert not gone.is_set()
    assert callback.succeed({}) is False


def test_a_session_that_nobody_waits_for_ends_by_itself(
    start: Any, machine: Machine, aws_environment: dict[str, str], client: Callable[[str], Any]
) -> None:
    token = machine.token()
    client("stepfunctions").send_task_failure(taskToken=token, error="Gone", cause="the test")
    session = start(ready=False, **aws_environment, TASK_TOKEN=token)
    assert session.ended() == 3
    assert session.find("report") is None


def test_a_token_in_secrets_manager_lives_as_long_as_its_session(
    start: Any, words: Any, aws_environment: dict[str, str], client: Callable[[str], Any]
) -> None:
    secrets = client("secretsmanager")
    name = f"layersmith/{uuid.uuid4().hex}"
    secrets.create_secret(Name=name, SecretString="of an earlier task of the same session")
    session = start(**aws_environment, TOKEN_REFERENCE=f"secretsmanager:{name}")
    document = json.loads(secrets.get_secret_value(SecretId=name)["SecretString"])
    session.token = document["token"]
    assert document["expiresAt"] > time.time() + 3600
    with session.client() as http:
        assert words(http).upsert(1) == 200
    assert session.terminate() == 0
    with pytest.raises(secrets.exceptions.ResourceNotFoundException):
        secrets.get_secret_value(SecretId=name)


def test_a_token_in_an_encrypted_object(
    start: Any, words: Any, aws_environment: dict[str, str], client: Callable[[str], Any]
) -> None:
    s3, bucket = client("s3"), f"tokens-{uuid.uuid4().hex[:12]}"
    make_bucket(aws_environment["AWS_ENDPOINT_URL"], bucket)
    session = start(**aws_environment, TOKEN_REFERENCE=f"s3://{bucket}/sessions/1")
    answer = s3.get_object(Bucket=bucket, Key="sessions/1")
    assert answer["ServerSideEncryption"] == "aws:kms"
    session.token = json.loads(answer["Body"].read())["token"]
    with session.client() as http:
        assert words(http).upsert(1) == 200
    assert session.terminate() == 0
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0

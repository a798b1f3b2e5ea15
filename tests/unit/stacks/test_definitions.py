"""The state machines' definitions: time-outs, retries, ways out, and what fills their gaps."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from layersmith.stacks import templates

if TYPE_CHECKING:
    from collections.abc import Iterator

FOLDER = Path(__file__).parents[3] / "infra-templates"
MACHINES = {
    path.name.removesuffix(".asl.json"): json.loads(path.read_text("utf-8"))
    for path in sorted((FOLDER / "state-machines").glob("*.asl.json"))
}
TEXTS = {
    path.name.removesuffix(".asl.json"): path.read_text("utf-8")
    for path in (FOLDER / "state-machines").glob("*.asl.json")
}
RETRIED = re.compile(
    r"AmazonECS\.Unknown|(ECS|Ecs|DynamoDB|Lambda|S3|Sfn|StepFunctions)\."
    r"(\w*Throttling\w*|\w*Throughput\w*|RequestLimitExceeded|TooManyRequestsException"
    r"|Internal\w*|Server\w*|Service\w*|AWSLambdaException|SdkClientException"
    r"|EFSMount(Connectivity|Timeout)Exception"
    r"|(ResourceNotReady|ResourceConflict|ENINotReady|EC2Throttled)Exception"
    r"|EcsException|S3Exception|SfnException)|ServerBusy|StorageBusy"
)
"""Errors that say that nothing happened, or that the same call is safe to repeat."""


def walk(machine: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every state of a machine, those of its maps included."""
    for name, state in machine["States"].items():
        yield f"{path}{name}", state
        if "ItemProcessor" in state:
            yield from walk(state["ItemProcessor"], f"{path}{name}/")


STATES = [
    pytest.param(state, id=f"{machine}:{path}")
    for machine, definition in MACHINES.items()
    for path, state in walk(definition)
]
TASKS = [one for one in STATES if one.values[0]["Type"] == "Task"]  # type: ignore[index]


@pytest.mark.parametrize("state", TASKS)
def test_every_task_has_a_time_out(state: dict[str, Any]) -> None:
    assert state.keys() & {"TimeoutSeconds", "TimeoutSecondsPath"}


@pytest.mark.parametrize("state", TASKS)
def test_whoever_runs_already_sends_heartbeats_and_what_is_provisioned_cannot(
    state: dict[str, Any],
) -> None:
    # A heartbeat's clock begins with the state (Amazon States Language), and ECS takes minutes to
    # bring a task up: only a time-out may bound the wait for its first call back.
    if state["Resource"].endswith("ecs:runTask.waitForTaskToken"):
        assert state["TimeoutSecondsPath"] == "$.input.startSeconds"
        assert not state.keys() & {"HeartbeatSeconds", "HeartbeatSecondsPath"}
    elif state["Resource"].endswith(".waitForTaskToken"):
        assert state["HeartbeatSecondsPath"] == "$.input.heartbeatSeconds"


@pytest.mark.parametrize("state", STATES)
def test_who_catches_everything_catches_what_no_state_can_hold_by_its_name(
    state: dict[str, Any],
) -> None:
    # States.ALL does not match States.DataLimitExceeded (Step Functions, error handling). Its
    # catcher must not keep the input beside the error where the input may be what is too large.
    caught = [one["ErrorEquals"] for one in state.get("Catch", [])]
    if ["States.ALL"] in caught:
        assert caught[-2:] == [["States.DataLimitExceeded"], ["States.ALL"]]
        last = state["Catch"][-2:]
        assert last[0] == {**last[1], "ErrorEquals": ["States.DataLimitExceeded"]}


def test_a_session_that_outgrew_its_state_cleans_up_without_its_state() -> None:
    states = MACHINES["vector-session"]["States"]
    for name, state in states.items():
        for catch in state.get("Catch", []):
            if catch["Next"] == "CleanUp":
                assert "ResultPath" not in catch, name
    assert states["CleanUp"]["Parameters"]["Input"]["database.$"] == "$$.Execution.Input.database"


@pytest.mark.parametrize("state", TASKS)
def test_retries_have_jitter_and_a_bound_and_only_what_may_pass_is_retried(
    state: dict[str, Any],
) -> None:
    assert state["Retry"], "every call can be throttled"
    for retry in state["Retry"]:
        assert retry["JitterStrategy"] == "FULL"
        assert 1 <= retry["MaxAttempts"] <= 8
        assert retry["MaxDelaySeconds"] <= 600
        wrong = [name for name in retry["ErrorEquals"] if not RETRIED.fullmatch(name)]
        assert wrong == []


@pytest.mark.parametrize("name", MACHINES)
def test_every_machine_has_a_time_out_of_its_own(name: str) -> None:
    assert 0 < MACHINES[name]["TimeoutSeconds"] <= 86_400


@pytest.mark.parametrize("name", MACHINES)
def test_every_state_can_be_reached_and_leads_somewhere(name: str) -> None:
    def check(machine: dict[str, Any]) -> None:
        reached, todo = set(), [machine["StartAt"]]
        while todo:
            here = todo.pop()
            if here in reached:
                continue
            reached.add(here)
            state = machine["States"][here]
            ends = state["Type"] in {"Succeed", "Fail"} or state.get("End")
            assert ends or following(state), here
            todo += following(state)
            if "ItemProcessor" in state:
                check(state["ItemProcessor"])
        assert reached == set(machine["States"])

    check(MACHINES[name])


@pytest.mark.parametrize(
    ("name", "first"), [("vector-session", "StartServer"), ("compaction", "Compact")]
)
def test_once_a_server_may_run_every_error_leads_to_the_clean_up(name: str, first: str) -> None:
    states = MACHINES[name]["States"]
    seen, todo = set(), [first]
    while todo:
        here = todo.pop()
        state = states[here]
        if here in seen or here == "CleanUp":
            continue
        seen.add(here)
        todo += following(state)
        if state["Type"] in {"Task", "Map"} and here != "ReleaseLock":
            last = state["Catch"][-1]
            assert last["ErrorEquals"] == ["States.ALL"], here
            assert last["Next"] == "CleanUp", here
    assert "ReleaseLock" in seen


@pytest.mark.parametrize("name", MACHINES)
def test_the_template_fills_every_gap_and_no_other(name: str) -> None:
    wanted = set(re.findall(r"\$\{(\w+)\}", TEXTS[name]))
    machines = {
        resource["Properties"]["StateMachineName"]["Fn::Sub"]: resource["Properties"]
        for resource in templates.load(FOLDER)["workflows"].resources.values()
        if resource["Type"] == "AWS::StepFunctions::StateMachine"
    }
    given = set(machines[f"${{Project}}-${{Stage}}-{name}"]["DefinitionSubstitutions"])
    assert given == wanted


@pytest.mark.parametrize("name", MACHINES)
def test_paths_are_names_and_literal_indices(name: str) -> None:
    # tests/e2e/rehearsal/interpreter.py relies on it.
    for path in re.findall(r'"(\$[^"]*)"', TEXTS[name]):
        assert re.fullmatch(r"\$(\$?)(\.[A-Za-z_]\w*|\[\d+\])*|\$\{\w+\}.*", path), path


def following(state: dict[str, Any]) -> list[str]:
    """Names of the states that may come next."""
    listed = [state.get("Next"), state.get("Default")]
    listed += [choice.get("Next") for choice in state.get("Choices", [])]
    listed += [catch["Next"] for catch in state.get("Catch", [])]
    return [name for name in listed if name]


def test_whoever_invokes_a_function_that_mounts_a_file_system_waits_for_the_mount() -> None:
    # Invoke names them (AWS Lambda API reference); both come before any code of the function.
    mounting = {"delta_writer", "compaction_trigger"}
    found = set()
    for machine in MACHINES.values():
        for _, state in walk(machine):
            name = str(state.get("Parameters", {}).get("FunctionName", "")).rpartition("}")[2]
            if name in mounting:
                found.add(name)
                retried = {error for retry in state["Retry"] for error in retry["ErrorEquals"]}
                assert {
                    "Lambda.EFSMountConnectivityException",
                    "Lambda.EFSMountTimeoutException",
                } <= retried
    assert found == mounting


def test_whoever_invokes_a_function_in_a_vpc_waits_until_it_is_connected_again() -> None:
    # Lambda takes the connection away from a function that is idle for long: the next invocation
    # fails and begins to restore it, and those until it is there fail, too (AWS Lambda developer
    # guide, functions-states; Invoke names the errors). That takes about a minute.
    functions = {
        resource["Properties"]["FunctionName"]["Fn::Sub"].rpartition("-")[2]
        for resource in templates.load(FOLDER)["functions"].resources.values()
        if resource["Type"] == "AWS::Lambda::Function" and "VpcConfig" in resource["Properties"]
    }
    errors = {
        f"Lambda.{name}Exception"
        for name in ("ResourceNotReady", "ResourceConflict", "ENINotReady", "EC2Throttled")
    }
    found = set()
    for machine in MACHINES.values():
        for path, state in walk(machine):
            name = str(state.get("Parameters", {}).get("FunctionName", "")).rpartition("}")[2]
            if name in functions:
                found.add(name)
                [retry] = [one for one in state["Retry"] if errors & {*one["ErrorEquals"]}]
                assert errors == {*retry["ErrorEquals"]}, path
                pauses = [
                    min(retry["IntervalSeconds"] * retry["BackoffRate"] ** n, 60)
                    for n in range(retry["MaxAttempts"])
                ]
                # Full jitter waits half of each pause in the mean.
                assert sum(pauses) / 2 > 120, path
    assert found == {"session_work", "session_finish", "delta_writer", "compaction_trigger"}


def described(token: str) -> dict[str, Any]:
    """A stopped task as ECS describes it: botocore's shape Task with what Fargate fills in."""
    arn = "arn:aws-us-gov:ecs:us-gov-west-1:123456789012:task/layersmith-production/" + "0" * 32
    image = (
        f"123456789012.dkr.ecr.us-gov-west-1.amazonaws.com/layersmith/production/chroma@{'0' * 71}"
    )
    names = ("subnetId", "networkInterfaceId", "macAddress", "privateDnsName", "privateIPv4Address")
    text, moment = "x" * 40, "2026-11-27T07:00:00.000Z"
    names_set = ("MODE", "DATABASE", "SESSION_ID", "SESSION_DEADLINE", "IDLE_TIMEOUT")
    environment = [{"Name": name, "Value": text} for name in (*names_set, "TOKEN_REFERENCE")]
    environment.append({"Name": "TASK_TOKEN", "Value": token})
    return {
        "Attachments": [
            {
                "Details": [{"Name": name, "Value": text} for name in names],
                "Id": "0" * 36,
                "Status": "DELETED",
                "Type": "ElasticNetworkInterface",
            }
        ],
        "Attributes": [{"Name": "ecs.cpu-architecture", "Value": "arm64"}],
        "Containers": [
            {
                "ContainerArn": f"{arn}/{'0' * 36}",
                "TaskArn": arn,
                "Name": "chroma",
                "Image": image,
                "ImageDigest": "0" * 71,
                "RuntimeId": "0" * 43,
                "LastStatus": "STOPPED",
                "HealthStatus": "UNKNOWN",
                "NetworkInterfaces": [
                    {"AttachmentId": "0" * 36, "PrivateIpv4Address": "10.84.15.255"}
                ],
            }
        ],
        "Overrides": {
            "ContainerOverrides": [{"Name": "chroma", "Environment": environment}],
            "InferenceAcceleratorOverrides": [],
        },
        "ClusterArn": arn,
        "TaskArn": arn,
        "TaskDefinitionArn": arn,
        "Group": "session:" + "0" * 80,
        "StoppedReason": "x" * 100,
        **dict.fromkeys(
            ("ConnectivityAt", "CreatedAt", "PullStartedAt", "PullStoppedAt", "StartedAt"), moment
        ),
        **dict.fromkeys(("ExecutionStoppedAt", "StoppingAt", "StoppedAt"), moment),
    }


def test_a_page_of_tasks_fits_a_state() -> None:
    # A state takes 262,144 bytes, what a selector drops included (Step Functions quotas). ECS gives
    # pages of 100 unless it is asked for fewer, and a task token has up to 2,048 characters.
    task = json.dumps(described("A" * 2048))
    pages = [
        state["Parameters"].get("MaxResults", 100)
        for machine in MACHINES.values()
        for _, state in walk(machine)
        if state.get("Resource", "").endswith(":ecs:listTasks")
    ]
    assert pages
    assert [most for most in pages if most * len(task) > 262_144] == []

"""A stage that was deployed to the rehearsal's account, and what tests do with it."""

from __future__ import annotations

import contextlib
import json
import tempfile
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from chroma_store.deltas.log import DeltaLog
from chroma_store.server.client import ChromaHttp
from chroma_store.server.process import ChromaProcess
from chroma_store.snapshots.store import SnapshotStore
from layersmith.ship.aws.accounts import Aws
from layersmith.ship.cost import billing, usage
from layersmith.stacks import assets, deploy, destroy, templates
from layersmith.stacks import stage as stages
from vector_common.storage import open_storage

from tests.e2e.rehearsal.cloud import REGION, Cloud, empty_zip
from tests.e2e.rehearsal.functions import FunctionBridge
from tests.e2e.rehearsal.processes import ROOT
from tests.e2e.rehearsal.tasks import MetadataEndpoint, TaskBridge
from tests.support import clocks

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tests.e2e.rehearsal.functions import Host
    from tests.e2e.rehearsal.tasks import Launcher

IMAGE = f"rehearsal/chroma@sha256:{'0' * 64}"
SETTINGS = (
    f"chroma.ImageUri={IMAGE}",
    # moto's interpreter knows no express executions.
    "workflows.MapExecutionType=STANDARD",
)
EXECUTION = 300.0
"""Seconds after which an execution that has not ended on a quiet machine never will."""

STAGE = "dev"
RUNNING = "RUNNING"
KILLED = 137
"""Exit code of a task that SIGKILL ended, as ECS reports it."""


@dataclass(frozen=True)
class Execution:
    """An execution that has ended.

    Attributes:
        arn: Its ARN.
        status: SUCCEEDED, FAILED, TIMED_OUT or ABORTED.
        output: What a success gave.
        error: Name of the error of a failure.
        cause: Its cause.
        seconds: How long it ran.
        transitions: What AWS bills of it: every state that it entered, and every retry.
    """

    arn: str
    status: str
    output: Any
    error: str
    cause: str
    seconds: float
    transitions: int

    @property
    def name(self) -> str:
        """Its name, which is the session's id."""
        return self.arn.rsplit(":", 1)[-1]


@dataclass
class Stage:
    """A deployed stage whose tasks and functions run.

    Attributes:
        launcher: Starts servers.
        host: Runs functions.
        cloud: The account.
        layers: Content of the layers by name, where the host uses the real ones.
        settings: Of every deployment, over the stage's file.
    """

    launcher: Launcher
    host: Host
    cloud: Cloud
    layers: Mapping[str, bytes] = field(default_factory=dict)
    settings: Sequence[str] = ()
    outputs: dict[str, Mapping[str, str]] = field(default_factory=dict)
    _opened: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)

    def __enter__(self) -> Self:
        for name in ("chromadb-vector", "vector-common"):
            self.cloud.publish_layer(name, self.layers.get(name) or empty_zip())
        self.deploy()
        metadata = MetadataEndpoint(self.cloud.service_host)
        self._opened.callback(metadata.close)
        self.tasks = self._opened.enter_context(TaskBridge(self.launcher, metadata))
        self.functions = self._opened.enter_context(FunctionBridge(self.host))
        self.states = self.cloud.client("stepfunctions")
        return self

    def __exit__(self, *_: object) -> None:
        self._opened.close()

    # Deploying, by the code that deploys to AWS.

    @property
    def aws(self) -> Aws:
        """Clients of the account, as the product makes them."""
        return Aws(endpoint_url=self.cloud.endpoint)

    def deploy(self, *settings: str) -> list[deploy.StackOutcome]:
        """Bring the stage up; return what became of each stack."""
        stage, chosen = self.chosen(*settings)
        folder = ROOT / "infra-templates"
        run = deploy.Deployment(
            aws=self.aws,
            stage=stage,
            templates=chosen,
            assets=assets.collect(ROOT / "lambdas", folder / "state-machines"),
            show=lambda *_: None,
            accept=lambda _: True,
        )
        run.stacks.poll_seconds = 0.05
        outcomes = run.run()
        self.outputs = {one.stack: one.outputs for one in outcomes}
        return outcomes

    def destroy(self, *, delete_data: bool) -> destroy.Removal:
        """Take the stage down."""
        stage, chosen = self.chosen()
        return destroy.run(self.aws, stage, chosen, delete_data=delete_data)

    def chosen(self, *settings: str) -> tuple[stages.Stage, list[templates.Template]]:
        """The stage and its templates, with settings over its file."""
        folder = ROOT / "infra-templates"
        stage = stages.load(folder / "stages", STAGE, (*SETTINGS, *self.settings, *settings))
        assert stage.region == REGION
        return stage, stages.select(stage, templates.load(folder))

    # Running.

    def start(self, machine: str, event: Mapping[str, Any], name: str | None = None) -> str:
        """Start an execution; return its ARN."""
        answer = self.states.start_execution(
            stateMachineArn=self.outputs["workflows"][machine],
            name=name or f"rehearsal-{uuid.uuid4().hex[:12]}",
            input=json.dumps(event),
        )
        return str(answer["executionArn"])

    def wait(self, arn: str) -> Execution:
        """Wait for the end of an execution."""
        found: dict[str, Any] = {}

        def ended() -> bool:
            found.update(self.states.describe_execution(executionArn=arn))
            return bool(found["status"] != RUNNING)

        clocks.wait(ended, lambda: f"{arn} still runs: {self.history(arn)[-5:]}", EXECUTION)
        history = self.history(arn)
        return Execution(
            arn=arn,
            status=found["status"],
            output=json.loads(found["output"]) if found.get("output") else None,
            error=found.get("error") or "",
            cause=found.get("cause") or "",
            seconds=(found["stopDate"] - found["startDate"]).total_seconds(),
            transitions=billing.transitions(history),
        )

    def run(self, machine: str, event: Mapping[str, Any]) -> Execution:
        """Start an execution and wait for its end."""
        return self.wait(self.start(machine, event))

    def session(self, items: Sequence[Mapping[str, Any]], **more: Any) -> Execution:
        """Run a session over items."""
        return self.run("VectorSessionArn", self.session_input(items, **more))

    def session_input(self, items: Sequence[Mapping[str, Any]], **more: Any) -> dict[str, Any]:
        """The input of a session, with time-outs that suit a rehearsal."""
        times = {"heartbeatSeconds": clocks.whole(60), "startSeconds": clocks.whole(300)}
        return {"database": "receipts", "items": list(items), **times, **more}

    def history(self, arn: str) -> list[dict[str, Any]]:
        """The events of an execution, oldest first."""
        return list(usage.history(self.states, arn))

    def invoke(self, function: str, event: Mapping[str, Any]) -> Any:
        """Invoke a function directly; raise AssertionError where it raised."""
        answer = self.cloud.client("lambda").invoke(
            FunctionName=f"layersmith-{STAGE}-{function}", Payload=json.dumps(event)
        )
        payload = json.loads(answer["Payload"].read())
        assert "FunctionError" not in answer, payload
        return payload

    def put(self, key: str, value: Any) -> dict[str, str]:
        """Put JSON into the data bucket; return it as the source of a Distributed Map."""
        bucket = self.outputs["chroma"]["DataBucketName"]
        self.cloud.client("s3").put_object(Bucket=bucket, Key=key, Body=json.dumps(value))
        return {"bucket": bucket, "key": key}

    # Looking.

    def locks(self) -> list[dict[str, Any]]:
        """The items of the lock table."""
        table = self.outputs["chroma"]["LockTableName"]
        found: list[dict[str, Any]] = self.cloud.client("dynamodb").scan(TableName=table)["Items"]
        return found

    def executions(self, machine: str) -> list[dict[str, Any]]:
        """The executions of a state machine."""
        arn = self.outputs["workflows"][machine]
        found: list[dict[str, Any]] = self.states.list_executions(stateMachineArn=arn)["executions"]
        return found

    def stored_ids(self, database: str, collection: str) -> set[str]:
        """Ids of all records that the stored data holds: the snapshot and the pending deltas.

        It restores them as a session would, in a folder of its own, and writes nothing.
        """
        client = self.cloud.client("s3")
        storage = open_storage(self.outputs["chroma"]["StorageUrl"], client=client)
        with tempfile.TemporaryDirectory(prefix="layersmith-check-") as folder:
            data = Path(folder) / "data"
            report = SnapshotStore(storage, database).restore(data)
            with ChromaProcess(data) as server:
                server.wait_ready()
                DeltaLog(storage, database).replay(server.base_url, report.consumed)
                return _all_ids(ChromaHttp(server.base_url), collection)

    def settle(self) -> None:
        """Wait until no execution runs and no task does."""
        clocks.wait(lambda: not self._busy(), lambda: f"still busy: {self._busy()}", EXECUTION)

    def assert_clean(self) -> None:
        """Nothing runs, nothing is locked, no token is left."""
        self.settle()
        assert self.locks() == []
        bucket = self.outputs["chroma"]["DataBucketName"]
        tokens = self.cloud.client("s3").list_objects_v2(Bucket=bucket, Prefix="tokens/")
        left = [one["Key"] for one in tokens.get("Contents", [])]
        killed = {key for key, server in self.tasks.servers.items() if server.exit_code() == KILLED}
        sessions = {self.tasks.environments[key]["SESSION_ID"] for key in killed}
        # A server that was killed cannot take its token away; a lifecycle rule does.
        assert [key for key in left if key.removeprefix("tokens/") not in sessions] == []

    def _busy(self) -> list[str]:
        machines = ("VectorSessionArn", "SessionCleanupArn", "CompactionArn", "BackfillArn")
        running = [
            one["executionArn"]
            for machine in machines
            for one in self.executions(machine)
            if one["status"] == RUNNING
        ]
        return running + self.tasks.running()


def _all_ids(http: ChromaHttp, collection: str) -> set[str]:
    found: set[str] = set()
    identifier = http.find(collection)
    total = http.count(identifier)
    while len(found) < total:
        page = http.page(identifier, len(found), 1000)["ids"]
        assert page, f"{collection} ends at {len(found)} of {total}"
        found |= set(page)
    return found

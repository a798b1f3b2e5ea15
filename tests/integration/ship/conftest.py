"""A server that behaves like AWS, a project with built layers, and the command line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import botocore.loaders
import pytest
from layersmith import cli

from tests.integration.ship import hub as hubs
from tests.integration.ship import releases
from tests.support import cli as commands
from tests.support import clocks
from tests.support.envelopes import data_of

if TYPE_CHECKING:
    from tests.integration.ship.hub import Hub

ROOT = Path(__file__).parents[3]
RUNNER = Path(__file__).with_name("runner.py")
SERVER = Path(__file__).with_name("aws_server.py")
REGIONS = ("eu-west-1", "us-east-1", "ap-south-1", "sa-east-1", "ca-central-1")


@dataclass
class AwsServer:
    """The server, and what tests ask of it beside AWS's own API."""

    url: str

    def post(self, path: str, body: Any = None) -> Any:
        request = urllib.request.Request(
            self.url + path, method="POST", data=json.dumps(body).encode()
        )
        with urllib.request.urlopen(request, timeout=clocks.seconds(30)) as answer:
            return json.loads(answer.read() or b"null")

    def reset(self) -> None:
        """Empty the account, but for the role that the infrastructure stack makes."""
        self.post("/_test/reset")
        self.post("/moto-api/reset")
        trust = {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}}
        self.client("iam", "us-east-1").create_role(
            RoleName="layersmith-canary",
            AssumeRolePolicyDocument=json.dumps(
                {"Version": "2012-10-17", "Statement": [{**trust, "Action": "sts:AssumeRole"}]}
            ),
        )
        self.post("/_test/reset")

    def faults(self, *rules: dict[str, Any]) -> None:
        self.post("/_test/faults", list(rules))

    def calls(self, action: str = "", region: str = "") -> list[dict[str, Any]]:
        return [
            call
            for call in self.post("/_test/calls")
            if action in call["action"] and region in call["region"]
        ]

    def client(self, service: str, region: str, **options: Any) -> Any:
        return boto3.client(
            service,  # type: ignore[call-overload]
            region_name=region,
            endpoint_url=self.url,
            aws_access_key_id=options.pop("key", "testing"),
            aws_secret_access_key="testing",
            **options,
        )


@pytest.fixture(scope="session", autouse=True)
def shared_service_models() -> Iterator[None]:
    """Parse AWS's service models once, in place of once a session of boto3."""
    shared = botocore.loaders.create_loader()
    with pytest.MonkeyPatch.context() as patch:
        # The name that a session looks up: it imports the function, not its module.
        patch.setattr("botocore.session.create_loader", lambda *_: shared)
        yield


@contextmanager
def served(*options: str) -> Iterator[AwsServer]:
    """Serve AWS on a port of loopback while the block runs."""
    with subprocess.Popen(
        [sys.executable, str(SERVER), *options],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(commands.PACKAGES)},
    ) as process:
        assert process.stdout
        assert process.stdin
        yield AwsServer(f"http://127.0.0.1:{int(process.stdout.readline())}")
        process.stdin.close()
        process.wait(timeout=clocks.seconds(30))


@pytest.fixture(scope="session")
def aws_process() -> Iterator[AwsServer]:
    with served() as server:
        yield server


@pytest.fixture
def aws(aws_process: AwsServer, monkeypatch: pytest.MonkeyPatch) -> AwsServer:
    use(aws_process, monkeypatch)
    return aws_process


@pytest.fixture
def aws_with_runtime(monkeypatch: pytest.MonkeyPatch) -> Iterator[AwsServer]:
    """A server that starts functions in the ARM64 runtime of the proofs."""
    with served("--runner", "docker") as server:
        use(server, monkeypatch)
        yield server


def use(server: AwsServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Empty the server's accounts, and make the command line talk to it."""
    server.reset()
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_DEFAULT_REGION", "GITHUB_STEP_SUMMARY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)


@dataclass
class Result:
    """What a run of the command line left."""

    code: int
    out: str
    err: str
    peak_kib: int = 0
    cpu: float = 0.0

    @property
    def json(self) -> Any:
        return data_of(self.out)


@dataclass
class Project:
    """A checkout with layers.yaml and dist/."""

    root: Path
    capsys: pytest.CaptureFixture[str]
    options: list[str] = field(default_factory=list)

    def write(self, *layers: releases.LayerSpec) -> None:
        releases.write(self.root, layers)

    def run(self, *argv: str) -> Result:
        self.capsys.readouterr()
        code = cli.main([*argv])
        said = self.capsys.readouterr()
        return Result(code, said.out, said.err)

    @property
    def places(self) -> list[str]:
        return ["--config", str(self.root / "layers.yaml"), "--dist", str(self.root / "dist")]

    def apply(self, *options: str) -> Result:
        return self.run("publish", "apply", "--yes", "--json", *self.places, *options)

    def plan(self, *options: str) -> Result:
        return self.run("publish", "plan", "--json", *self.places, *options)

    def verify(self, *options: str) -> Result:
        return self.run("verify", "--json", *self.places, *options)


@pytest.fixture
def project(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Project:
    return Project(tmp_path, capsys)


class Runner:
    """Runs the command line in processes of its own; see runner.py."""

    def __init__(self, url: str) -> None:
        environment = {
            **os.environ,
            "AWS_ENDPOINT_URL": url,
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_EC2_METADATA_DISABLED": "true",
            "PYTHONPATH": os.pathsep.join(commands.PACKAGES),
        }
        self.process = subprocess.Popen(
            [sys.executable, str(RUNNER)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )

    def start(self, *argv: str, kill_after: int = 0) -> None:
        """Start a run; one at a time."""
        assert self.process.stdin
        order = {"argv": argv, "kill_after": kill_after}
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()

    def result(self) -> Result:
        assert self.process.stdout
        return Result(**json.loads(self.process.stdout.readline()))

    def run(self, *argv: str, kill_after: int = 0) -> Result:
        self.start(*argv, kill_after=kill_after)
        return self.result()

    def close(self) -> None:
        assert self.process.stdin
        self.process.stdin.close()
        self.process.wait(timeout=clocks.seconds(60))


@pytest.fixture
def runners(aws: AwsServer) -> Iterator[Callable[[], Runner]]:
    """Makes runners, each of which runs one command at a time."""
    made: list[Runner] = []

    def make() -> Runner:
        made.append(Runner(aws.url))
        return made[-1]

    yield make
    for runner in made:
        runner.close()


Snapshot = Callable[..., dict[str, Any]]


@pytest.fixture
def snapshot(aws: AwsServer) -> Snapshot:
    return lambda regions=REGIONS: releases.snapshot(aws, regions)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A repository on GitHub, and a workflow run's variables that name it."""
    with hubs.served() as made:
        monkeypatch.setenv("GITHUB_API_URL", made.url)
        monkeypatch.setenv("GITHUB_REPOSITORY", "owner/name")
        monkeypatch.setenv("GITHUB_TOKEN", "secret")
        yield made

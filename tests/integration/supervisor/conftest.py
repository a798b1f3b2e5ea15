"""Real supervisors as child processes, with moto's server as AWS."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PACKAGES = [
    Path(__file__).parents[3] / "fargate/chroma",
    Path(__file__).parents[3] / "lambdas/common/src",
]
API = "/api/v2/tenants/default_tenant/databases/default_database/collections"
TIMEOUT = 20.0


@dataclass
class Supervisor:
    """A supervisor's process, the events it has logged, and a client of its proxy."""

    process: subprocess.Popen[str]
    events: list[dict[str, Any]] = field(default_factory=list)
    token: str = ""
    url: str = ""

    def find(self, name: str, **wanted: object) -> dict[str, Any] | None:
        for event in list(self.events):
            if event["event"] == name and all(event.get(k) == v for k, v in wanted.items()):
                return event
        return None

    def wait(self, name: str, **wanted: object) -> dict[str, Any]:
        """Wait for an event in the log."""
        deadline = time.monotonic() + TIMEOUT
        while time.monotonic() < deadline:
            found = self.find(name, **wanted)
            if found is not None:
                return found
            if self.process.poll() is not None:
                time.sleep(0.1)
                found = self.find(name, **wanted)
                assert found, f"ended with {self.process.returncode} without {name}: {self.events}"
                return found
            time.sleep(0.01)
        raise AssertionError(f"no {name} in {TIMEOUT} s: {self.events}")

    def client(self, token: str | None = None, **options: Any) -> httpx.Client:
        """An HTTP client of the proxy, by default with the session's token."""
        return httpx.Client(
            base_url=self.url,
            headers={"Authorization": f"Bearer {self.token if token is None else token}"},
            timeout=TIMEOUT,
            trust_env=False,
            **options,
        )

    def finish(self, body: dict[str, str] | None = None) -> int:
        """Ask for the end over HTTP and return the exit code."""
        with self.client() as client:
            assert client.post("/_session/finish", json=body or {}).status_code == 202
        return self.process.wait(TIMEOUT)

    def terminate(self) -> int:
        """Ask for the end as ECS does and return the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(TIMEOUT)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(TIMEOUT)


@pytest.fixture
def store(tmp_path: Path) -> str:
    """The URL of an empty storage in a folder."""
    folder = tmp_path / "store"
    folder.mkdir()
    return folder.as_uri()


class Launcher:
    """Starts supervisors in a folder and leaves none behind."""

    def __init__(self, folder: Path, store: str) -> None:
        self.folder = folder
        self._store = store
        self._running: list[subprocess.Popen[str]] = []

    def __call__(
        self, *, ready: bool = True, volume: str = "volume", **environment: str
    ) -> Supervisor:
        """Start one; keyword arguments are further environment."""
        number = len(self._running)
        token_file = self.folder / f"token-{number}"
        settings = {
            "DATABASE": "receipts",
            "STORAGE_URL": self._store,
            "SESSION_ID": f"session-{number}",
            "TOKEN_REFERENCE": token_file.as_uri(),
            "DATA_DIR": str(self.folder / volume),
            "LISTEN_HOST": "127.0.0.1",
            "LISTEN_PORT": "0",
            "PATH": os.environ["PATH"],
            "PYTHONPATH": os.pathsep.join(map(str, PACKAGES)),
            **environment,
        }
        process = subprocess.Popen(
            [sys.executable, "-m", "chroma_supervisor", "serve"],
            env=settings,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._running.append(process)
        supervisor = Supervisor(process)
        threading.Thread(target=_read, args=(process, supervisor.events), daemon=True).start()
        if ready:
            supervisor.url = supervisor.wait("ready")["address"]
            if token_file.exists():
                supervisor.token = json.loads(token_file.read_text())["token"]
        return supervisor

    def close(self) -> None:
        for process in self._running:
            if process.poll() is None:
                process.kill()
            process.wait(TIMEOUT)


@pytest.fixture
def start(tmp_path: Path, store: str) -> Iterator[Launcher]:
    launcher = Launcher(tmp_path, store)
    yield launcher
    launcher.close()


@pytest.fixture(scope="module")
def shared_start(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Launcher]:
    """For supervisors that the tests of a module share."""
    folder = tmp_path_factory.mktemp("shared")
    (folder / "store").mkdir()
    launcher = Launcher(folder, (folder / "store").as_uri())
    yield launcher
    launcher.close()


def _read(process: subprocess.Popen[str], events: list[dict[str, Any]]) -> None:
    assert process.stdout is not None
    with process.stdout as lines:
        for line in lines:
            try:
                events.append(json.loads(line))
            except ValueError:
                events.append({"event": "not json", "line": line})


@pytest.fixture(scope="session")
def aws() -> Iterator[str]:
    """The URL of a moto server."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    with pytest.MonkeyPatch.context() as patch:
        # Where moto's Step Functions look for moto's SQS.
        patch.setenv("MOTO_PORT", str(port))
        yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def aws_environment(aws: str) -> dict[str, str]:
    """What a supervisor needs to find moto instead of AWS."""
    return {
        "AWS_ENDPOINT_URL": aws,
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": "eu-central-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }


@pytest.fixture
def client(aws: str) -> Callable[[str], Any]:
    """Makes botocore clients of the moto server."""
    import boto3

    def make(service: str) -> Any:
        return boto3.client(
            service,
            endpoint_url=aws,
            region_name="eu-central-1",
            aws_access_key_id="testing",
            aws_secret_access_key="testing",
        )

    return make


class Words:
    """A collection of three-dimensional vectors behind a proxy."""

    def __init__(self, client: httpx.Client, name: str = "words") -> None:
        self.client = client
        answer = client.post(API, json={"name": name, "get_or_create": True})
        assert answer.status_code == 200, answer.text
        self.path = f"{API}/{answer.json()['id']}"

    def upsert(self, *numbers: int) -> int:
        body = {
            "ids": [f"id-{n}" for n in numbers],
            "embeddings": [[float(n), 1.0, -float(n)] for n in numbers],
        }
        return self.client.post(f"{self.path}/upsert", json=body).status_code

    def ids(self) -> set[str]:
        answer = self.client.post(f"{self.path}/get", json={"include": []})
        assert answer.status_code == 200, answer.text
        return set(answer.json()["ids"])

    def nearest(self, number: int) -> list[str]:
        body = {"query_embeddings": [[float(number), 1.0, -float(number)]], "n_results": 3}
        answer = self.client.post(f"{self.path}/query", json=body)
        assert answer.status_code == 200, answer.text
        ids: list[str] = answer.json()["ids"][0]
        return ids


@pytest.fixture
def words() -> type[Words]:
    return Words

"""Sessions of the Chroma server for tests and benches: real supervisors as child processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

from tests.support import clocks

if TYPE_CHECKING:
    from collections.abc import Sequence

ROOT = Path(__file__).parents[2]
PACKAGES = [ROOT / "fargate/chroma", ROOT / "lambdas/common/src"]
API = "/api/v2/tenants/default_tenant/databases/default_database/collections"
AWS_KEYS = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_DEFAULT_REGION": "eu-central-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}
"""What a supervisor needs for moto, beside AWS_ENDPOINT_URL."""


@dataclass
class Supervisor:
    """A supervisor's process, the events it has logged, and a client of its proxy."""

    process: subprocess.Popen[str]
    token_file: Path
    events: list[dict[str, Any]] = field(default_factory=list)
    token: str = ""
    url: str = ""
    reader: threading.Thread | None = None

    def find(self, name: str, **wanted: object) -> dict[str, Any] | None:
        for event in list(self.events):
            if event["event"] == name and all(event.get(k) == v for k, v in wanted.items()):
                return event
        return None

    def wait(self, name: str, **wanted: object) -> dict[str, Any]:
        """Wait for an event in the log."""
        clocks.wait(
            lambda: self.find(name, **wanted) or self.process.poll() is not None,
            lambda: f"no {name}: {self.events}",
        )
        if self.reader is not None and self.find(name, **wanted) is None:
            # What it wrote last is in the pipe, which a server that outlives it may keep open.
            self.reader.join(clocks.seconds(1))
        found = self.find(name, **wanted)
        assert found, f"ended with {self.process.poll()} without {name}: {self.events}"
        return found

    def wait_count(self, name: str, count: int, **wanted: object) -> None:
        """Wait until an event has been logged so many times."""

        def enough() -> bool:
            found = [
                event
                for event in list(self.events)
                if event["event"] == name and all(event.get(k) == v for k, v in wanted.items())
            ]
            return len(found) >= count

        clocks.wait(enough, lambda: f"not {count} times {name}: {self.events}")

    def connect(self) -> None:
        """Wait until it is ready and learn its address and token."""
        self.url = self.wait("ready")["address"]
        if self.token_file.exists():
            self.token = json.loads(self.token_file.read_text())["token"]

    def server_pid(self) -> int:
        """The process id of the Chroma server."""
        children = Path(f"/proc/{self.process.pid}/task").glob("*/children")
        [pid] = {int(pid) for path in children for pid in path.read_text().split()}
        return pid

    def client(self, token: str | None = None, **options: Any) -> httpx.Client:
        """An HTTP client of the proxy, by default with the session's token."""
        return httpx.Client(
            base_url=self.url,
            headers={"Authorization": f"Bearer {self.token if token is None else token}"},
            timeout=clocks.seconds(clocks.BOUND),
            trust_env=False,
            **options,
        )

    def finish(self, body: dict[str, str] | None = None) -> int:
        """Ask for the end over HTTP and return the exit code."""
        with self.client() as client:
            assert client.post("/_session/finish", json=body or {}).status_code == 202
        return self.ended()

    def terminate(self) -> int:
        """Ask for the end as ECS does and return the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.ended()

    def kill(self) -> None:
        self.process.kill()
        self.ended()

    def ended(self) -> int:
        """Wait for its end and return the exit code."""
        return self.process.wait(clocks.seconds(clocks.BOUND))


class Launcher:
    """Starts supervisors in a folder and leaves none behind."""

    def __init__(self, folder: Path, store: str) -> None:
        self.folder = folder
        self._store = store
        self._running: list[subprocess.Popen[str]] = []

    def __call__(
        self,
        *,
        ready: bool = True,
        volume: str = "volume",
        program: Sequence[str] = ("-m", "chroma_supervisor", "serve"),
        **environment: str,
    ) -> Supervisor:
        """Start one; other keyword arguments are further environment."""
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
            [sys.executable, *program],
            env=settings,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._running.append(process)
        token_file = Path(settings["TOKEN_REFERENCE"].removeprefix("file://"))
        supervisor = Supervisor(process, token_file)
        reader = threading.Thread(target=_read, args=(process, supervisor.events), daemon=True)
        reader.start()
        supervisor.reader = reader
        if ready:
            supervisor.connect()
        return supervisor

    def close(self) -> None:
        for process in self._running:
            if process.poll() is None:
                process.kill()
            process.wait(clocks.seconds(clocks.BOUND))


def _read(process: subprocess.Popen[str], events: list[dict[str, Any]]) -> None:
    assert process.stdout is not None
    with process.stdout as lines:
        for line in lines:
            try:
                events.append(json.loads(line))
            except ValueError:
                events.append({"event": "not json", "line": line})


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
        return set(self.all_ids())

    def all_ids(self) -> list[str]:
        """The ids as the server lists them, sorted, so that one that came twice is seen."""
        answer = self.client.post(f"{self.path}/get", json={"include": []})
        assert answer.status_code == 200, answer.text
        return sorted(answer.json()["ids"])

    def nearest(self, number: int) -> list[str]:
        body = {"query_embeddings": [[float(number), 1.0, -float(number)]], "n_results": 3}
        answer = self.client.post(f"{self.path}/query", json=body)
        assert answer.status_code == 200, answer.text
        ids: list[str] = answer.json()["ids"][0]
        return ids


def client(endpoint: str, service: str) -> Any:
    """A botocore client of a moto server."""
    import boto3

    return boto3.client(  # type: ignore[call-overload]  # by name, not by literal
        service,
        endpoint_url=endpoint,
        region_name=AWS_KEYS["AWS_DEFAULT_REGION"],
        aws_access_key_id="testing",
        aws_secret_access_key="testing",
    )


def make_bucket(endpoint: str, name: str) -> None:
    """An empty bucket in the region of AWS_KEYS."""
    place = {"LocationConstraint": AWS_KEYS["AWS_DEFAULT_REGION"]}
    client(endpoint, "s3").create_bucket(Bucket=name, CreateBucketConfiguration=place)


def memory(pid: int, which: str = "VmHWM") -> int:
    """Bytes of resident memory that a process has (VmRSS) or has had at most (VmHWM)."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{which}:"):
            return int(line.split()[1]) * 1024
    raise AssertionError(f"no {which} of {pid}")


def listening(pid: int) -> set[tuple[str, int]]:
    """Where a process listens: the address in the kernel's hex, and the port."""
    sockets = {str(entry.readlink()) for entry in Path(f"/proc/{pid}/fd").iterdir()}
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            row = line.split()
            if row[3] == "0A" and f"socket:[{row[9]}]" in sockets:
                address, _, port = row[1].partition(":")
                found.add((address, int(port, 16)))
    return found

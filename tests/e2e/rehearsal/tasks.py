"""Makes moto's ECS start something: the real supervisor, as a process or in a container.

moto's RunTask keeps a record and starts nothing. Here every task gets a launcher's server, its
status follows what that server does, StopTask sends SIGTERM and, after the stop time-out, SIGKILL;
and the task metadata endpoint that the Fargate agent offers answers for it.
"""

from __future__ import annotations

import contextlib
import datetime
import http.server
import json
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, Self

from moto.ecs import models

from tests.support import clocks

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

POLL_SECONDS = 0.1


class Server(Protocol):
    """One running task."""

    def exit_code(self) -> int | None:
        """None while it runs."""

    def terminate(self) -> None:
        """Send SIGTERM."""

    def kill(self) -> None:
        """Send SIGKILL."""

    def log(self) -> str:
        """What it wrote."""

    def remove(self) -> None:
        """Leave nothing behind."""


class Launcher(Protocol):
    """Starts servers."""

    def start(self, task_id: str, environment: Mapping[str, str], metadata: str) -> Server:
        """Start the supervisor with an environment; ``metadata`` is its metadata endpoint."""

    def close(self) -> None:
        """Stop and remove whatever still runs."""


class MetadataEndpoint:
    """The part of the ECS task metadata endpoint, version 4, that the supervisor reads."""

    def __init__(self, host: str = "127.0.0.1") -> None:
        self._documents: dict[str, dict[str, Any]] = {}
        documents = self._documents

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                document = documents.get(self.path.split("/")[1])
                body = json.dumps(document or {}).encode()
                self.send_response(200 if document else 404)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        self._server = http.server.ThreadingHTTPServer((host, 0), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.url = f"http://{host}:{self._server.server_address[1]}"

    def add(self, task_id: str, arn: str) -> str:
        """Answer for a task; return its ECS_CONTAINER_METADATA_URI_V4."""
        self._documents[task_id] = {"TaskARN": arn, "Containers": []}
        return f"{self.url}/{task_id}"

    def close(self) -> None:
        """Stop answering."""
        self._server.shutdown()
        self._server.server_close()


@dataclass
class TaskBridge:
    """ECS whose tasks run.

    Attributes:
        launcher: Starts them.
        stop_seconds: Between SIGTERM and SIGKILL (the task definition's StopTimeout), scaled.
        refuse: Called with moto's task before it starts; true where ECS has no capacity for it.
        on_start: Called with every environment, which it may change.
    """

    launcher: Launcher
    metadata: MetadataEndpoint
    stop_seconds: float = 120.0
    refuse: Callable[[Any], bool] = lambda _: False
    on_start: Callable[[dict[str, str]], None] = lambda _: None
    servers: dict[str, Server] = field(default_factory=dict)
    environments: dict[str, dict[str, str]] = field(default_factory=dict)
    _before: dict[str, Any] = field(default_factory=dict)

    def __enter__(self) -> Self:
        bridge = self
        self._before = {
            name: getattr(_owner(name), name) for name in ("run_task", "stop_task", "advance")
        }

        def run_task(self: Any, *args: Any, **named: Any) -> Any:
            return bridge._run(self, *args, **named)

        def stop_task(self: Any, cluster: str, task: str, reason: str) -> Any:
            return bridge._stop(self, cluster, task, reason)

        hooks = {"run_task": run_task, "stop_task": stop_task, "advance": lambda _: None}
        for name, hook in hooks.items():
            setattr(_owner(name), name, hook)
        return self

    def __exit__(self, *_: object) -> None:
        for name, before in self._before.items():
            setattr(_owner(name), name, before)
        self.launcher.close()

    def running(self) -> list[str]:
        """Ids of the tasks whose server runs."""
        # Executions start others meanwhile, in moto's threads.
        return [key for key, server in list(self.servers.items()) if server.exit_code() is None]

    def _run(self, backend: Any, *args: Any, **named: Any) -> Any:
        for container in backend.describe_task_definition(args[1]).container_definitions:
            # CloudFormation turns what a parameter says into the number that ECS wants.
            container["cpu"], container["memory"] = int(container["cpu"]), int(container["memory"])
        tasks = self._before["run_task"](backend, *args, **named)
        return [task for task in tasks if self._start(backend, task)]

    def _start(self, backend: Any, task: Any) -> bool:
        definition = backend.describe_task_definition(task.task_definition_arn)
        container = definition.container_definitions[0]
        listed = list(container.get("environment") or [])
        for override in task.overrides.get("containerOverrides", []):
            listed += override.get("environment", [])
        environment = {one["name"]: str(one["value"]) for one in listed}
        if self.refuse(task):
            del backend.tasks[task.cluster_name][task.task_arn]
            return False
        self.on_start(environment)
        _dress(task, definition)
        metadata = self.metadata.add(task.id, task.task_arn)
        server = self.launcher.start(task.id, environment, metadata)
        self.servers[task.id], self.environments[task.id] = server, environment
        task.last_status = "RUNNING"
        task.started_at = _now()
        threading.Thread(target=self._follow, args=(task, server), daemon=True).start()
        return True

    def _follow(self, task: Any, server: Server) -> None:
        while (code := server.exit_code()) is None:
            time.sleep(POLL_SECONDS)
        container = task.containers[0]
        container.exitCode, container.last_status = code, "STOPPED"
        task.stopped_at = _now()
        task.stopped_reason = task.stopped_reason or "Essential container in task exited"
        task.desired_status = "STOPPED"
        task.last_status = "STOPPED"

    def _stop(self, backend: Any, cluster: str, task_arn: str, reason: str) -> Any:
        name = backend._get_cluster(cluster).name
        key = task_arn.rsplit("/", maxsplit=1)[-1]
        task = next(one for one in backend.tasks[name].values() if one.id == key)
        server = self.servers[key]
        if server.exit_code() is None and task.desired_status != "STOPPED":
            task.desired_status, task.stopped_reason = "STOPPED", reason
            task.last_status = "STOPPING"
            server.terminate()
            threading.Thread(target=self._kill_late, args=(server,), daemon=True).start()
        return task

    def _kill_late(self, server: Server) -> None:
        end = time.monotonic() + clocks.seconds(self.stop_seconds)
        while server.exit_code() is None:
            if time.monotonic() > end:
                server.kill()
                return
            time.sleep(POLL_SECONDS)


def _owner(name: str) -> Any:
    return models.Task if name == "advance" else models.EC2ContainerServiceBackend


def _dress(task: Any, definition: Any) -> None:
    """Give a task what DescribeTasks says on AWS and moto leaves out."""
    container = definition.container_definitions[0]
    task.cpu, task.memory = str(container["cpu"]), str(container["memory"])
    task.created_at = _now()
    task.containers[0].exitCode = None
    with contextlib.suppress(AttributeError):
        task.containers[0].last_status = "RUNNING"


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)

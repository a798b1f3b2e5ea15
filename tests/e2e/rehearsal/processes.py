"""Runs a task's supervisor as a process of this machine: the quick mode, without Docker."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT = Path(__file__).resolve().parents[3]
SOURCES = (ROOT / "fargate/chroma", ROOT / "lambdas/common/src")
PASSED = ("PATH", "HOME", "LANG", "TMPDIR")


@dataclass
class ProcessServer:
    """A supervisor that is a process, in a group of its own with its Chroma server."""

    process: subprocess.Popen[bytes]
    folder: Path

    def exit_code(self) -> int | None:
        """None while it runs; 128 and the signal's number where one ended it, as ECS says it."""
        code = self.process.poll()
        return code if code is None or code >= 0 else 128 - code

    def terminate(self) -> None:
        """Send SIGTERM to the supervisor alone, as ECS does."""
        self.process.terminate()

    def kill(self) -> None:
        """Kill the whole group, as the end of a container does."""
        os.killpg(self.process.pid, signal.SIGKILL)

    def log(self) -> str:
        """What it wrote."""
        return (self.folder / "log").read_text("utf-8", "replace")

    def remove(self) -> None:
        """Leave nothing behind."""
        if self.exit_code() is None:
            self.kill()
        self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


@dataclass
class ProcessLauncher:
    """Starts supervisors with the interpreter of the tests.

    Attributes:
        environment: For every task, over what its definition says: endpoint, credentials.
    """

    environment: Mapping[str, str]
    servers: list[ProcessServer] = field(default_factory=list)

    def start(self, task_id: str, environment: Mapping[str, str], metadata: str) -> ProcessServer:
        """Start one."""
        folder = Path(tempfile.mkdtemp(prefix=f"layersmith-task-{task_id[:8]}-"))
        (folder / "data").mkdir()
        variables = {name: os.environ[name] for name in PASSED if name in os.environ}
        variables |= {**environment, **self.environment}
        variables |= {
            "PYTHONPATH": os.pathsep.join(map(str, SOURCES)),
            "DATA_DIR": str(folder / "data"),
            "LISTEN_HOST": "127.0.0.1",
            "LISTEN_PORT": "0",
            "ECS_CONTAINER_METADATA_URI_V4": metadata,
        }
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "chroma_supervisor", "serve"],
                env=variables, stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                start_new_session=True,
            )  # fmt: skip
        server = ProcessServer(process, folder)
        self.servers.append(server)
        return server

    def close(self) -> None:
        """Stop and remove whatever still runs."""
        for server in self.servers:
            server.remove()

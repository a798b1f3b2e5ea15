"""Makes moto's Lambda run the deployed functions.

The code is what the stack says: the zip that deploy uploaded, with the environment of the
template. How it runs is a host's matter: the Docker runner or the host twin of ``prove`` with the
real layers, or, where neither layers nor Docker are at hand, a process of the tests' interpreter.
"""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self

from moto.awslambda.models import LambdaBackend

from tests.e2e.rehearsal.processes import PASSED, ROOT

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

WORKER = """
import importlib, json, os, sys
handler = importlib.import_module(os.environ["REHEARSED_MODULE"]).handler
class Context:
    function_name = "function"
    aws_request_id = "rehearsal"
sys.stderr.write("ready\\n")
for line in sys.stdin:
    try:
        answer = {"payload": handler(json.loads(line), Context())}
    except Exception as error:
        answer = {"error": {"errorType": type(error).__name__, "errorMessage": str(error)}}
    sys.__stdout__.write("\\n@" + json.dumps(answer) + "\\n")
    sys.__stdout__.flush()
"""


@dataclass(frozen=True)
class Answer:
    """What a function gave back.

    Attributes:
        payload: Its result, or Lambda's description of its error.
        failed: Whether it raised.
        seconds: From the event to the answer.
    """

    payload: Any
    failed: bool
    seconds: float


class InitError(Exception):
    """A function did not come up; the message says why."""


class Function(Protocol):
    """One function that waits for events."""

    def invoke(self, event: Any) -> Answer:
        """Hand it one event and wait."""

    def close(self) -> None:
        """Leave nothing behind."""


class Host(Protocol):
    """Where functions run."""

    def start(self, name: str, code: Path, environment: Mapping[str, str]) -> Function:
        """Start a function from its unpacked code."""

    def close(self) -> None:
        """Stop and remove whatever still runs."""


@dataclass
class FunctionBridge:
    """Lambda whose functions run.

    Attributes:
        host: Runs them.
        before: Called with the name of a function and its event before each invocation.
        seconds: How long every invocation took, by function.
    """

    host: Host
    before: Callable[[str, dict[str, Any]], None] = lambda *_: None
    seconds: dict[str, list[float]] = field(default_factory=dict)
    _running: dict[str, Function] = field(default_factory=dict)
    _locks: dict[str, threading.Lock] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _folder: tempfile.TemporaryDirectory[str] = field(
        default_factory=lambda: tempfile.TemporaryDirectory(prefix="layersmith-functions-")
    )
    _before: Any = None

    def __enter__(self) -> Self:
        backend: Any = LambdaBackend
        self._before = backend.invoke
        Path(self._folder.name).chmod(0o755)  # a function in a container is another user
        bridge = self

        def invoke(
            self: Any, function_name: str, qualifier: Any, body: Any, *headers: Any
        ) -> bytes:
            response_headers: dict[str, str] = headers[1]
            answer = bridge._invoke(self.get_function(function_name, qualifier), body)
            if answer.failed:
                response_headers["x-amz-function-error"] = "Unhandled"
            return json.dumps(answer.payload).encode()

        backend.invoke = invoke
        return self

    def __exit__(self, *_: object) -> None:
        backend: Any = LambdaBackend
        backend.invoke = self._before
        for function in self._running.values():
            function.close()
        self.host.close()
        self._folder.cleanup()

    def forget(self) -> None:
        """End every execution environment, as Lambda does when it likes."""
        with self._lock:
            for function in self._running.values():
                function.close()
            self._running.clear()

    def _invoke(self, deployed: Any, body: Any) -> Answer:
        name = deployed.function_name.split("-", 2)[-1]
        event = json.loads(body or "{}")
        self.before(name, event)
        with self._lock:
            lock = self._locks.setdefault(name, threading.Lock())
        # One execution environment handles one event at a time.
        with lock:
            try:
                answer = self._function(name, deployed).invoke(event)
            except InitError as error:
                payload = {"errorType": "Runtime.InitError", "errorMessage": str(error)}
                answer = Answer(payload, failed=True, seconds=0.0)
        self.seconds.setdefault(name, []).append(answer.seconds)
        return answer

    def _function(self, name: str, deployed: Any) -> Function:
        if name not in self._running:
            code = Path(self._folder.name) / f"{name}-{time.monotonic_ns()}"
            code.mkdir()
            with zipfile.ZipFile(io.BytesIO(deployed.code_bytes)) as archive:
                archive.extractall(code)
            self._running[name] = self.host.start(name, code, deployed.environment_vars)
        return self._running[name]


@dataclass
class LocalFunction:
    """A process of the tests' interpreter that runs a handler."""

    process: subprocess.Popen[str]

    def invoke(self, event: Any) -> Answer:
        """Hand it one event and wait."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        started = time.perf_counter()
        self.process.stdin.write(json.dumps(event) + "\n")
        self.process.stdin.flush()
        for line in self.process.stdout:
            if line.startswith("@"):
                answer = json.loads(line[1:])
                seconds = time.perf_counter() - started
                if "error" in answer:
                    return Answer(answer["error"], failed=True, seconds=seconds)
                return Answer(answer["payload"], failed=False, seconds=seconds)
        return Answer({"errorType": "Runtime.ExitError"}, failed=True, seconds=0.0)

    def close(self) -> None:
        """Leave nothing behind."""
        self.process.kill()
        self.process.wait()


@dataclass
class LocalHost:
    """Runs handlers with the tests' own packages: no layers, no Lambda runtime.

    Attributes:
        environment: For every function, over what the template says.
    """

    environment: Mapping[str, str]
    started: list[LocalFunction] = field(default_factory=list)

    def start(self, name: str, code: Path, environment: Mapping[str, str]) -> LocalFunction:
        """Start a function from its unpacked code."""
        variables = {key: os.environ[key] for key in PASSED if key in os.environ}
        variables |= dict(environment) | dict(self.environment)
        # CloudFormation puts code that stands in a template into index.py.
        variables["REHEARSED_MODULE"] = "handler" if (code / "handler.py").is_file() else "index"
        variables["PYTHONPATH"] = os.pathsep.join(map(str, (code, ROOT / "lambdas/common/src")))
        process = subprocess.Popen(
            [sys.executable, "-c", WORKER],
            env=variables, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        function = LocalFunction(process)
        self.started.append(function)
        return function

    def close(self) -> None:
        """Stop and remove whatever still runs."""
        for function in self.started:
            function.close()

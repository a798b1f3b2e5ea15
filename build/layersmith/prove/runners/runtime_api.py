"""What Lambda gives one instance of a runtime: its Runtime API, and its environment variables.

AWS documents the interface at
https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html. The runtime asks for its next
invocation and blocks; what is queued here is handed out, and the response, the error or the
initialization error comes back on the same server. Times are taken from the wall clock, because
the start of the process is known only by the engine's wall clock.

Names and values of the variables are those of
https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html; there are no credentials
among them.
"""

from __future__ import annotations

import contextlib
import json
import queue
import re
import threading
import time
import uuid
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Callable

    from layersmith.prove.models import FunctionSpec


class Closing(ABC):
    """A context manager whose end is its `close`."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @abstractmethod
    def close(self) -> None:
        """Give back everything."""


RESPONSE_LIMIT = 6_291_556
"""Bytes of a synchronous response (AWS Lambda quota: 6 MB, and 100 bytes of envelope)."""

REQUEST_LIMIT = 6 * 1024 * 1024
"""Bytes of a synchronous event (AWS Lambda quota)."""

REGION = "eu-central-1"
ACCOUNT = "123456789012"
"""The account of AWS's examples; nothing is ever sent there."""

_INVOCATION = re.compile(r"^/2018-06-01/runtime/invocation/([0-9a-f-]{36})/(response|error)$")
_NEXT = "/2018-06-01/runtime/invocation/next"
_INIT_ERROR = "/2018-06-01/runtime/init/error"

_ERROR_TYPE = "Lambda-Runtime-Function-Error-Type"


@dataclass
class Answer:
    """What came back for an invocation, or from the initialization.

    Attributes:
        body: The bytes that were posted.
        is_error: Whether it was posted as an error.
        error_type: Lambda's name of the error, from its header or body.
        at: Seconds since the epoch when it was complete.
    """

    body: bytes
    is_error: bool = False
    error_type: str | None = None
    at: float = field(default_factory=time.time)


@dataclass
class Invocation:
    """One event on its way through the runtime.

    Attributes:
        event: Body of the invocation, JSON.
        deadline: Seconds since the epoch at which the function runs out of time.
        request_id: UUID of the invocation.
        taken_at: Seconds since the epoch when the runtime fetched it; None while it waits.
        answer: What came back; None until then.
    """

    event: bytes
    deadline: float
    request_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    taken_at: float | None = None
    answer: Answer | None = None


class RuntimeApi(Closing):
    """The server of one runtime instance; a context manager that closes it.

    Args:
        host: Address to listen on: loopback, or the gateway of a Docker network.
        function_name: Name that goes into the ARN.

    Raises:
        OSError: The address cannot be bound, for instance because the network belongs to the
            virtual machine of Docker Desktop.
    """

    def __init__(self, host: str = "127.0.0.1", function_name: str = "function") -> None:
        self._queue: queue.Queue[Invocation | None] = queue.Queue()
        self._open: dict[str, Invocation] = {}
        self._arn = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{function_name}"
        self._changed = threading.Condition()
        self.first_next_at: float | None = None
        self.init_error: Answer | None = None
        self._server = _Server((host, 0), _Handler, self)
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True
        )

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    @property
    def port(self) -> int:
        """The port that the system chose."""
        return int(self._server.server_address[1])

    def close(self) -> None:
        """Stop serving; a runtime that still waits for an event is hung up on."""
        self._queue.put(None)
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join(timeout=5)
        self._server.server_close()

    def submit(self, event: bytes, timeout: float) -> Invocation:
        """Queue an event for the runtime.

        Args:
            event: The event, JSON.
            timeout: Seconds the function has, told to it as its deadline.
        """
        invocation = Invocation(event, deadline=time.time() + timeout)
        self._open[invocation.request_id] = invocation
        self._queue.put(invocation)
        return invocation

    def wait_for(self, condition: Callable[[], bool], timeout: float) -> bool:
        """Wait until ``condition`` holds; it is looked at whenever something has changed.

        Args:
            condition: Reads this object or the state of the runtime's process.
            timeout: Seconds.

        Returns:
            Whether it holds.
        """
        with self._changed:
            return self._changed.wait_for(condition, timeout)

    def wake(self) -> None:
        """Make waiters look again: the runtime's process has ended."""
        with self._changed:
            self._changed.notify_all()

    # What follows is called by the threads of the server.

    def take_next(self) -> Invocation | None:
        """Block until there is an event; None when the server closes."""
        if self.first_next_at is None:
            self.first_next_at = time.time()
            self.wake()
        invocation = self._queue.get()
        if invocation is not None:
            invocation.taken_at = time.time()
        return invocation

    def finish(self, request_id: str, answer: Answer) -> bool:
        """Take an answer; False where nobody waits for it."""
        invocation = self._open.pop(request_id, None)
        if invocation is None:
            return False
        invocation.answer = answer
        self.wake()
        return True

    def fail_init(self, answer: Answer) -> None:
        """Take the error of an initialization."""
        self.init_error = answer
        self.wake()

    def headers_of(self, invocation: Invocation) -> dict[str, str]:
        """Return the headers that Lambda sends with an invocation.

        All of them: AWS's runtime client reads some without looking whether they are there.
        """
        trace = f"Root=1-{int(time.time()):08x}-{uuid.uuid4().hex[:24]};Sampled=0"
        return {
            "Lambda-Runtime-Aws-Request-Id": invocation.request_id,
            "Lambda-Runtime-Deadline-Ms": str(int(invocation.deadline * 1000)),
            "Lambda-Runtime-Invoked-Function-Arn": self._arn,
            "Lambda-Runtime-Trace-Id": trace,
            "Content-Type": "application/json",
        }


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    # Each instance is hung up on at the end; its blocked thread must not hold the process.
    block_on_close = False

    def __init__(
        self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler], api: RuntimeApi
    ) -> None:
        super().__init__(address, handler)
        self.api = api

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Keep quiet about a runtime that was killed in the middle of a request."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def do_GET(self) -> None:
        if self.path != _NEXT:
            self._reply(HTTPStatus.NOT_FOUND, {"errorType": "InvalidPath"})
            return
        invocation = self.server.api.take_next()
        if invocation is None:
            self.close_connection = True
            return
        self.send_response(HTTPStatus.OK)
        for name, value in self.server.api.headers_of(invocation).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(invocation.event)))
        self.end_headers()
        self.wfile.write(invocation.event)

    def do_POST(self) -> None:
        body = self._body()
        if self.path == _INIT_ERROR:
            self.server.api.fail_init(self._error(body))
            self._reply(HTTPStatus.ACCEPTED, {"status": "OK"})
            return
        found = _INVOCATION.match(self.path)
        if not found:
            self._reply(HTTPStatus.NOT_FOUND, {"errorType": "InvalidPath"})
            return
        request_id, kind = found.groups()
        if kind == "error":
            self._finish(request_id, self._error(body))
        elif len(body) > RESPONSE_LIMIT:
            self._refuse_large(request_id, len(body))
        else:
            self._finish(request_id, Answer(body))

    def _finish(self, request_id: str, answer: Answer) -> None:
        if self.server.api.finish(request_id, answer):
            self._reply(HTTPStatus.ACCEPTED, {"status": "OK"})
        else:
            self._reply(HTTPStatus.BAD_REQUEST, {"errorType": "InvalidRequestID"})

    def _refuse_large(self, request_id: str, size: int) -> None:
        message = (
            f"Response payload size ({size} bytes) exceeded maximum allowed payload size"
            f" ({RESPONSE_LIMIT} bytes)."
        )
        kind = "Function.ResponseSizeTooLarge"
        body = json.dumps({"errorMessage": message, "errorType": kind}).encode()
        self.server.api.finish(request_id, Answer(body, is_error=True, error_type=kind))
        self._reply(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, {"errorType": "RequestEntityTooLarge"})

    def _error(self, body: bytes) -> Answer:
        kind = self.headers.get(_ERROR_TYPE)
        if kind is None:
            with contextlib.suppress(ValueError, AttributeError):
                kind = json.loads(body).get("errorType")
        return Answer(body, is_error=True, error_type=kind)

    def _body(self) -> bytes:
        if "chunked" in self.headers.get("Transfer-Encoding", "").lower():
            return b"".join(iter(self._chunk, b""))
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _chunk(self) -> bytes:
        size = int(self.rfile.readline().split(b";")[0], 16)
        content = self.rfile.read(size)
        self.rfile.readline()
        return content

    def _reply(self, status: HTTPStatus, value: dict[str, str]) -> None:
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 -- the base names it
        """Say nothing: the runtime's own output is what people read."""


LIBRARY_PATH = (
    "/var/lang/lib:/lib64:/usr/lib64:/var/runtime:/var/runtime/lib:/var/task:/var/task/lib:/opt/lib"
)
"""LD_LIBRARY_PATH of Lambda's Python runtimes (AWS's documentation, and ENV of their images)."""


def environment(
    spec: FunctionSpec, *, api: str, runtime: str, task: str, runtime_folder: str, libraries: str
) -> dict[str, str]:
    """Return what a function finds in its environment, its own variables last.

    Args:
        spec: The function.
        api: Host and port of the Runtime API.
        runtime: ``python3.13``.
        task: Folder of its code, /var/task on Lambda.
        runtime_folder: Folder of the runtime's own packages, /var/runtime on Lambda.
        libraries: Where the loader looks for libraries, LIBRARY_PATH on Lambda.
    """
    return {
        "AWS_DEFAULT_REGION": REGION,
        "AWS_EXECUTION_ENV": f"AWS_Lambda_{runtime}",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(spec.memory),
        "AWS_LAMBDA_FUNCTION_NAME": spec.name,
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{spec.name}",
        "AWS_LAMBDA_LOG_STREAM_NAME": "proof",
        "AWS_LAMBDA_RUNTIME_API": api,
        "AWS_REGION": REGION,
        "LAMBDA_RUNTIME_DIR": runtime_folder,
        "LAMBDA_TASK_ROOT": task,
        "LANG": "en_US.UTF-8",
        "LD_LIBRARY_PATH": libraries,
        "TZ": ":UTC",
        "_HANDLER": spec.handler,
        **spec.environment,
    }

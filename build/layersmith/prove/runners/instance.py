"""One running instance of a function: waits for it, invokes it, and enforces Lambda's limits."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any, Protocol

from layersmith.engine.models import NO_HANDLER
from layersmith.errors import ProofError
from layersmith.prove.models import INIT_LIMIT, FunctionError, InitResult, InvokeResult
from layersmith.prove.runners.runtime_api import REQUEST_LIMIT, Answer, Closing, RuntimeApi

if TYPE_CHECKING:
    from layersmith.engine.models import Exit
    from layersmith.prove.models import FunctionSpec

_SIGNALS = {4: "illegal instruction", 6: "aborted", 9: "killed", 11: "segmentation fault"}


class RuntimeProcess(Protocol):
    """The process of a runtime: a container, or a process of this machine."""

    started_at: float
    """Seconds since the epoch."""

    @property
    def exit(self) -> Exit | None:
        """How it ended; None while it runs."""

    def logs(self) -> bytes:
        """What it wrote so far."""

    def peak_memory(self) -> int | None:
        """Largest resident size so far in bytes."""

    def refusal(self, said: str) -> ProofError:
        """Return the error for a process that never became a runtime."""

    def kill(self) -> None:
        """End it at once."""

    def remove(self) -> None:
        """Leave nothing of it behind."""


class Instance(Closing):
    """A started function; a context manager that ends it.

    A function that fails is data: ``init.error`` and ``InvokeResult.error`` say what Lambda would
    say. Only a machine that cannot start anything raises.

    Args:
        spec: The function.
        api: The server that its runtime speaks to, already serving.
        process: Its process, already started.
        time_scale: Factor for limits on time, above 1 under emulation.

    Raises:
        ProofError: The image cannot run here, or has no Python.
    """

    def __init__(
        self,
        spec: FunctionSpec,
        api: RuntimeApi,
        process: RuntimeProcess,
        *,
        time_scale: float = 1.0,
    ) -> None:
        self.spec = spec
        self._api = api
        self._process = process
        self._scale = time_scale
        self._peak: int | None = None
        self.init = self._wait_init()

    @property
    def alive(self) -> bool:
        """Whether the runtime still runs."""
        return self._process.exit is None

    @property
    def emulated(self) -> bool:
        """Whether limits on time are stretched."""
        return self._scale > 1

    def invoke(self, event: Any, *, timeout: float | None = None) -> InvokeResult:
        """Send an event and wait for the answer.

        Args:
            event: The event, anything that JSON can hold.
            timeout: Seconds instead of the function's own; stretched under emulation.

        Raises:
            ProofError: The event is larger than Lambda takes.
        """
        body = json.dumps(event).encode()
        if len(body) > REQUEST_LIMIT:
            raise ProofError(
                f"the event has {len(body)} bytes; Lambda takes {REQUEST_LIMIT} at most",
                hint="send a smaller event, or a reference to data in S3",
            )
        seconds = (timeout or self.spec.timeout) * self._scale
        invocation = self._api.submit(body, seconds)
        sent = time.time()
        self._api.wait_for(
            lambda: invocation.answer is not None or self._process.exit is not None, seconds
        )
        answer = invocation.answer
        error: FunctionError | None
        if answer is None:
            error = self._missing_answer(seconds)
            answer = Answer(b"", is_error=True)
        else:
            error = _error_of(answer) if answer.is_error else None
        began = invocation.taken_at or sent
        return InvokeResult(
            request_id=invocation.request_id,
            payload=None if error else _payload(answer.body),
            error=error,
            duration_ms=max(0.0, (answer.at - began) * 1000),
            peak_memory=self.peak_memory(),
        )

    def logs(self) -> str:
        """Return what the function wrote; bytes that are no UTF-8 are replaced."""
        return self._process.logs().decode("utf-8", errors="replace")

    def peak_memory(self) -> int | None:
        """Return the largest resident size so far in bytes; the last one known if it has ended."""
        if self.alive:
            self._peak = self._process.peak_memory() or self._peak
        return self._peak

    def kill(self) -> None:
        """End the runtime at once, as Lambda does with one that ran out of time."""
        self._process.kill()

    def close(self) -> None:
        """End the runtime and leave nothing behind."""
        try:
            self._process.remove()
        finally:
            self._api.close()

    def _wait_init(self) -> InitResult:
        api, process = self._api, self._process
        api.wait_for(
            lambda: bool(api.first_next_at or api.init_error or process.exit),
            INIT_LIMIT * self._scale,
        )
        if api.first_next_at:
            return InitResult(duration_ms=self._since_start(api.first_next_at))
        if api.init_error:
            error = _error_of(api.init_error)
            return InitResult(duration_ms=self._since_start(api.init_error.at), error=error)
        if process.exit:
            said = self.logs()
            # What shells, and the first process of a container, say of a missing program.
            if process.exit.code in {126, 127} or NO_HANDLER in said.lower():
                raise process.refusal(said.strip()[-1000:])
            error = self._exit_error(process.exit)
        else:
            process.kill()
            seconds = INIT_LIMIT * self._scale
            error = FunctionError(
                type="Sandbox.Timedout", message=f"Init timed out after {seconds:.2f} seconds"
            )
        return InitResult(duration_ms=self._since_start(time.time()), error=error)

    def _since_start(self, moment: float) -> float:
        return max(0.0, (moment - self._process.started_at) * 1000)

    def _missing_answer(self, seconds: float) -> FunctionError:
        ended = self._process.exit
        if ended is not None:
            return self.init.error or self._exit_error(ended)
        self.peak_memory()
        self._process.kill()
        return FunctionError(
            type="Sandbox.Timedout", message=f"Task timed out after {seconds:.2f} seconds"
        )

    def _exit_error(self, ended: Exit) -> FunctionError:
        if ended.out_of_memory:
            return FunctionError(
                type="Runtime.OutOfMemory",
                message=f"Runtime was killed: it needed more than its {self.spec.memory} MB",
            )
        if ended.code == 0:
            message = "Runtime exited without providing a reason"
        elif ended.code > 128 or ended.code < 0:
            number = abs(ended.code) if ended.code < 0 else ended.code - 128
            name = _SIGNALS.get(number, str(number))
            message = f"Runtime exited with error: signal: {name}"
        else:
            message = f"Runtime exited with error: exit status {ended.code}"
        return FunctionError(type="Runtime.ExitError", message=message)


def _payload(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return body.decode("utf-8", errors="replace")


def _error_of(answer: Answer) -> FunctionError:
    """Return the error in the body that AWS's runtime client posts."""
    try:
        said = json.loads(answer.body)
    except ValueError:
        said = {"errorMessage": answer.body.decode("utf-8", errors="replace")}
    return FunctionError(
        type=str(said.get("errorType") or answer.error_type or "Unknown"),
        message=str(said.get("errorMessage") or ""),
        trace=[str(line) for line in said.get("stackTrace") or []],
    )

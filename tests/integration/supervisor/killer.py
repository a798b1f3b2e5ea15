"""A supervisor that kills itself with SIGKILL at one chosen step, run as a program.

A step is the moment before or after a call that changes or reads the storage or the volume's
marker. KILL_AT=0 kills at none; the number of steps is logged at the end. LOSE_ANSWER names the
end of a key: the first write of it succeeds, and its writer is told that it failed.
"""

from __future__ import annotations

import functools
import json
import os
import signal
import sys
import threading
from typing import TYPE_CHECKING, Any

from chroma_supervisor import __main__ as supervisor
from chroma_supervisor.session import marker
from vector_common.errors import StoreError
from vector_common.storage.folder import FileStorage

if TYPE_CHECKING:
    from collections.abc import Callable

KILL_AT = int(os.environ["KILL_AT"])
LOST = list(filter(None, [os.environ.get("LOSE_ANSWER")]))
lock = threading.Lock()
steps: list[str] = []


def step(name: str) -> None:
    with lock:
        steps.append(name)
        if len(steps) == KILL_AT:
            os.kill(os.getpid(), signal.SIGKILL)


def counted(owner: Any, name: str) -> None:
    original: Callable[..., Any] = getattr(owner, name)

    @functools.wraps(original)
    def call(*arguments: Any, **options: Any) -> Any:
        step(f"before {name}")
        result = original(*arguments, **options)
        step(f"after {name}")
        if name == "put" and LOST and arguments[1].endswith(LOST[0]):
            LOST.clear()
            raise StoreError("the answer was lost")
        return result

    setattr(owner, name, call)


for operation in ("get", "get_range", "put", "delete"):
    counted(FileStorage, operation)
for operation in ("write", "remove"):
    counted(marker, operation)
code = supervisor.main(["serve"])
sys.stdout.write(json.dumps({"event": "steps", "names": steps}) + "\n")
sys.exit(code)

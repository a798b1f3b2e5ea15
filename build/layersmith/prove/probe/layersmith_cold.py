"""Times the import of the function beside it, and hands events on to it."""

from __future__ import annotations

import time
from typing import Any

_began = time.perf_counter()
import layersmith_function  # type: ignore[import-not-found]  # noqa: E402 -- this is what is timed

IMPORT_MS = (time.perf_counter() - _began) * 1000
INIT_CPU_MS = time.process_time() * 1000
"""Processor time of the process until now."""


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Return the function's own answer, and how long its import and the answer took."""
    began = time.process_time()
    answer = layersmith_function.handler(event, context)
    return {
        "answer": answer,
        "import_ms": IMPORT_MS,
        "init_cpu_ms": INIT_CPU_MS,
        "call_cpu_ms": (time.process_time() - began) * 1000,
    }

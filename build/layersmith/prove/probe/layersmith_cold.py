"""Times the import of the function beside it, and hands events on to it."""

from __future__ import annotations

import time
from typing import Any

_began = time.perf_counter()
import layersmith_function  # type: ignore[import-not-found]  # noqa: E402 -- this is what is timed

IMPORT_MS = (time.perf_counter() - _began) * 1000


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Return the function's own answer, and how long its import took."""
    return {"answer": layersmith_function.handler(event, context), "import_ms": IMPORT_MS}

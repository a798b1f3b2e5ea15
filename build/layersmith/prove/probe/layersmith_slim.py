"""Watches which files a function touches, and hands events on to it.

Standard library only, and Python 3.10: it runs inside the Lambda runtime, before the function.
"""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path
from typing import Any

OPENED: set[str] = set()
ASK = "layersmith-touched"


def _watch(event: str, arguments: tuple[Any, ...]) -> None:
    # Imports of sources, of bytecode and of extensions raise these events, too (PEP 578).
    if event == "open" and isinstance(arguments[0], str):
        OPENED.add(arguments[0])


sys.addaudithook(_watch)

_module, _, _name = os.environ["LAYERSMITH_WATCHED"].rpartition(".")
_watched = getattr(importlib.import_module(_module), _name)


def handler(event: Any, context: object) -> Any:
    """Answer what was touched below ``event["root"]``, or let the function answer."""
    if isinstance(event, dict) and event.get("op") == ASK:
        return {"files": sorted(_touched(Path(event["root"])))}
    return _watched(event, context)


def _touched(root: Path) -> set[str]:
    """Return paths relative to ``root``: opened by Python, loaded, or mapped into memory."""
    seen = {*OPENED, *_mapped()}
    for module in list(sys.modules.values()):
        for name in ("__file__", "__cached__"):
            # Some modules answer every attribute, with what is not a path.
            place = getattr(module, name, None)
            if isinstance(place, str):
                seen.add(place)
    prefix = f"{root}/"
    return {path[len(prefix) :] for path in seen if path.startswith(prefix)}


def _mapped() -> set[str]:
    """Return shared objects that the loader mapped, which Python is not told of (proc(5))."""
    lines = Path("/proc/self/maps").read_text("utf-8", errors="replace").splitlines()
    return {line[line.index("/") :] for line in lines if "/" in line}

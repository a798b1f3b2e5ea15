"""layer_canary: does what a layer promises load in this function?

Event::

    {"imports": ["chromadb"], "forbid": ["PIL"], "versions": {"chromadb-client": "1.5.9"}}

Answer: ``{"ok": true, "python", "architecture", "imports": {module: {"seconds", "file"}},
"versions": {...}}``. Raises CanaryFailed, with every failure, if anything is not as it should be.
"""

from __future__ import annotations

import importlib
import platform
import sys
import time
from importlib import metadata
from typing import TYPE_CHECKING, Any

from vector_common.errors import VectorError
from vector_common.events import Fields, entrypoint

if TYPE_CHECKING:
    from collections.abc import Mapping


class CanaryFailed(VectorError):
    """A layer does not hold what was promised."""


@entrypoint
def handler(event: Mapping[str, Any]) -> dict[str, Any]:
    """Import, look, compare."""
    fields = Fields(event)
    imports = fields.texts("imports", most=200)
    forbidden = fields.texts("forbid", [], most=200)
    versions = fields.mapping("versions") or {}
    fields.check()
    loaded: dict[str, Any] = {}
    failures: list[str] = []
    for name in imports:
        started = time.perf_counter()
        try:
            module = importlib.import_module(name)
        # A broken layer may raise anything at import; all of it is the finding.
        except BaseException as error:
            failures.append(f"import {name}: {type(error).__name__}: {error}")
            continue
        loaded[name] = {
            "seconds": round(time.perf_counter() - started, 6),
            "file": getattr(module, "__file__", None),
        }
    failures += [f"forbidden module {name} was loaded" for name in forbidden if name in sys.modules]
    found = {name: _version(name) for name in versions}
    failures += [
        f"{name}: is {found[name]}, promised was {wanted}"
        for name, wanted in versions.items()
        if found[name] != wanted
    ]
    if failures:
        raise CanaryFailed("; ".join(failures))
    return {
        "ok": True,
        "python": platform.python_version(),
        "architecture": platform.machine(),
        "imports": loaded,
        "versions": found,
    }


def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None

"""The handler of canary functions. It runs in Lambda, with the layer and nothing else."""

from __future__ import annotations

import importlib
import platform
import sys
import traceback
from typing import Any


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Import the layer's modules, run its smoke tests, and say what failed.

    Args:
        event: ``modules``, names to import; ``smoke``, whether smoke_test.py came along.
        context: Lambda's context, not used.

    Returns:
        ``imported`` and ``tests`` as numbers, ``failures`` as lines, ``skipped`` with the reason
        why the smoke test did not run, and the ``machine`` and ``python`` it all ran on.
    """
    del context
    failures: list[str] = []
    imported = 0
    for name in event["modules"]:
        try:
            importlib.import_module(name)
            imported += 1
        except BaseException as problem:
            failures.append(f"import {name}: {_last_line(problem)}")
    tests, skipped = _smoke(failures) if event["smoke"] else (0, None)
    return {
        "imported": imported,
        "tests": tests,
        "failures": failures,
        "skipped": skipped,
        "machine": platform.machine(),
        "python": ".".join(map(str, sys.version_info[:3])),
    }


def _smoke(failures: list[str]) -> tuple[int, str | None]:
    """Run the test functions that need no fixture; return their number, or why there are none."""
    try:
        module = importlib.import_module("smoke_test")
    except ModuleNotFoundError as missing:
        if missing.name in {"pytest", "_pytest"}:
            # pytest is not in Lambda's runtime; the full smoke test ran before publishing.
            return 0, "it needs pytest"
        failures.append(f"smoke test: {_last_line(missing)}")
        return 0, None
    count = 0
    for name, test in sorted(vars(module).items()):
        if not name.startswith("test_") or not callable(test) or test.__code__.co_argcount:
            continue
        count += 1
        try:
            test()
        except BaseException as problem:
            failures.append(f"{name}: {_last_line(problem)}")
    return count, None


def _last_line(problem: BaseException) -> str:
    return traceback.format_exception_only(type(problem), problem)[-1].strip()[:500]

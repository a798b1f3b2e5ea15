"""Runs inside the Lambda runtime, next to the layer, and answers what it is asked.

Standard library only, and Python 3.10: everything else on the path belongs to the layer. The
events and answers are described in layersmith.prove.probing, which sends them.
"""

from __future__ import annotations

import fnmatch
import importlib
import os
import sys
import time
import traceback
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent


def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """Do what ``event["op"]`` names."""
    return OPERATIONS[event["op"]](event)


def import_modules(event: dict[str, Any]) -> dict[str, Any]:
    """Import modules in the order given, and say of each how it went."""
    return {"modules": [_import_one(name) for name in event["modules"]]}


def _import_one(name: str) -> dict[str, Any]:
    began = time.perf_counter()
    error = None
    try:
        importlib.import_module(name)
    # Some modules end the interpreter, or raise what is no Exception, when they are imported.
    except BaseException as problem:
        error = _describe(problem)
    took = (time.perf_counter() - began) * 1000
    return {"module": name, "ms": round(took, 3), "error": error}


def _describe(problem: BaseException) -> dict[str, Any]:
    """Return an exception with those that it followed from, the first cause last."""
    chain: list[dict[str, str]] = []
    link: BaseException | None = problem
    while link is not None and len(chain) < 8:
        chain.append({"type": type(link).__name__, "message": str(link)[:2000]})
        link = link.__cause__ or link.__context__
    return {"chain": chain, "trace": traceback.format_exc()[-4000:]}


def loaded_modules(event: dict[str, Any]) -> dict[str, Any]:
    """Return the loaded modules that match one of the patterns, with those below them."""
    return {
        "modules": sorted(
            name
            for name in sys.modules
            if any(
                fnmatch.fnmatchcase(name, pattern) or fnmatch.fnmatchcase(name, f"{pattern}.*")
                for pattern in event["patterns"]
            )
        )
    }


class Collector:
    """A pytest plugin that keeps what happened as data."""

    def __init__(self) -> None:
        self.tests: list[dict[str, Any]] = []

    def pytest_runtest_logreport(self, report: Any) -> None:
        """Keep the outcome of a test; its set-up and teardown count where they fail or skip."""
        if report.when == "call" or report.outcome != "passed":
            text = _skip_reason(report) if report.skipped else report.longreprtext[-8000:]
            name = report.nodeid.rpartition("::")[2]
            self._keep(name, report.outcome, report.when, report.duration * 1000, text)

    def pytest_collectreport(self, report: Any) -> None:
        """Keep what could not be collected: most often the file does not import."""
        if report.failed:
            name = Path(report.nodeid).name or "collection"
            self._keep(name, "failed", "collect", 0.0, report.longreprtext[-8000:])

    def _keep(self, name: str, outcome: str, phase: str, ms: float, text: str) -> None:
        self.tests.append(
            {"name": name, "outcome": outcome, "phase": phase, "ms": round(ms, 3), "text": text}
        )


def _skip_reason(report: Any) -> str:
    longrepr = report.longrepr
    return str(longrepr[2]) if isinstance(longrepr, tuple) else str(longrepr or "")


def run_pytest(event: dict[str, Any]) -> dict[str, Any]:
    """Run one file under pytest, whose own packages come last on the path."""
    # The layer's packages win over pytest's: what is tested is the layer.
    sys.path.append(str(HERE / "pytest_site"))
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    import pytest  # noqa: PLC0415 -- only now on the path

    collector = Collector()
    code = pytest.main(
        [
            str(HERE / event["file"]),
            *("-q", "-p", "no:cacheprovider", "--color=no", "--tb=short"),
            *("--import-mode=importlib", "--rootdir", str(HERE), "-c", os.devnull),
        ],
        plugins=[collector],
    )
    return {"tests": collector.tests, "exit": int(code)}


OPERATIONS = {"import": import_modules, "loaded": loaded_modules, "pytest": run_pytest}

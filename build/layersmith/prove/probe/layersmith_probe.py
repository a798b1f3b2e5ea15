"""Runs inside the Lambda runtime, next to the layer, and answers what it is asked.

Standard library only, and Python 3.10: everything else on the path belongs to the layer. The
events and answers are described in layersmith.prove.smoke.probing, which sends them.
"""

from __future__ import annotations

import dis
import faulthandler
import fnmatch
import importlib
import os
import re
import signal
import sys
import threading
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
    if LastFinder not in sys.meta_path:
        sys.meta_path.append(LastFinder)
        sys.meta_path.insert(0, Endless)
    watch = ImportWatch(event["seconds"], event["idle"])
    return {"modules": [_import_one(name, watch) for name in event["modules"]]}


def _import_one(name: str, watch: ImportWatch) -> dict[str, Any]:
    began = time.perf_counter()
    error = None
    try:
        with watch:
            importlib.import_module(name)
    # Some modules end the interpreter, or raise what is no Exception, when they are imported.
    except BaseException as problem:
        error = _describe(problem)
    took = (time.perf_counter() - began) * 1000
    return {"module": name, "ms": round(took, 3), "error": error}


class ImportTimeout(BaseException):
    """A module does not return; no ``except Exception`` of a package takes it for its own."""


class ImportWatch:
    """Ends the import of a module that does not return.

    Args:
        seconds: What one import may take.
        idle: After how many seconds without processor time it waits for what will not come:
            input, a network, another process. Emulation does not make waiting slower.
    """

    GRACE = 30
    """Seconds after which code that no signal reaches is ended together with the process."""

    def __init__(self, seconds: float, idle: float) -> None:
        self._seconds = seconds
        self._idle = idle
        self._began = self._busy = 0.0

    def __enter__(self) -> None:
        self._began, self._busy = time.monotonic(), time.process_time()
        faulthandler.dump_traceback_later(self._seconds + self.GRACE, exit=True)
        if threading.current_thread() is threading.main_thread():
            # Set for each module: some take the signal for themselves.
            signal.signal(signal.SIGALRM, self._look)
            signal.setitimer(signal.ITIMER_REAL, self._idle, self._idle)

    def __exit__(self, *_: object) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)
        faulthandler.cancel_dump_traceback_later()

    def _look(self, _number: int, frame: Any) -> None:
        used = time.process_time() - self._busy
        self._busy += used
        took = time.monotonic() - self._began
        if used < self._idle / 100:
            said = f"waits for more than {self._idle:g} s"
        elif took >= self._seconds:
            said = f"takes longer than {self._seconds:g} s"
        else:
            return
        name, inner = _importing(frame), frame.f_code
        place = f"{inner.co_name}, {Path(inner.co_filename).name} line {frame.f_lineno}"
        Endless.known[name] = f"the import of {name} {said} (in {place})"
        raise ImportTimeout(Endless.known[name])


def _importing(frame: Any) -> str:
    """Return the innermost module whose own code runs in a frame."""
    while frame is not None:
        if frame.f_code.co_name == "<module>":
            return str(frame.f_globals.get("__name__"))
        frame = frame.f_back
    return "?"


class Endless:
    """The first finder on sys.meta_path: what did not return once is not waited for again."""

    known: dict[str, str] = {}  # noqa: RUF012 -- one for the process, as sys.modules is

    @classmethod
    def find_spec(cls, name: str, _path: Any = None, _target: Any = None) -> None:
        """Fail at once, and in the same words, for what needs an endless module, too."""
        if name in cls.known:
            raise ImportTimeout(cls.known[name])


def _describe(problem: BaseException) -> dict[str, Any]:
    """Return an exception with those that it followed from, the first cause last."""
    chain: list[dict[str, Any]] = []
    link: BaseException | None = problem
    while link is not None and len(chain) < 8:
        chain.append(_link(link))
        link = link.__cause__ or link.__context__
    return {"chain": chain, "trace": traceback.format_exc()[-4000:]}


def _link(problem: BaseException) -> dict[str, Any]:
    kind = type(problem)
    frame, instruction = _innermost(problem)
    where = frame.f_globals.get("__name__") if frame else None
    name = problem.name if isinstance(problem, ImportError) else None
    name = name if isinstance(name, str) else None
    return {
        "type": kind.__name__,
        "message": str(problem)[:2000],
        "kinds": [base.__name__ for base in kind.__mro__[1:-2]],
        "name": name,
        "within": _regular_package_above(name) if name else None,
        "where": where if isinstance(where, str) else None,
        "raised": instruction == "RAISE_VARARGS",
        "absent": sorted(_absent(str(where), str(problem))),
    }


def _innermost(problem: BaseException) -> tuple[Any, str]:
    """Return the frame that an exception comes from, and the instruction that it stood at.

    Import errors come from the frame that imports: Python leaves out those of its own machinery,
    if that is an import statement, and not a call of import_module.
    """
    last, step = None, problem.__traceback__
    while step is not None:
        if last is None or not str(step.tb_frame.f_globals.get("__name__")).startswith("importlib"):
            last = step
        step = step.tb_next
    if last is None:
        return None, ""
    return last.tb_frame, dis.opname[last.tb_frame.f_code.co_code[last.tb_lasti]]


def _regular_package_above(name: str) -> str | None:
    """Return the nearest package above a module that has a file of its own.

    A namespace package has none: what is missing in it may be another distribution's.
    """
    while "." in name:
        name = name.rpartition(".")[0]
        package = sys.modules.get(name)
        if getattr(package, "__file__", None) is not None:
            return name
    return None


ABSENT: dict[str, set[str]] = {}
"""Module -> modules that it looked for, and that no finder found."""


def _absent(asker: str, message: str) -> set[str]:
    """Return what a module looked for in vain, or anybody did that a message names."""
    words = set(re.findall(r"\w+", message))
    named = {name for names in ABSENT.values() for name in names if words & {name.split(".")[0]}}
    return ABSENT.get(asker, set()) | named


class LastFinder:
    """The last finder on sys.meta_path: it finds nothing, and notes who looked for what."""

    @staticmethod
    def find_spec(name: str, _path: Any = None, _target: Any = None) -> None:
        """Note a module that is not there."""
        frame: Any = sys._getframe(1)
        while frame is not None and frame.f_globals.get("__name__", "").startswith("importlib"):
            frame = frame.f_back
        if frame is not None:
            ABSENT.setdefault(frame.f_globals.get("__name__", ""), set()).add(name)


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

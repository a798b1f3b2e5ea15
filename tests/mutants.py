"""Changes conditions of the code one at a time and counts the changes that the tests notice.

``nox -s mutants -- base lock`` tries a seeded sample of each room, ``--change main`` the lines that
changed since a revision. A mutant is one comparison, ``and``, ``or``, ``not`` or compared number
that reads otherwise. It lives only in a forked process: an import hook hands out its source,
so that no file is written and third-party packages are imported once. A run without mutants
records which tests call which functions; a mutant is tried with the tests that reach it.
"""

from __future__ import annotations

import argparse
import ast
import functools
import gc
import importlib
import importlib.abc
import importlib.util
import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from cosmic_ray.ast import get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from importlib.machinery import ModuleSpec
    from types import FrameType

ROOT = Path(__file__).parents[1]
SOURCES = [ROOT / name for name in ("build", "fargate/chroma", "lambdas/common/src")]
ROOMS = {
    "base": ("build/layersmith/base", ["unit/base", "unit/audit", "unit/lock"]),
    "lock": ("build/layersmith/lock", ["unit/lock"]),
    "assemble": ("build/layersmith/assemble", ["unit/assemble", "unit/strip", "unit/stubs"]),
    "audit": ("build/layersmith/audit", ["unit/audit"]),
    "weigh": ("build/layersmith/weigh", ["unit/weigh", "unit/report"]),
    "publish": ("build/layersmith/ship/publish", ["unit/ship"]),
    "pointers": ("build/layersmith/ship/pointers", ["unit/ship"]),
    "chroma_store": ("fargate/chroma/chroma_store", ["unit/vectors", "unit/supervisor"]),
}
"""A room's folder of sources, and what below tests/ is to notice its mutants in seconds."""

COMPARISONS = ("Lt_LtE", "LtE_Lt", "Gt_GtE", "GtE_Gt", "Lt_GtE", "Gt_LtE", "LtE_Gt", "GtE_Lt",
               "Eq_NotEq", "NotEq_Eq", "Is_IsNot", "IsNot_Is")  # fmt: skip
OPERATORS = [
    *(f"core/ReplaceComparisonOperator_{pair}" for pair in COMPARISONS),
    *("core/ReplaceAndWithOr", "core/ReplaceOrWithAnd", "core/AddNot", "core/NumberReplacer"),
]
PLUGINS = ("--disable-plugin-autoload", "-p", "_hypothesis_pytestplugin")
"""All of pytest's plugins that unit tests use: loading the others takes longer than most tests."""

PRELOADED = (
    "pydantic",
    "packaging.requirements",
    "httpx",
    "rich.table",
    "boto3",
    "hypothesis",
    "anyio",
    "asyncio",
    "_hypothesis_pytestplugin",
    "jinja2",
    "semver",
    "tomllib",
    "yaml",
)
"""What most tests import, and what is not mutated: imported once, before the forks."""

SURVIVED, NOTICED = "survived", "noticed"
PATIENCE = 120.0
"""Seconds that the tests of one mutant may take; one that makes them hang is noticed."""


@dataclass(frozen=True)
class Mutant:
    """One change: the file, the operator, and which of its occurrences."""

    path: Path
    operator: str
    occurrence: int
    line: int
    function: int | None
    tests: tuple[str, ...]

    def source(self) -> str:
        """Return the source of the whole module with the change."""
        changed = mutate_code(
            self.path.read_text("utf-8"), get_operator(self.operator)(), self.occurrence
        )
        if changed is None:
            raise ValueError(f"{self.path} has no occurrence {self.occurrence} of {self.operator}")
        return str(changed)

    def __str__(self) -> str:
        """Return where the change is, and what its line reads before and after."""
        before = self.path.read_text("utf-8").splitlines()
        after = self.source().splitlines()
        shown = [f"{self.path.relative_to(ROOT)}:{self.line}: {self.operator.split('/')[1]}"]
        for old, new in zip(before, after, strict=False):
            if old != new:
                shown += [f"    - {old.strip()}", f"    + {new.strip()}"]
        return "\n".join(shown)

    def reached(self, calls: Calls) -> list[str]:
        """Return the tests that call the function of the change; outside of all, every test."""
        if self.function is None:
            return list(self.tests)
        return calls.get(f"{self.path}:{self.function}", [])


def mutants_of(path: Path, tests: Sequence[str]) -> Iterator[Mutant]:
    """Yield every mutant of a file's conditions."""
    text = path.read_text("utf-8")
    compared = {
        (node.lineno, node.col_offset)
        for comparison in ast.walk(ast.parse(text))
        if isinstance(comparison, ast.Compare)
        for node in ast.walk(comparison)
        if isinstance(node, ast.Constant)
    }
    typing = {number for number, line in enumerate(text.splitlines(), 1) if "TYPE_CHECKING" in line}
    functions = _functions(ast.parse(text))
    tree = get_ast(text)
    for name in OPERATORS:
        operator = get_operator(name)()
        for occurrence, (start, _) in enumerate(_positions(operator, tree)):
            if start[0] not in typing and (name != "core/NumberReplacer" or start in compared):
                line = start[0]
                yield Mutant(path, name, occurrence, line, functions.get(line), tuple(tests))


def _functions(tree: ast.Module) -> dict[int, int]:
    """Return the first line of the innermost function that each line of a body is in."""
    found: dict[int, int] = {}
    for node in ast.walk(tree):  # outer functions come first
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first = min(one.lineno for one in (node, *node.decorator_list))
            lines = range(node.lineno, (node.end_lineno or node.lineno) + 1)
            found |= dict.fromkeys(lines, first)
    return found


def _positions(operator: Any, node: Any) -> Iterator[tuple[tuple[int, int], Any]]:
    """Yield the places that an operator changes, in the order in which they are counted."""
    yield from operator.mutation_positions(node)
    for child in getattr(node, "children", ()):
        yield from _positions(operator, child)


class Changed(importlib.abc.MetaPathFinder):
    """Hands out the changed source of one module, and leaves all others to Python."""

    def __init__(self, mutant: Mutant) -> None:
        folder = next(folder for folder in SOURCES if mutant.path.is_relative_to(folder))
        parts = mutant.path.relative_to(folder).with_suffix("").parts
        self.name = ".".join(parts).removesuffix(".__init__")
        self.path = mutant.path
        self.text = mutant.source()

    def find_spec(self, fullname: str, path: Any, target: Any = None) -> ModuleSpec | None:
        """Return the specification of the changed module (importlib.abc.MetaPathFinder)."""
        del path, target
        if fullname != self.name:
            return None
        return importlib.util.spec_from_file_location(
            fullname, self.path, loader=ChangedLoader(self.text, str(self.path))
        )


class ChangedLoader(importlib.abc.SourceLoader):
    """Compiles the changed source; no bytecode is read or written."""

    def __init__(self, text: str, path: str) -> None:
        self.text, self.path = text, path

    def get_filename(self, fullname: str) -> str:
        """Return the path that tracebacks name."""
        del fullname
        return self.path

    def get_data(self, path: str | bytes) -> bytes:
        """Return the changed source."""
        if str(path) != self.path:
            raise OSError(path)
        return self.text.encode()


Calls = dict[str, list[str]]
"""`FILE:FIRST LINE` of a function -> the tests that call it."""


class Recorder:
    """A plugin of pytest that writes which tests call which functions."""

    def __init__(self, target: Path) -> None:
        self.target = target
        self.calls: dict[str, dict[str, None]] = {}
        self.files: dict[str, bool] = {}
        self.seconds: dict[str, float] = {}
        self.test = ""

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        """Trace the calls of one test; what an earlier one left in our caches is forgotten."""
        for one in gc.get_objects():
            if type(one) is functools._lru_cache_wrapper:  # isinstance would ask weak proxies
                one.cache_clear()
        self.test, started = item.nodeid, time.monotonic()
        threading.settrace(self.trace)
        sys.settrace(self.trace)
        try:
            return (yield)
        finally:
            sys.settrace(None)
            self.seconds[item.nodeid] = time.monotonic() - started

    def trace(self, frame: FrameType, event: str, arg: object) -> None:
        """Note the function that is called (sys.settrace); its lines are not traced."""
        del event, arg
        code = frame.f_code
        name = code.co_filename
        if name not in self.files:
            self.files[name] = any(Path(name).is_relative_to(folder) for folder in SOURCES)
        if self.files[name]:
            self.calls.setdefault(f"{name}:{code.co_firstlineno}", {})[self.test] = None

    def pytest_sessionfinish(self) -> None:
        """Write what was seen, with the quickest tests first."""
        found = {
            name: sorted(tests, key=self.seconds.__getitem__) for name, tests in self.calls.items()
        }
        self.target.write_text(json.dumps(found), "utf-8")


def recorded(tests: Sequence[str]) -> Calls | None:
    """Run tests without a mutant; return what they call, None where one fails."""
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder, "calls.json")
        if attempt(None, tests, Recorder(target), patience=10 * PATIENCE) == NOTICED:
            return None
        return dict(json.loads(target.read_text("utf-8")))


def attempt(
    mutant: Mutant | None, tests: Sequence[str], *plugins: object, patience: float = PATIENCE
) -> str:
    """Run tests in a process of their own, with a mutant or without; return what became of it."""
    if not tests:
        return SURVIVED
    process = os.fork()
    if process == 0:
        os.setsid()
        silent = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1, 2):
            os.dup2(silent, descriptor)
        if mutant:
            sys.meta_path.insert(0, Changed(mutant))
        words = ["-x", "-q", "-p", "no:cacheprovider", *PLUGINS, "--hypothesis-seed=0"]
        os._exit(int(pytest.main([*words, *tests], [*plugins])))
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        ended, status = os.waitpid(process, os.WNOHANG)
        if ended:
            return SURVIVED if os.waitstatus_to_exitcode(status) == 0 else NOTICED
        time.sleep(0.02)
    os.killpg(process, signal.SIGKILL)
    os.waitpid(process, 0)
    return NOTICED


def changed_lines(revision: str) -> dict[Path, set[int]]:
    """Return the lines of each file that were added since a revision."""
    diff = subprocess.run(
        ["git", "diff", "--unified=0", revision, "--", *map(str, SOURCES)],
        cwd=ROOT, check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    found: dict[Path, set[int]] = {}
    current: set[int] = set()
    for line in diff.splitlines():
        if line.startswith("+++ b/"):
            current = found.setdefault(ROOT / line[6:], set())
        elif hunk := re.match(r"@@ \S+ \+(\d+)(?:,(\d+))? @@", line):
            first, count = int(hunk[1]), int(hunk[2] or 1)
            current |= set(range(first, first + count))
    return found


def chosen(args: argparse.Namespace) -> dict[str, list[Mutant]]:
    """Return the mutants to try, by room: a seeded sample of each."""
    lines = changed_lines(args.change) if args.change else None
    found = {}
    for room in args.rooms or ROOMS:
        folder, tests = ROOMS[room]
        places = [f"tests/{name}" for name in tests if (ROOT / "tests" / name).exists()]
        every = [
            mutant
            for path in sorted((ROOT / folder).rglob("*.py"))
            for mutant in mutants_of(path, places)
            if lines is None or mutant.line in lines.get(path, set())
        ]
        sample = random.Random(args.seed).sample(every, min(args.number, len(every)))
        if sample:
            found[room] = sorted(sample, key=lambda one: (one.path, one.line))
    return found


def main(argv: Sequence[str]) -> int:
    """Try the mutants, print the survivors, and return 1 where too many survived."""
    parser = argparse.ArgumentParser(description=__doc__, prog="nox -s mutants --")
    parser.add_argument("rooms", nargs="*", choices=[[], *ROOMS], metavar="ROOM",
                        help=f"rooms to try (default: all of {', '.join(ROOMS)})")  # fmt: skip
    parser.add_argument("--change", metavar="REV", help="only lines that changed since REV")
    parser.add_argument("--number", type=int, default=40, help="mutants per room (40)")
    parser.add_argument("--seed", type=int, default=1, help="chooses the sample (1)")
    parser.add_argument("--least", type=float, default=85, help="percentage to notice (85)")
    args = parser.parse_args(argv)
    os.chdir(ROOT)
    for name in PRELOADED:
        importlib.import_module(name)
    gc.freeze()  # what the forks share is not searched again by each of them
    worst = 100.0
    for room, sample in chosen(args).items():
        calls = recorded(sample[0].tests)
        if calls is None:
            parser.error(f"the tests of {room} fail without any mutant")
        started = time.monotonic()
        with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
            tries = [pool.submit(attempt, one, one.reached(calls)) for one in sample]
            became = [one.result() for one in tries]
        for mutant, outcome in zip(sample, became, strict=True):
            if outcome == SURVIVED:
                print(mutant)
        share = 100 * became.count(NOTICED) / len(became)
        worst = min(worst, share)
        seconds = time.monotonic() - started
        print(f"{room}: {became.count(NOTICED)} of {len(became)} noticed ({share:.0f} %),"
              f" {seconds:.0f} s", flush=True)  # fmt: skip
    return 0 if worst >= args.least else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

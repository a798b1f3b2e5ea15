"""Stubs run in every runtime, the oldest included."""

from __future__ import annotations

import ast
import subprocess
import sys

import pytest
from layersmith.base import runtimes, uv
from layersmith.recipes.book import SHIPPED


def test_stubs_take_from_the_standard_library_what_the_oldest_runtime_has() -> None:
    oldest = min(one.minor for one in runtimes.RUNTIMES.values())
    if (python := uv.interpreter(oldest)) is None:
        pytest.skip(f"no CPython 3.{oldest} on this machine")
    lines = {
        ast.unparse(node)
        for path in (SHIPPED / "stubs").rglob("*.py")
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.ImportFrom)
        and not node.level
        and str(node.module).partition(".")[0] in sys.stdlib_module_names
    }
    assert "from typing import Any" in lines

    done = subprocess.run(
        [python, "-I", "-c", "\n".join(sorted(lines, key=lambda line: "__future__" not in line))],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr

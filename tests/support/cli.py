"""The tool as people run it: a process of its own; where that is not the point, in this one."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from contextlib import chdir, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING

from layersmith import cli

from tests.support import clocks

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT = Path(__file__).parents[2]
LAYERS = ROOT / "build" / "layers.py"

PACKAGES = [str(ROOT / name) for name in ("build", "fargate/chroma", "lambdas/common/src")]
"""What build/layers.py puts on the path."""

TIMEOUT = 300.0
"""Seconds on a quiet machine after which a run is taken for hung; emulated proofs take minutes."""


def argv(*words: str | Path) -> list[str]:
    """Return the command line of a verb."""
    return [sys.executable, str(LAYERS), *map(str, words)]


def layers(
    *words: str | Path,
    cwd: Path = ROOT,
    script: Path = LAYERS,
    env: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run a verb and return what it printed.

    Args:
        words: The verb and its arguments.
        cwd: Where it is run.
        script: Another entry than the checkout's own.
        env: Variables beside those of the tests.
    """
    return subprocess.run(
        [sys.executable, str(script), *map(str, words)],
        cwd=cwd,
        env={**os.environ, **(env or {})},
        capture_output=True,
        text=True,
        check=False,
        timeout=clocks.seconds(TIMEOUT),
    )


def called(*words: str | Path, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Run a verb in this process, which has imported everything, and return what it printed.

    Args:
        words: The verb and its arguments.
        cwd: Where it is run.
    """
    out, err = io.StringIO(), io.StringIO()
    with chdir(cwd), redirect_stdout(out), redirect_stderr(err):
        code = cli.main([*map(str, words)])
    return subprocess.CompletedProcess([*map(str, words)], code, out.getvalue(), err.getvalue())

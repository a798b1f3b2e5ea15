from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

BUILD = Path(__file__).parents[2] / "build"
ASK = """
from layersmith import console
from layersmith.errors import LayersmithError
try:
    print(console.confirm("go on? [y/N] "))
except LayersmithError as problem:
    print(problem)
    raise SystemExit(problem.exit_code)
"""


def ask(stdin: int, stderr: int, *, closed: bool = False) -> tuple[int, str]:
    """Ask in a process of its own and return its exit code and standard output."""
    argv = [sys.executable, "-c", ASK]
    if closed:
        argv = ["sh", "-c", 'exec "$@" <&-', "sh", *argv]
    done = subprocess.run(
        argv,
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=stderr,
        env={**os.environ, "PYTHONPATH": str(BUILD)},
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout


@pytest.mark.parametrize("closed", [True, False])
def test_a_terminal_on_stderr_alone_is_not_enough(closed: bool) -> None:
    ours, theirs = pty.openpty()
    try:
        code, said = ask(subprocess.DEVNULL, theirs, closed=closed)
    finally:
        os.close(theirs)
        os.close(ours)
    assert code == 9
    assert "confirmation needs a terminal" in said
    assert "pass --yes to skip the prompt" in said


@pytest.mark.parametrize(
    ("typed", "answer"), [("y\n", "True"), (" YES \n", "True"), ("n\n", "False"), ("\x04", "False")]
)
def test_a_terminal_is_asked(typed: str, answer: str) -> None:
    ours, theirs = pty.openpty()
    try:
        os.write(ours, typed.encode())
        code, said = ask(theirs, theirs)
        shown = os.read(ours, 4096).decode()
    finally:
        os.close(theirs)
        os.close(ours)
    assert (code, said.strip()) == (0, answer)
    assert "go on? [y/N]" in shown

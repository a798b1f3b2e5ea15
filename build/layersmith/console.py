"""What people and programs see: data goes to stdout, talk goes to stderr.

rich decides about colour: off when the stream is piped and when NO_COLOR is set
(https://no-color.org), on when FORCE_COLOR is set. rich is imported on first use, because a
run that has nothing to do must stay quick.
"""

from __future__ import annotations

import functools
import json
import os
import sys
from contextlib import contextmanager, redirect_stdout
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from layersmith.errors import ShipError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import TextIO

    from rich.console import Console
    from rich.progress import Progress

PIPED_WIDTH = 200
"""Columns where nobody looks: a pipe or a log cuts no table short."""


@functools.cache
def stdout() -> Console:
    """The console for results that people read."""
    from rich.console import Console  # noqa: PLC0415 -- start-up time

    return Console(highlight=False, width=_width(sys.stdout))


@functools.cache
def stderr() -> Console:
    """The console for progress, warnings and errors."""
    from rich.console import Console  # noqa: PLC0415 -- start-up time

    return Console(stderr=True, highlight=False, width=_width(sys.stderr))


def _width(stream: TextIO) -> int | None:
    """Return the width for a stream in columns: a terminal's own, or enough for any table."""
    return None if stream.isatty() or "COLUMNS" in os.environ else PIPED_WIDTH


def info(message: str) -> None:
    """Say what is being done."""
    _say(message, style=None)


def success(message: str) -> None:
    """Say that something was done."""
    _say(message, style="green")


def warn(message: str) -> None:
    """Say what is probably not wanted; GitHub shows it as an annotation."""
    if in_github_actions():
        _raw(f"::warning::{_escape_workflow_command(message)}")
    else:
        _say(f"warning: {message}", style="yellow")


def error(message: str) -> None:
    """Say what failed; GitHub shows it as an annotation."""
    if in_github_actions():
        _raw(f"::error::{_escape_workflow_command(message)}")
    _say(f"error: {message}", style="bold red")


_kept: ContextVar[list[Any] | None] = ContextVar("kept", default=None)


@contextmanager
def json_kept() -> Iterator[list[Any]]:
    """Keep what emit_json is given instead of printing it, and send all else to stderr."""
    kept: list[Any] = []
    token = _kept.set(kept)
    try:
        with redirect_stdout(sys.stderr):
            yield kept
    finally:
        _kept.reset(token)


def emit_json(value: Any) -> None:
    """Print ``value`` as JSON on stdout, keys as given, with a final newline.

    With ``--json`` the command line keeps it, and prints it in its envelope.
    """
    kept = _kept.get()
    if kept is not None:
        kept.append(value)
        return
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False) + "\n")
    sys.stdout.flush()


def emit_text(text: str) -> None:
    """Print ``text`` on stdout without markup, with a final newline."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def in_github_actions() -> bool:
    """Whether this run is a step of a GitHub Actions workflow."""
    return os.environ.get("GITHUB_ACTIONS") == "true"


def can_ask() -> bool:
    """Whether a person can see a question (stderr) and answer it (stdin)."""
    # A process started with stdin closed has None there.
    return sys.stdin is not None and sys.stdin.isatty() and sys.stderr.isatty()


def confirm(question: str, *, expected: str | None = None) -> bool:
    """Ask on stderr and return whether the answer is a yes.

    Args:
        question: What is asked, as it is shown.
        expected: What has to be typed exactly; without it ``y`` or ``yes`` will do.

    Raises:
        ShipError: stdin or stderr is not a terminal.
    """
    require_terminal()
    try:
        answer = stderr().input(question, markup=False)
    except EOFError:
        return False
    if expected is not None:
        return answer.strip() == expected
    return answer.strip().lower() in {"y", "yes"}


def require_terminal() -> None:
    """Check, before long work that ends in a question, that it can be asked.

    Raises:
        ShipError: stdin or stderr is not a terminal.
    """
    if not can_ask():
        raise ShipError(
            "confirmation needs a terminal",
            cause="standard input or standard error is not a terminal",
            hint="pass --yes to skip the prompt",
        )


@contextmanager
def progress(*, quiet: bool = False) -> Iterator[Progress]:
    """Show one progress display on stderr while the block runs.

    Args:
        quiet: Show nothing; for ``--quiet`` and for tests.
    """
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn  # noqa: PLC0415 -- start-up time

    display = Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        TextColumn("{task.fields[step]}"),
        TimeElapsedColumn(),
        console=stderr(),
        transient=True,
        disable=quiet or not stderr().is_terminal,
    )
    with display:
        yield display


@contextmanager
def group(title: str) -> Iterator[None]:
    """Fold what the block says in the log of GitHub Actions."""
    if in_github_actions():
        _raw(f"::group::{title}")
    try:
        yield
    finally:
        if in_github_actions():
            _raw("::endgroup::")


def _say(message: str, style: str | None) -> None:
    try:
        console = stderr()
    except ImportError:
        # Without rich, what is said is that packages are missing.
        _raw(message)
        return
    console.print(message, style=style, markup=False, soft_wrap=True)


def _raw(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


def _escape_workflow_command(message: str) -> str:
    # GitHub reads a workflow command to the end of its line.
    return message.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")

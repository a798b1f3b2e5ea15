"""What people and programs see: data goes to stdout, talk goes to stderr.

rich decides about colour: off when the stream is piped and when NO_COLOR is set
(https://no-color.org), on when FORCE_COLOR is set. rich is imported on first use, because a
run that has nothing to do must stay quick.
"""

from __future__ import annotations

import functools
import json
import os
import re
import sys
from contextlib import contextmanager, redirect_stdout
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from layersmith.errors import ShipError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence
    from typing import TextIO

    from rich.console import Console, RenderableType
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


@dataclass
class _Volume:
    quiet: bool = False
    verbose: bool = False


_volume = _Volume()


PROGRAM = "python build/layers.py"
"""What messages and help call the program, which it is in a checkout."""

_CALLED = re.compile(rf"{re.escape(PROGRAM)}|nox -s (\w+)(?: --(?= ))?")


def as_called(text: str) -> str:
    """Return a text with the program called as it was called now.

    An installed layersmith stands in no checkout: there are neither build/layers.py nor sessions
    of nox, each of which is the verb of the same name.
    """
    if Path(sys.argv[0]).stem != "layersmith":
        return text
    return _CALLED.sub(lambda found: f"layersmith {found[1] or ''}".strip(), text)


def set_volume(*, quiet: bool = False, verbose: bool = False) -> None:
    """Choose how much is said, for the whole run.

    Args:
        quiet: No progress and no talk; warnings, errors and results stay.
        verbose: Also what child processes print.
    """
    _volume.quiet, _volume.verbose = quiet, verbose


def is_verbose() -> bool:
    """Whether what child processes print is shown."""
    return _volume.verbose


def info(message: str) -> None:
    """Say what is being done; not with ``--quiet``."""
    if not _volume.quiet:
        _say(as_called(message), style=None)


def success(message: str) -> None:
    """Say that something was done; not with ``--quiet``."""
    if not _volume.quiet:
        _say(as_called(message), style="green")


def child(line: str) -> None:
    """Repeat a line that a child process printed."""
    _say(line, style="dim")


def warn(message: str) -> None:
    """Say what is probably not wanted; GitHub shows it as an annotation."""
    message = as_called(message)
    if in_github_actions():
        _raw(f"::warning::{_escape_workflow_command(message)}")
    else:
        _say(f"warning: {message}", style="yellow")


def error(message: str) -> None:
    """Say what failed; GitHub shows it as an annotation."""
    message = as_called(message)
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


def size(count: int) -> str:
    """Return bytes as text: kB below 100 kB, MB (10**6 bytes) from there."""
    return f"{count / 1e3:,.1f} kB" if count < 100_000 else megabytes(count, 2)


def megabytes(count: float, places: int = 1) -> str:
    """Return bytes as MB (10**6 bytes), the unit of budgets and of Lambda's limits."""
    return f"{count / 1e6:,.{places}f} MB"


def counted(count: int, noun: str) -> str:
    """Return ``1 file`` or ``2 files``."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def table(
    headings: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    right: Collection[str] = (),
    drop: Sequence[str] = (),
    styles: Sequence[str | None] | None = None,
    title: str | None = None,
    width: int | None = None,
) -> RenderableType:
    """Return a table that fits, without cutting a number or a word.

    Columns of text are folded at spaces, hyphens, slashes and colons; where that is not enough,
    columns are left out in the order of ``drop``, and a line below says which; where even that is
    not enough, each row becomes a block with a line per cell.

    Args:
        headings: One name per column.
        rows: Cells as plain text, without markup.
        right: Columns that hold numbers.
        drop: Columns that may be left out, the least important one first.
        styles: A style per row.
        title: Line above.
        width: Columns of the terminal; without it those of stdout.
    """
    from rich import box  # noqa: PLC0415 -- start-up time
    from rich.console import Group  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    room = width or stdout().width
    kept = list(range(len(headings)))
    for name in drop:
        if _widths(headings, rows, right, kept, room):
            break
        kept.remove(headings.index(name))
    widths = _widths(headings, rows, right, kept, room)
    colours = styles or [None] * len(rows)
    if widths is None:
        blocks = [
            Text(
                "\n".join(f"{headings[i]}: {row[i]}" for i in range(len(headings)) if row[i])
                + "\n",
                style=colour or "",
            )
            for row, colour in zip(rows, colours, strict=True)
        ]
        return Group(*([Text(title)] if title else []), *blocks)
    drawn = Table(
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        title=Text(title) if title else None,
        title_justify="left",
        caption_justify="left",
    )
    for i, columns in zip(kept, widths, strict=True):
        drawn.add_column(
            Text("\n".join(_folded(headings[i], columns))),
            justify="right" if headings[i] in right else "left",
            width=columns,
            no_wrap=True,
        )
    for row, colour in zip(rows, colours, strict=True):
        cells = [
            "\n".join(_folded(row[i], columns)) for i, columns in zip(kept, widths, strict=True)
        ]
        drawn.add_row(*map(Text, cells), style=colour)
    gone = [name for i, name in enumerate(headings) if i not in kept]
    if gone:
        drawn.caption = Text(f"left out, as the terminal is narrow: {', '.join(gone)}")
    return drawn


GAP = 3
"""Columns between two cells of a table."""

EDGES = 2
"""Columns of the outer edges of a table."""

_PIECE = re.compile(r"[^\s\-/:]*[\-/:]?\s*")


def _widths(
    headings: Sequence[str],
    rows: Sequence[Sequence[str]],
    right: Collection[str],
    kept: Sequence[int],
    room: int,
) -> list[int] | None:
    """Return a width for every kept column, or None where they do not fit side by side."""
    cells = [[headings[i], *(row[i] for row in rows)] for i in kept]
    widths = [max(len(line) for cell in column for line in cell.split("\n")) for column in cells]
    least = [
        whole if headings[i] in right else max(_longest_piece(cell) for cell in column)
        for i, whole, column in zip(kept, widths, cells, strict=True)
    ]
    over = sum(widths) + GAP * (len(kept) - 1) + EDGES - room
    while over > 0:
        slack = [whole - small for whole, small in zip(widths, least, strict=True)]
        if not any(slack):
            return None
        # The widest of those that can give gives one column.
        widest = max((i for i, one in enumerate(slack) if one), key=lambda i: widths[i])
        widths[widest] -= 1
        over -= 1
    return widths


def _longest_piece(cell: str) -> int:
    return max(len(piece.rstrip()) for piece in _PIECE.findall(cell))


def _folded(cell: str, width: int) -> list[str]:
    """Return a cell as lines of at most ``width`` columns, broken between its pieces."""
    lines = []
    for line in cell.split("\n"):
        now = ""
        for piece in _PIECE.findall(line):
            if now and len((now + piece).rstrip()) > width:
                lines.append(now.rstrip())
                now = ""
            now += piece
        lines.append(now.rstrip())
    return lines


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
        disable=quiet or _volume.quiet or not stderr().is_terminal,
    )
    with display:
        yield display


@contextmanager
def phases(title: str) -> Iterator[Callable[..., None]]:
    """Show what one thing is being done to, until the block ends.

    What is given takes the phase, such as ``importing``, and how far it is, such as ``200 of 950
    modules``, from any thread. Where stderr is not a terminal, each new phase is one plain line.

    Args:
        title: What it is done to, such as the identifier of a target.
    """
    with progress() as display:
        task = display.add_task(title, total=None, step="")
        said = ""

        def show(phase: str, detail: str = "") -> None:
            nonlocal said
            display.update(task, step=f"{phase} {detail}".rstrip())
            if phase != said and display.disable:
                info(f"{title}: {phase} {detail}".rstrip())
            said = phase

        yield show


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

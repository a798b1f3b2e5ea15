"""The one module that starts processes for the build.

Wheels and sdists are third-party code, so nothing started here inherits AWS credentials, GitHub
tokens or other secrets: a variable is passed on only if its name is known to be harmless, and its
value holds no login.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import threading
import time
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any

from layersmith import console

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

GRACE = 5.0
"""Seconds between the request to end and the kill, when a run is interrupted."""

_target: ContextVar[str] = ContextVar("target", default="")
_running: set[subprocess.Popen[Any]] = set()
_interrupted = threading.Event()

PASSED = re.compile(
    r"PATH|HOME|USER|LOGNAME|SHELL|TERM|COLUMNS|LINES|NO_COLOR|TZ|LANG|LANGUAGE|LC_\w+"
    r"|TMPDIR|TEMP|TMP|XDG_(CACHE|CONFIG|DATA|STATE)_HOME|XDG_CONFIG_DIRS|XDG_RUNTIME_DIR"
    r"|LD_LIBRARY_PATH|SOURCE_DATE_EPOCH|PYENV_(ROOT|VERSION)|CARGO_HOME|RUSTUP_(HOME|TOOLCHAIN)"
    r"|SSL_CERT_(FILE|DIR)|(REQUESTS|CURL|AWS)_CA_BUNDLE|GIT_SSL_CAINFO"
    r"|GIT_(AUTHOR|COMMITTER)_(NAME|EMAIL|DATE)|GIT_CONFIG_(GLOBAL|SYSTEM|NOSYSTEM)"
    r"|((HTTP|HTTPS|ALL|NO)_PROXY|(http|https|all|no)_proxy)|GITHUB_ACTIONS|CI"
)
"""Names of the environment variables that processes inherit: where things are, not what opens them.

A build that needs another one is given it under `environment` in layers.yaml.
"""

LOGIN = re.compile(r"(://)[^/?#\s]*@")
"""A login in a URL, to take out of what is printed."""

ANY_LOGIN = re.compile(r"://\S*@")
"""What may be a login; no variable whose value holds one is inherited, whatever its name."""


@dataclass(frozen=True)
class Completed:
    """What a process left behind."""

    argv: tuple[str, ...]
    returncode: int
    stdout: str
    stderr: str


class CommandFailed(Exception):
    """A process ended with a code other than 0, could not start, or ran out of time."""

    def __init__(self, completed: Completed) -> None:
        super().__init__(f"{completed.argv[0]} exited with {completed.returncode}")
        self.completed = completed

    @property
    def output(self) -> str:
        """Standard error, or standard output where that is empty, stripped, without logins."""
        said = self.completed.stderr.strip() or self.completed.stdout.strip()
        if said or self.completed.returncode >= 0:
            return without_logins(said)[-8000:]
        return f"it was ended by {signal.Signals(-self.completed.returncode).name}"


def without_logins(text: str) -> str:
    """Return ``text`` with the user and password of every URL left out."""
    return LOGIN.sub(r"\1", text)


def scrubbed_environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return what third-party code may inherit of the environment, plus ``extra``."""
    return {**inherited(PASSED), **(extra or {})}


def inherited(names: re.Pattern[str]) -> dict[str, str]:
    """Return the environment variables with names that match and values that hold no login."""
    return {
        name: value
        for name, value in os.environ.items()
        if names.fullmatch(name) and not ANY_LOGIN.search(value)
    }


def run(
    argv: Sequence[str | Path],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    stdin: str | None = None,
    timeout: float | None = None,
    check: bool = True,
    inherit: bool = False,
) -> Completed:
    """Run a command to its end and return what it said.

    Args:
        argv: Program and arguments; no shell is involved.
        cwd: Folder to run in.
        env: Variables added to the scrubbed environment.
        stdin: Text for standard input; without it the input is empty.
        timeout: Seconds after which the process is killed.
        check: Raise where the exit code is not 0.
        inherit: Pass the whole environment; only for a program that is the user's own.

    Raises:
        CommandFailed: The command is missing or may not be started, failed (with ``check``) or ran
            out of time.
    """
    words = tuple(str(word) for word in argv)
    environment = {**os.environ, **(env or {})} if inherit else scrubbed_environment(env)
    try:
        done = _run(words, stdin or "", timeout, cwd=cwd, env=environment, text=True)
    except OSError as missing:
        raise CommandFailed(Completed(words, 127, "", str(missing))) from missing
    except subprocess.TimeoutExpired as late:
        said = f"no answer within {timeout:g} s"
        raise CommandFailed(Completed(words, 124, "", said)) from late
    completed = Completed(words, done.returncode, done.stdout, done.stderr)
    if check and completed.returncode != 0:
        raise CommandFailed(completed)
    return completed


def pipe(argv: Sequence[str | Path], data: bytes, *, env: Mapping[str, str] | None = None) -> bytes:
    """Run a filter: give it ``data`` on standard input and return its standard output.

    Raises:
        CommandFailed: The command is missing or failed.
    """
    words = tuple(str(word) for word in argv)
    try:
        done = _run(words, data, None, env=scrubbed_environment(env))
    except OSError as missing:
        raise CommandFailed(Completed(words, 127, "", str(missing))) from missing
    if done.returncode != 0:
        said = done.stderr.decode("utf-8", "replace")
        raise CommandFailed(Completed(words, done.returncode, "", said))
    return bytes(done.stdout)


def was_interrupted() -> bool:
    """Whether Ctrl-C was pressed, for threads that wait for something that is not a child."""
    return _interrupted.is_set()


@contextmanager
def labelled(target: str) -> Iterator[None]:
    """Put a target's name before what children of this thread print with ``--verbose``."""
    token = _target.set(target)
    try:
        yield
    finally:
        _target.reset(token)


@contextmanager
def ended_by_ctrl_c() -> Iterator[None]:
    """Let Ctrl-C end the children of all threads, with what they started.

    Python interrupts only the main thread, which would then wait for workers whose children go on.
    Outside the main thread, where no signal can be caught, nothing is changed.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(_number: int, _frame: object) -> None:
        _interrupted.set()
        # Not a daemon: the run does not end before its children did.
        threading.Thread(target=_end, args=(list(_running),)).start()
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        _interrupted.clear()


def _run(
    words: tuple[str, ...], data: Any, timeout: float | None, **options: Any
) -> subprocess.CompletedProcess[Any]:
    """Do what ``subprocess.run`` does, for a child with a process group of its own."""
    if _interrupted.is_set():
        raise KeyboardInterrupt
    pipe_ = subprocess.PIPE
    child = subprocess.Popen(
        words, stdin=pipe_, stdout=pipe_, stderr=pipe_, start_new_session=True, **options
    )
    _running.add(child)
    if _interrupted.is_set():
        # Ctrl-C came between the first look and the line above.
        _end([child])
    try:
        if console.is_verbose() and options.get("text"):
            out, err = _streamed(child, data, timeout)
        else:
            out, err = child.communicate(data, timeout)
    except subprocess.TimeoutExpired:
        _signal(child, signal.SIGKILL)
        child.communicate()
        raise
    except BaseException:
        _end([child])
        raise
    finally:
        _running.discard(child)
    return subprocess.CompletedProcess(words, child.returncode, out, err)


def _streamed(child: subprocess.Popen[str], data: str, timeout: float | None) -> tuple[str, str]:
    """Repeat on stderr, line by line, what a child prints, and return all of it."""
    prefix = _target.get() or os.path.basename(str(child.args[0]))  # type: ignore[index]  # noqa: PTH119
    said: tuple[list[str], list[str]] = ([], [])

    def repeat(stream: IO[str], lines: list[str]) -> None:
        for line in stream:
            lines.append(line)
            console.child(f"{prefix}: {without_logins(line).rstrip()}")

    streams = [stream for stream in (child.stdout, child.stderr) if stream]
    readers = [
        threading.Thread(target=repeat, args=pair, daemon=True)
        for pair in zip(streams, said, strict=True)
    ]
    for reader in readers:
        reader.start()
    with suppress(BrokenPipeError):
        if child.stdin:
            child.stdin.write(data)
            child.stdin.close()
    child.stdin = None
    child.wait(timeout)
    for reader in readers:
        reader.join()
    for stream in streams:
        stream.close()
    child.stdout = child.stderr = None
    return "".join(said[0]), "".join(said[1])


def _end(children: Sequence[subprocess.Popen[Any]]) -> None:
    """Ask process groups to end, and kill what is left of them after ``GRACE`` seconds."""
    for child in children:
        _signal(child, signal.SIGTERM)
    late = time.monotonic() + GRACE
    left = list(children)
    while left and time.monotonic() < late:
        left = [child for child in left if _lives(child)]
        time.sleep(0.02)
    for child in left:
        _signal(child, signal.SIGKILL)
    for child in children:
        child.wait()


def _lives(child: subprocess.Popen[Any]) -> bool:
    """Whether anything of a child's process group still runs."""
    child.poll()
    return _signal(child, 0)


def _signal(child: subprocess.Popen[Any], number: int) -> bool:
    # The group has the child's number, which the system gives to nobody else while one of it lives.
    try:
        os.killpg(child.pid, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def start(
    argv: Sequence[str | Path],
    *,
    env: Mapping[str, str],
    cwd: Path,
    output: IO[bytes],
) -> subprocess.Popen[bytes]:
    """Start a process that goes on running, in a session of its own, and return it.

    Args:
        argv: Program and arguments; no shell is involved.
        env: Its whole environment; nothing is inherited.
        cwd: Folder to run in.
        output: File that takes standard output and standard error.

    Raises:
        CommandFailed: The program is missing or may not be run.
    """
    words = tuple(str(word) for word in argv)
    try:
        return subprocess.Popen(
            words,
            env=dict(env),
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            # Ctrl-C reaches the parent alone, which decides what to do with its children.
            start_new_session=True,
        )
    except OSError as problem:
        raise CommandFailed(Completed(words, 127, "", str(problem))) from problem

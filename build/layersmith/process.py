"""The one module that starts processes for the build.

Wheels and sdists are third-party code, so nothing started here inherits AWS credentials, GitHub
tokens or other secrets: a variable is passed on only if its name is harmless.
"""

from __future__ import annotations

import os
import re
import subprocess
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

SECRET_NAME = re.compile(
    r"^AWS_(?!CA_BUNDLE$)|^ACTIONS_|^GITHUB_(TOKEN|ENV|OUTPUT|PATH|STATE)$|^GH_TOKEN$"
    r"|TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIAL|PRIVATE_KEY|API_?KEY",
    re.IGNORECASE,
)
"""Names of environment variables that no build step may see."""

INDEX_LOGIN = re.compile(r"^UV_INDEX_\w+_(USERNAME|PASSWORD)$")
"""uv's own variables for a private package index, passed on to uv alone."""


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
        """Standard error, or standard output where that is empty, stripped."""
        return (self.completed.stderr.strip() or self.completed.stdout.strip())[-8000:]


def scrubbed_environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the environment without anything that looks like a secret, plus ``extra``."""
    kept = {name: value for name, value in os.environ.items() if not SECRET_NAME.search(name)}
    kept.update(extra or {})
    return kept


def run(
    argv: Sequence[str | Path],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    stdin: str | None = None,
    timeout: float | None = None,
    check: bool = True,
    index_login: bool = False,
) -> Completed:
    """Run a command to its end and return what it said.

    Args:
        argv: Program and arguments; no shell is involved.
        cwd: Folder to run in.
        env: Variables added to the scrubbed environment.
        stdin: Text for standard input; without it the input is empty.
        timeout: Seconds after which the process is killed.
        check: Raise where the exit code is not 0.
        index_login: Pass uv's variables for private indexes; only for uv itself.

    Raises:
        CommandFailed: The command is missing, failed (with ``check``) or ran out of time.
    """
    words = tuple(str(word) for word in argv)
    environment = scrubbed_environment(env)
    if index_login:
        environment |= {k: v for k, v in os.environ.items() if INDEX_LOGIN.match(k)}
    try:
        done = subprocess.run(
            words,
            cwd=cwd,
            env=environment,
            input=stdin if stdin is not None else "",
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
    except FileNotFoundError as missing:
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
        done = subprocess.run(
            words, env=scrubbed_environment(env), input=data, capture_output=True, check=False
        )
    except FileNotFoundError as missing:
        raise CommandFailed(Completed(words, 127, "", str(missing))) from missing
    if done.returncode != 0:
        said = done.stderr.decode("utf-8", "replace")
        raise CommandFailed(Completed(words, done.returncode, "", said))
    return done.stdout


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

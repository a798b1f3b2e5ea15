"""uv's command line: where the program is, and one way to run it.

uv alone sees the variables for private package indexes; what it starts is third-party code, which
sees no other credentials (see process).
"""

from __future__ import annotations

import functools
import shutil
import sys
from typing import TYPE_CHECKING

from layersmith import process

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

THIS_PYTHON = ("--python", sys.executable, "--no-python-downloads")
"""Options that keep uv from searching for an interpreter, and from downloading one."""


@functools.cache
def program() -> str:
    """Return uv: the one installed beside this interpreter, else the one on PATH."""
    try:
        from uv import find_uv_bin  # noqa: PLC0415 -- absent where uv came from elsewhere

        return str(find_uv_bin())
    except (ImportError, FileNotFoundError):
        return shutil.which("uv") or "uv"


def run(
    *words: str | Path,
    timeout: float,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    stdin: str | None = None,
) -> process.Completed:
    """Run uv to its end and return what it said.

    Args:
        words: Subcommand and arguments.
        timeout: Seconds after which it is ended.
        cwd: Folder to run in, where uv looks for its configuration.
        env: Variables beside those that uv may see.
        stdin: Text for standard input.

    Raises:
        CommandFailed: uv is missing, failed, or ran out of time.
    """
    return process.run(
        [program(), *words], cwd=cwd, env=env, stdin=stdin, timeout=timeout, index_login=True
    )

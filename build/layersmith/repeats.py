"""Tells a run again that had nothing to do, as long as no file that it looked at has changed.

A verb whose outcome follows from files alone says so (`allow`). What the run printed is then kept
in the cache, with size and times of every file and folder that it read. The next run with the same
words, variables and version compares those and imports nothing else. A damaged record is ignored.

Opened files and listed folders are seen through an audit hook (PEP 578), and with each file beside
or below layers.yaml its folder, whose time changes when a file comes or goes; what is only asked
for is told to `saw`.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from layersmith import __version__, cache

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

FORMAT = 1
"""Version of the records; others are ignored."""

SECTION = "repeats"
KEPT = 32
"""Records in the cache; the oldest ones go."""

CACHED = f"{os.sep}__pycache__{os.sep}"

LARGEST = 4_000_000
"""Characters that are kept of one run; what says more is not told again."""

SETTLED = 50_000_000
"""Nanoseconds for which a file must have been left alone when a run begins: the clock of a file
system is coarser than time.time_ns, by up to 10 ms on Linux with 100 ticks a second."""

VERBS = {"build", "lock", "plan"}
"""Verbs that call `allow`."""

PASSING = {"_", "OLDPWD", "SHLVL"}
"""Variables that shells change from command to command; nothing here reads them."""

OF_STEPS = {"GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY"}
"""Where one of these is set, a run writes more than it prints."""

OWN = Path(__file__).parent
"""The tool's own files."""


class _Watch:
    """What the run in this process has looked at, and whether it may be told again."""

    def __init__(self) -> None:
        self.opened: set[str] = set()
        self.asked: set[str] = set()
        self.root: str | None = None
        self.refused = False
        self.printed: list[tuple[int, str]] = []


_watch: _Watch | None = None


def saw(*paths: Path) -> None:
    """Note what the outcome of this run depends on beside what it opens, there or not."""
    if _watch is not None:
        _watch.asked.update(os.path.abspath(path) for path in paths)  # noqa: PTH100 -- no stat here


def allow(root: Path, *paths: Path) -> None:
    """Say that this run would print the same again as long as what it looked at is the same.

    Args:
        root: Folder of layers.yaml.
        paths: What it depends on beside what it opened, such as its results.
    """
    if _watch is not None:
        saw(*paths)
        _watch.root = os.path.abspath(root)  # noqa: PTH100 -- no stat here


def refuse() -> None:
    """Say that the outcome of this run depends on what cannot be compared."""
    if _watch is not None:
        _watch.refused = True


def place(words: Sequence[str]) -> Path | None:
    """Return where the record of a run is; None where it is never told again.

    Args:
        words: The verb and its arguments.
    """
    if not words or words[0] not in VERBS or OF_STEPS & os.environ.keys():
        return None
    if words[0] == "lock" and "--check" not in words:
        return None  # an index is asked
    try:
        facts = [
            *(__version__, sys.version, sys.executable, os.getuid(), os.getcwd()),  # noqa: PTH109
            # A deprecation is announced from a date on.
            *(time.strftime("%Y-%m-%d"), list(words)),
            [one.isatty() and os.get_terminal_size(one.fileno()) for one in _streams()],
            sorted(item for item in os.environ.items() if item[0] not in PASSING),
            [_code(OWN), [_stat(one)[3:] for one in sys.path]],
        ]
    except (OSError, ValueError, AttributeError):
        # The working directory is gone, or a stream is closed.
        return None
    key = hashlib.sha256(json.dumps(facts).encode()).hexdigest()
    return cache.cache_root() / SECTION / f"{key}.json"


def told(path: Path) -> bool:
    """Print what the same run printed before, if it would do so again.

    Args:
        path: Where its record is.
    """
    try:
        record = json.loads(path.read_bytes())
        if record["format"] != FORMAT or stats(record["files"]) != record["files"]:
            return False
        printed = [(_streams()[stream], str(text)) for stream, text in record["said"]]
    except (OSError, ValueError, KeyError, TypeError, IndexError, AttributeError):
        return False
    try:
        for stream, text in printed:
            stream.write(text)
            stream.flush()
    except BrokenPipeError:
        # The reader of a pipe went away (`... | head`): nothing is wrong on this side.
        sys.stderr.close()
    except OSError:
        return False  # the run itself says best what is wrong, such as a full disk
    return True


def watched(path: Path, run: Callable[[], int]) -> int:
    """Run a verb, and keep what it printed if it allows that.

    Args:
        path: Where its record goes.
        run: What runs it and returns the exit code.
    """
    global _watch  # noqa: PLW0603 -- an audit hook has no other place to look, and stays for good
    started, kept = time.time_ns(), _Watch()
    _watch = kept
    sys.addaudithook(_heard)
    streams = _streams()
    sys.stdout, sys.stderr = (_Tee(one, n, kept.printed) for n, one in enumerate(streams))
    try:
        code = run()
    finally:
        sys.stdout, sys.stderr = streams
        _watch = None
    if code == 0 and kept.root is not None and not kept.refused:
        with contextlib.suppress(OSError):
            _keep(path, kept, kept.root, started)
    return code


def _streams() -> tuple[TextIO, TextIO]:
    return sys.stdout, sys.stderr


def _heard(event: str, args: tuple[Any, ...]) -> None:
    """Take note of a file that is opened to be read, and of a folder that is listed."""
    if _watch is None:
        return
    if event == "open":
        path, mode, flags = args
        if (isinstance(mode, str) and mode[:1] != "r") or (flags or 0) & (os.O_WRONLY | os.O_RDWR):
            return
    elif event in ("os.scandir", "os.listdir"):
        path = args[0]
    else:
        return
    if isinstance(path, (str, os.PathLike)):
        _watch.opened.add(os.path.abspath(path))  # noqa: PTH100 -- no stat here


class _Tee:
    """A text stream that keeps what passes through it."""

    def __init__(self, stream: TextIO, number: int, kept: list[tuple[int, str]]) -> None:
        self._stream, self._number, self._kept = stream, number, kept

    def write(self, text: str) -> int:
        """Write a text and keep it."""
        self._kept.append((self._number, text))
        return self._stream.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _code(folder: Path | str) -> list[tuple[str, int, int]]:
    """Return names, sizes and times of the tool's own files, in the order of their folders."""
    found, below = [], []
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir():
                if entry.name != "__pycache__":
                    below.append(entry.path)
            else:
                stat = entry.stat()
                found.append((entry.name, stat.st_size, stat.st_mtime_ns))
    return [*sorted(found), *(one for path in sorted(below) for one in _code(path))]


def stats(paths: Iterable[str]) -> dict[str, list[int]]:
    """Return paths with what tells whether each is as it was; empty for what is not there."""
    return {path: _stat(path) for path in paths}


def _stat(path: str) -> list[int]:
    try:
        stat = os.stat(path)  # noqa: PTH116 -- thousands of times
    except (OSError, ValueError):
        return []
    return [stat.st_ino, stat.st_mode, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns]


def _keep(path: Path, kept: _Watch, root: str, started: int) -> None:
    """Write the record, unless something changed since shortly before the run began."""
    if sum(len(text) for _, text in kept.printed) > LARGEST:
        return
    known = stats(_looked_at(kept, root))
    if any(max(stat[3:], default=0) > started - SETTLED for stat in known.values()):
        return
    record = {"format": FORMAT, "files": known, "said": _joined(kept.printed)}
    cache.write_text(cache.section(SECTION) / path.name, json.dumps(record))
    records = sorted(path.parent.glob("*.json"), key=lambda one: one.stat().st_mtime_ns)
    for old in records[:-KEPT]:
        old.unlink(missing_ok=True)


def _looked_at(kept: _Watch, root: str) -> set[str]:
    """Return the paths to compare, with folders of files; the key of the record covers the code."""
    code = [str(OWN), os.path.dirname(os.__file__), "/proc", "/sys", "/dev"]  # noqa: PTH120
    code += [one for one in sys.path if os.path.basename(one).endswith("-packages")]  # noqa: PTH119
    code += [sys.pycache_prefix] if sys.pycache_prefix else []
    without = tuple(f"{one}{os.sep}" for one in code)
    opened = {path for path in kept.opened if not path.startswith(without) and CACHED not in path}
    inside = {path for path in opened if path.startswith(f"{root}{os.sep}")}
    return opened | kept.asked | {os.path.dirname(path) for path in inside}  # noqa: PTH120


def _joined(printed: list[tuple[int, str]]) -> list[tuple[int, str]]:
    """Return what was printed with neighbours of one stream in one piece."""
    found: list[tuple[int, str]] = []
    for stream, text in printed:
        if found and found[-1][0] == stream:
            found[-1] = (stream, found[-1][1] + text)
        else:
            found.append((stream, text))
    return found

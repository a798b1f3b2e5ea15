from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

BUILD = Path(__file__).parents[2] / "build"
PARENT = """
import sys
from concurrent.futures import ThreadPoolExecutor
from layersmith import cli, console, process

def dispatch(argv):
    console.set_volume(verbose="-v" in argv)
    def work(name):
        with process.labelled(name):
            process.run([sys.executable, "-u", "-c", argv[0]])
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(work, ["one", "two"]))
    return 0

process.GRACE = 0.5
cli._dispatch = dispatch
raise SystemExit(cli.main(sys.argv[1:]))
"""
STUBBORN = """
import os, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
os.fork()
with open("pids", "a") as file:
    print(os.getpid(), file=file)
time.sleep(120)
"""


def start(folder: Path, *argv: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", PARENT, *argv],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(BUILD)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_ctrl_c_ends_children_that_refuse_and_what_they_started(tmp_path: Path) -> None:
    parent = start(tmp_path, STUBBORN)
    pids: list[int] = []
    deadline = time.monotonic() + 60
    while len(pids) < 4 and time.monotonic() < deadline:
        time.sleep(0.05)
        if (tmp_path / "pids").exists():
            pids = [int(line) for line in (tmp_path / "pids").read_text().split()]
    assert len(pids) == 4
    parent.send_signal(signal.SIGINT)
    _, said = parent.communicate(timeout=60)
    assert parent.returncode == 130
    assert "interrupted" in said
    assert "Traceback" not in said
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            _still_runs(pid)


def _still_runs(pid: int) -> None:
    """Raise ProcessLookupError once a process is gone; a zombie that init has to reap is gone."""
    stat = Path(f"/proc/{pid}/stat")
    if not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] == "Z":
        raise ProcessLookupError(pid)


def test_verbose_repeats_lines_behind_the_target(tmp_path: Path) -> None:
    code = "import sys; print('out'); print('err', file=sys.stderr)"
    loud, silent = start(tmp_path, code, "-v"), start(tmp_path, code)
    _, said = loud.communicate(timeout=60)
    assert sorted(said.split("\n")[:-1]) == ["one: err", "one: out", "two: err", "two: out"]
    assert silent.communicate(timeout=60) == ("", "")
    assert (loud.returncode, silent.returncode) == (0, 0)

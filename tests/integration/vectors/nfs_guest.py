"""The first and only service of a virtual machine: it runs what the host sends over a serial port.

Each line is a JSON object, and so is each answer. Nothing of the project is imported here; the
machine's Python 3.11 runs it as process 1, so that its end stops the machine.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

_children: dict[int, subprocess.Popen[str]] = {}


def run(argv: list[str], env: dict[str, str], limit: float) -> dict[str, Any]:
    """Run a program to its end."""
    done = subprocess.run(
        argv,
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        timeout=limit,
        check=False,
    )
    return {"code": done.returncode, "out": done.stdout, "err": done.stderr}


def start(argv: list[str], env: dict[str, str]) -> dict[str, Any]:
    """Leave a program running; its output goes to a file named for its process id."""
    with Path("/tmp/started").open("w") as output:
        child = subprocess.Popen(
            argv, env={**os.environ, **env}, stdout=output, stderr=output, text=True
        )
    Path("/tmp/started").rename(f"/tmp/output-{child.pid}")
    _children[child.pid] = child
    return {"pid": child.pid}


def look(pid: int) -> dict[str, Any]:
    """What a started program has written, and its exit code if it has ended."""
    return {"out": Path(f"/tmp/output-{pid}").read_text(), "code": _children[pid].poll()}


def kill(pid: int, number: int) -> dict[str, Any]:
    """Send a signal to a started program and, if it is SIGKILL, wait for its end."""
    _children[pid].send_signal(number)
    if number == 9:
        _children[pid].wait(60)
    return {}


def end() -> dict[str, Any]:
    """Kill every program that was started and still runs."""
    for child in _children.values():
        child.kill()
    for child in _children.values():
        child.wait(60)
    return {}


def clock() -> dict[str, Any]:
    return {"time": time.time()}


COMMANDS = {"run": run, "start": start, "look": look, "kill": kill, "end": end, "clock": clock}


def answer(line: str) -> dict[str, Any]:
    try:
        request = json.loads(line)
        return COMMANDS[request.pop("command")](**request)  # type: ignore[operator,no-any-return]
    except Exception as error:  # the host is to see it, whatever it is
        return {"failed": f"{type(error).__name__}: {error}"}


def main(port: str) -> None:
    with Path(port).open("r+b", buffering=0) as raw, os.fdopen(os.dup(raw.fileno())) as lines:
        raw.write(b'{"ready": true}\n')
        raw.writelines(json.dumps(answer(line)).encode() + b"\n" for line in lines)


if __name__ == "__main__":
    main(sys.argv[1])

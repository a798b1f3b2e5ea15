"""Runs the command line in processes of its own, and kills one after a given AWS call.

Reads one JSON object a line: ``argv``, and ``kill_after``, the number of the answer on whose
arrival the process kills itself (SIGKILL): AWS did what was asked, and the process never learned.
Answers with one JSON object a line: the exit ``code``, negative for a signal, what was said, and
the most memory it held, and the seconds of processor that it took.
The processes are forks of this one, which has loaded everything, so that a thousand runs are
bearable.
"""

from __future__ import annotations

import itertools
import json
import os
import signal
import sys
import tempfile
import traceback
from pathlib import Path
from typing import Any

import boto3
import botocore.loaders
import layersmith.ship.publish.apply
import layersmith.verbs.publish  # noqa: F401 -- loaded before the forks
from botocore.httpsession import URLLib3Session
from layersmith import cli
from layersmith.ship.aws import regions


def arm(kill_after: int) -> None:
    """Kill this process when the n-th answer has arrived, before anybody reads it."""
    send, count = URLLib3Session.send, itertools.count(1)

    def sending(session: Any, request: Any) -> Any:
        answer = send(session, request)
        if next(count) == kill_after:
            os.kill(os.getpid(), signal.SIGKILL)
        return answer

    URLLib3Session.send = sending  # type: ignore[method-assign,assignment]


def warm_up() -> None:
    """Parse AWS's service models once, before the forks, in place of once a run."""
    shared = botocore.loaders.create_loader()
    botocore.loaders.create_loader = lambda *_: shared
    for service in ("lambda", "s3", "ssm", "sts"):
        boto3.Session().client(service, region_name="eu-west-1")
    regions.partition_of("eu-west-1")


def child(order: dict[str, Any], out: str, err: str) -> None:
    os.dup2(os.open(out, os.O_WRONLY), 1)
    os.dup2(os.open(err, os.O_WRONLY), 2)
    if order.get("kill_after"):
        arm(int(order["kill_after"]))
    code = 1
    try:
        code = cli.main(order["argv"])
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def main() -> None:
    warm_up()
    with tempfile.TemporaryDirectory() as folder:
        out, err = Path(folder, "out"), Path(folder, "err")
        for line in sys.stdin:
            out.write_bytes(b"")
            err.write_bytes(b"")
            pid = os.fork()
            if pid == 0:
                child(json.loads(line), str(out), str(err))
            _, status, used = os.wait4(pid, 0)
            answer = {
                "code": os.waitstatus_to_exitcode(status),
                "out": out.read_text(encoding="utf-8"),
                "err": err.read_text(encoding="utf-8"),
                "peak_kib": used.ru_maxrss,
                "cpu": used.ru_utime + used.ru_stime,
            }
            print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()

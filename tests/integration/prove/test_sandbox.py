"""A function in Docker finds what it would find on Lambda, and nothing more."""

from __future__ import annotations

import zipfile
from typing import TYPE_CHECKING

import pytest

from tests.support import zips

if TYPE_CHECKING:
    from pathlib import Path

    from layersmith.prove.runners import Runner

    from .conftest import MakeFunction

pytestmark = pytest.mark.docker

LOOK = """
    import os, platform, socket, sys

    def attempt(what):
        try:
            return what() or "done"
        except OSError as problem:
            return problem.strerror or type(problem).__name__

    def write(path):
        with open(path, "wb") as stream:
            stream.write(b"x")

    def connect(address):
        with socket.create_connection(address, timeout=3):
            pass

    def status(field):
        return next(l.split()[1] for l in open("/proc/self/status") if l.startswith(field))

    def handler(event, context):
        return {
            "machine": platform.machine(),
            "python": list(sys.version_info[:2]),
            "uid": os.getuid(),
            "capabilities": status("CapEff"),
            "new privileges": status("NoNewPrivs"),
            "opt": attempt(lambda: write("/opt/python/new.py")),
            "task": attempt(lambda: write("/var/task/new.py")),
            "root": attempt(lambda: write("/new")),
            "tmp": attempt(lambda: write("/tmp/new")),
            "tmp size": os.statvfs("/tmp").f_blocks * os.statvfs("/tmp").f_frsize,
            "shared memory": os.path.ismount("/dev/shm"),
            "outside": attempt(lambda: connect(("192.0.2.1", 80))),
            "layer": __import__("from_the_layer").VALUE,
            "path": [p for p in sys.path if p.startswith(("/opt", "/var"))],
        }
"""


@pytest.fixture(scope="module")
def layer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("layer") / "layer.zip"
    return zips.write(path, {"python/from_the_layer.py": "VALUE = 7\n"})


def test_what_a_function_sees(engine: Runner, function: MakeFunction, layer: Path) -> None:
    with engine.start(function(LOOK, layers=(layer,))) as running:
        answer = running.invoke({})
    assert answer.error is None
    found = answer.payload
    assert found["machine"] == "aarch64"
    assert found["python"] == [3, 13]
    assert found["uid"] == 993
    assert found["capabilities"] == "0" * 16
    assert found["new privileges"] == "1"
    assert found["opt"] == "Read-only file system"
    assert found["task"] == "Read-only file system"
    assert found["root"] == "Read-only file system"
    assert found["tmp"] == "done"
    assert found["tmp size"] == 512 * 1024 * 1024
    assert found["shared memory"] is False
    assert found["outside"] != "done"
    assert found["layer"] == 7
    assert list(dict.fromkeys(found["path"])) == [
        "/var/task",
        "/opt/python/lib/python3.13/site-packages",
        "/opt/python",
        "/var/runtime",
    ]


def test_what_only_its_owner_may_read_is_not_readable_on_lambda(
    engine: Runner, function: MakeFunction, tmp_path: Path
) -> None:
    with zipfile.ZipFile(tmp_path / "layer.zip", "w") as archive:
        # zipfile's own default is 0600, as a careless packaging script leaves it.
        archive.writestr("python/from_the_layer.py", "VALUE = 7\n")
    spec = function("import from_the_layer", layers=(tmp_path / "layer.zip",))
    with engine.start(spec) as running:
        assert running.init.error is not None
        assert running.init.error.type == "PermissionError"


def test_more_memory_than_there_is(engine: Runner, function: MakeFunction) -> None:
    source = "def handler(event, context):\n    return len(bytearray(b'x') * event['bytes'])"
    allowance = engine.emulation.memory_allowance
    with engine.start(function(source, memory=128)) as running:
        assert running.invoke({"bytes": 1_000_000}).payload == 1_000_000
        answer = running.invoke({"bytes": 200 * 1024 * 1024 + allowance})
    assert answer.error is not None
    assert answer.error.type == "Runtime.OutOfMemory"
    assert "more than its 128 MB" in answer.error.message


def test_the_report_says_what_ran(engine: Runner) -> None:
    facts = engine.facts
    assert facts.kind == "docker"
    assert not facts.twin
    assert facts.image is not None
    assert facts.image_id is not None
    assert facts.image_id.startswith("sha256:")
    assert (facts.emulator is None) == engine.emulation.native

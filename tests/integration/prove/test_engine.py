"""Engines and images that cannot do it say why, and nothing is ever left behind."""

from __future__ import annotations

import dataclasses
import os
import shutil
import signal
import subprocess
import sys
import textwrap
from typing import TYPE_CHECKING

import docker
import pytest
from layersmith import cache
from layersmith.base import runtimes
from layersmith.engine.client import OWNER_LABEL, RUN_LABEL, Engine
from layersmith.errors import ProofError
from layersmith.prove import base_images
from layersmith.prove.runners.docker import DockerRunner

from tests.support import clocks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from .conftest import MakeFunction

PYTHON = runtimes.get("python3.13")
RISCV = b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x02\x00\xf3\x00" + bytes(44)
"""An ELF header for a machine that nothing here runs or emulates (EM_RISCV)."""

SLEEPER = """
    import sys, time
    from pathlib import Path
    from layersmith import cache
    from layersmith.base import runtimes
    from layersmith.prove.runners.docker import DockerRunner
    from layersmith.prove.models import FunctionSpec

    with DockerRunner(runtimes.get("python3.13")) as runner:
        print(runner.run, flush=True)
        with runner.start(FunctionSpec("handler.handler", Path(sys.argv[1]))) as instance:
            print("started", flush=True)
            instance.invoke({})
"""


def test_no_engine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    with pytest.raises(ProofError, match="no Docker engine answers") as raised:
        DockerRunner(PYTHON)
    assert raised.value.exit_code == 8
    assert "--runner host" in str(raised.value)


@pytest.mark.docker
class TestImages:
    def start(self, image: str, function: MakeFunction) -> ProofError:
        spec = function("def handler(event, context): ...")
        with (
            DockerRunner(PYTHON, image=image) as runner,
            pytest.raises(ProofError) as raised,
            runner.start(spec),
        ):
            pytest.fail("it started")
        return raised.value

    def test_without_an_entry_point(self, load: Callable[..., str], function: MakeFunction) -> None:
        image = load({"etc/motd": b"nothing here"})
        error = self.start(image, function)
        assert f"{image} has no /lambda-entrypoint.sh" in error.message

    def test_without_python(self, load: Callable[..., str], function: MakeFunction) -> None:
        script = b"#!/var/lang/bin/python3.13\nprint('never')\n"
        error = self.start(load({"lambda-entrypoint.sh": script}), function)
        assert "not the interpreter that it names" in error.message
        assert "nox -s image" in str(error.hint)

    def test_without_a_handler_for_its_machine(
        self, load: Callable[..., str], function: MakeFunction
    ) -> None:
        error = self.start(load({"lambda-entrypoint.sh": RISCV, "bin/sh": RISCV}), function)
        assert "cannot run programs of" in error.message
        assert "no QEMU is registered" in str(error.cause)

    def test_for_another_platform(self, load: Callable[..., str], function: MakeFunction) -> None:
        image = load({"lambda-entrypoint.sh": b"#!/bin/sh\n"}, "x86_64")
        error = self.start(image, function)
        assert "refuses to run" in error.message

    def test_that_nobody_has(self) -> None:
        with pytest.raises(ProofError, match="could not be fetched"):
            DockerRunner(PYTHON, image="127.0.0.1:9/none/of-this-name:1")

    def test_named_by_the_environment(
        self, load: Callable[..., str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv(base_images.VARIABLE, load({"lambda-entrypoint.sh": b"#!/bin/sh\n"}))
        choice = base_images.choose(Engine("tests"), PYTHON, "arm64")
        assert choice.kind == "named"
        assert choice.facts.architecture == "arm64"

    def test_a_runtime_without_any_image(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv(base_images.VARIABLE, raising=False)
        nowhere = dataclasses.replace(runtimes.get("python3.10"), image="127.0.0.1:9/python:3.10")
        with pytest.raises(ProofError, match=r"no image for python3\.10 on arm64") as raised:
            base_images.choose(Engine("tests"), nowhere, "arm64")
        hint = str(raised.value.hint)
        assert "--image 127.0.0.1:9/python:3.10-arm64" in hint
        assert "LAYERSMITH_IMAGE: 127.0.0.1:9/python:3.10-arm64" in hint
        assert "--runner host" in hint
        # No release of Debian has this Python: a stand-in would be the next error.
        assert "nox -s image" not in hint

    @pytest.mark.skipif(
        shutil.which("mmdebstrap") is None and bool(os.environ.get(base_images.VARIABLE)),
        reason="an image is named, and without mmdebstrap no stand-in can be made",
    )
    def test_the_stand_in_is_made_once(self) -> None:
        base_images.ensure_standin(Engine("tests"), PYTHON, "arm64")
        _, new = base_images.ensure_standin(Engine("tests"), PYTHON, "arm64")
        assert not new


@pytest.mark.docker
class TestNothingIsLeft:
    @pytest.fixture
    def sleeper(self, tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
        """A process in the middle of an invocation, and the name of its run."""
        (tmp_path / "handler.py").write_text(
            "import time\n\ndef handler(event, context):\n    time.sleep(600)\n"
        )
        process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(SLEEPER), str(tmp_path)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": "build"},
        )
        assert process.stdout is not None
        run = process.stdout.readline().strip()
        assert process.stdout.readline().strip() == "started"
        assert len(left_of(run)) == 2
        yield process, run
        process.kill()
        process.wait()
        Engine(run).sweep()

    @pytest.mark.usefixtures("interruptible")
    def test_after_ctrl_c(self, sleeper: tuple[subprocess.Popen[str], str]) -> None:
        process, run = sleeper
        process.send_signal(signal.SIGINT)
        process.wait(timeout=clocks.seconds(60))
        assert left_of(run) == []

    def test_after_kill_the_next_run_cleans_up(
        self, sleeper: tuple[subprocess.Popen[str], str]
    ) -> None:
        process, run = sleeper
        process.kill()
        process.wait()
        assert len(left_of(run)) == 2
        with DockerRunner(PYTHON):
            assert left_of(run) == []
            folders = cache.section("images").iterdir()
            assert not [one for one in folders if f":{process.pid}:" in one.name]

    def test_after_an_error_in_the_block(self, function: MakeFunction) -> None:
        run = ""
        with pytest.raises(ZeroDivisionError), DockerRunner(PYTHON) as runner:
            run = runner.run
            runner.start(function("def handler(event, context): ..."))
            assert len(left_of(run)) == 2
            raise ZeroDivisionError
        assert left_of(run) == []

    def test_others_are_left_alone(self) -> None:
        client = docker.from_env()
        network = client.networks.create(
            "layersmith-somebody-else", labels={RUN_LABEL: "x", OWNER_LABEL: "another-host:1:1"}
        )
        try:
            with DockerRunner(PYTHON):
                network.reload()
        finally:
            network.remove()


def left_of(run: str) -> list[str]:
    """Return the containers and networks of a run."""
    client = docker.from_env()
    filters: dict[str, str | list[str] | bool] = {"label": f"{RUN_LABEL}={run}"}
    containers = client.containers.list(all=True, filters=filters, ignore_removed=True)
    return [str(one.id) for one in [*containers, *client.networks.list(filters=filters)]]

"""What the container build is told, without an engine."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from layersmith import process
from layersmith.base import runtimes, uv
from layersmith.crossbuild import container
from layersmith.crossbuild.sdist import CrossBuildJob, CrossBuildOptions, Project
from layersmith.engine.client import Engine, arguments
from layersmith.engine.models import ContainerSpec, EngineFacts, Exit, ImageFacts
from layersmith.errors import BuildError, NotInstalledError

RUNTIME = runtimes.get("python3.13")


def test_the_image_is_awss_own_unless_one_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(container.IMAGE_VARIABLE, raising=False)
    assert container.image(RUNTIME, "arm64") == "public.ecr.aws/sam/build-python3.13:latest-arm64"

    monkeypatch.setenv(container.IMAGE_VARIABLE, "mine:1")
    assert container.image(RUNTIME, "arm64") == "mine:1"


def test_scripts_of_the_host_start_the_containers_python(tmp_path: Path) -> None:
    script, program = tmp_path / "cython", tmp_path / "ninja"
    script.write_bytes(b"#!/home/me/.venv/bin/python\nimport x\n")
    program.write_bytes(b"\x7fELF\n#!python")

    container._portable(script, RUNTIME)
    container._portable(program, RUNTIME)

    assert script.read_bytes() == b"#!/usr/bin/env python3.13\nimport x\n"
    assert program.read_bytes() == b"\x7fELF\n#!python"


@pytest.mark.parametrize(
    ("module", "key"),
    [
        ("mesonpy", "setup-args"),
        ("scikit_build_core.build", "cmake.args"),
        ("setuptools.build_meta", "--build-option"),
    ],
)
def test_options_reach_the_backend_through_pip(module: str, key: str) -> None:
    project = Project("thing", "1.0", module, (), ())
    options = CrossBuildOptions(("-Da=1",), {"x": "y"})

    assert container._settings(project, options) == ["-C", f"{key}=-Da=1", "-C", "x=y"]


PROJECT = Project("thing", "1.0", "setuptools.build_meta", ("cython",), ())
JOB = CrossBuildJob(Path("thing.tar.gz"), "0", PROJECT, RUNTIME, "arm64", CrossBuildOptions())
IMAGE = ImageFacts("mine:1", "sha256:0123", None, "arm64", {})


class Answering(Engine):
    """An engine that answers what the test says."""

    def __init__(self, ended: Exit | None, said: str = "") -> None:
        self.run = "test"
        self.facts = EngineFacts("1", "arm64", "linux")
        self.ended, self.said = ended, said
        self.specs: list[ContainerSpec] = []

    def run_to_end(self, spec: ContainerSpec, repeat: object = None) -> tuple[Exit | None, str]:
        self.specs.append(spec)
        return self.ended, self.said


def test_a_build_has_no_network_and_no_limits_of_lambda(tmp_path: Path) -> None:
    engine = Answering(Exit(0))
    container._run(JOB, engine, IMAGE, tmp_path)

    told = arguments(engine.specs[0], {"a": "b"})

    assert told["network_mode"] == "none"
    assert told["platform"] == "linux/arm64"
    assert (told["image"], told["entrypoint"]) == ("sha256:0123", ["/bin/sh"])
    assert told["command"][:4] == ["-c", container.BUILD, "build", "python3.13"]
    assert told["user"] == f"{os.getuid()}:{os.getgid()}"
    assert told["labels"] == {"a": "b"}
    assert {mount["Target"]: mount["ReadOnly"] for mount in told["mounts"]} == {
        "/in": True,
        "/requirements": True,
        "/out": False,
        "/tmp": False,
    }
    limits = {"read_only", "tmpfs", "mem_limit", "memswap_limit", "pids_limit", "ulimits"}
    assert not limits & told.keys()
    assert engine.specs[0].longest == container.TIMEOUT


@pytest.mark.parametrize(
    ("ended", "cause"),
    [
        (Exit(1), "its build reported an error, shown above"),
        (Exit(-1), "its build reported an error, shown above"),
        (None, "it was not done after 4 hours"),
    ],
)
def test_a_build_that_does_not_end_well(tmp_path: Path, ended: Exit | None, cause: str) -> None:
    with pytest.raises(BuildError, match=r"thing 1\.0 does not build in mine:1") as raised:
        container._run(JOB, Answering(ended, "no such header\n"), IMAGE, tmp_path)
    assert raised.value.message.endswith(":\nno such header")
    assert raised.value.cause == cause


def test_requirements_that_do_not_install_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise process.CommandFailed(process.Completed(("uv",), 1, "", "no wheel of cython"))

    monkeypatch.setattr(uv, "install_wheels", fail)
    with pytest.raises(BuildError, match="could not install the build requirements of thing"):
        container._requirements(JOB, tmp_path)


def test_without_the_extra_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "layersmith.engine.client", None)
    with (
        pytest.raises(NotInstalledError, match="needs the package docker") as raised,
        container._answering(),
    ):
        pytest.fail("it answered")
    assert "doctor" in str(raised.value.hint)


def test_locked_requirements_take_the_place_of_the_newest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[object] = []
    monkeypatch.setattr(uv, "install_wheels", lambda _folder, wanted, **_: asked.extend(wanted))
    pins = ("cython==3.2 --hash=sha256:aa",)
    assert container._requirements(replace(JOB, pins=pins), tmp_path) == []
    assert asked == [*pins]

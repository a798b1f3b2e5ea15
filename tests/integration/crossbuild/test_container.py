"""Wheels built in a container of the target's architecture, by a real engine."""

from __future__ import annotations

import io
import tarfile
import threading
import zipfile
from typing import TYPE_CHECKING, Any

import docker
import pytest
from layersmith import console, process
from layersmith.base import runtimes
from layersmith.crossbuild import container, wheels
from layersmith.crossbuild.sdist import CrossBuildOptions
from layersmith.engine.client import OWNER_LABEL, Engine
from layersmith.engine.models import ContainerSpec
from layersmith.errors import BuildError
from layersmith.prove import base_images

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from layersmith.crossbuild.finished import BuiltWheel

RUNTIME = runtimes.get("python3.13")
SETUP = """\
import os, platform
from setuptools import setup
print("compiling for", platform.machine())
assert os.environ["SOURCE_DATE_EPOCH"] == "315532800"
open("thing.py", "w").write(f"machine = {platform.machine()!r}")
setup(py_modules=["thing"])
"""


@pytest.fixture
def image(monkeypatch: pytest.MonkeyPatch) -> str:
    """The image of the proofs; it has a Python, which is all that a pure package needs."""
    name = base_images.choose(Engine("tests"), RUNTIME, "arm64").facts.name
    monkeypatch.setenv(container.IMAGE_VARIABLE, name)
    return name


PROJECT = '[project]\nname = "thing"\nversion = "1.0"\n'


@pytest.fixture
def build(tmp_path: Path) -> Callable[[str], BuiltWheel]:
    """Build an sdist with a setup.py; called again, it finds the same sdist."""

    def run(setup: str) -> BuiltWheel:
        path = tmp_path / "thing-1.0.tar.gz"
        if not path.exists():
            with tarfile.open(path, "w:gz") as tar:
                for name, text in (("setup.py", setup), ("pyproject.toml", PROJECT)):
                    info = tarfile.TarInfo(f"thing-1.0/{name}")
                    info.size = len(text)
                    tar.addfile(info, io.BytesIO(text.encode()))
        options = CrossBuildOptions(container=True)
        return wheels.build_wheel(
            path, runtime=RUNTIME, architecture="arm64", options=options, work_cache=tmp_path
        )

    return run


def ours() -> list[Any]:
    """The containers of this process that are still there."""
    label = Engine("tests")._labels[OWNER_LABEL]
    found: list[Any] = docker.from_env().containers.list(
        all=True, filters={"label": f"{OWNER_LABEL}={label}"}
    )
    return found


@pytest.mark.docker
@pytest.mark.slow
def test_a_wheel_is_built_there_once_and_nothing_is_left(
    build: Callable[[str], BuiltWheel], image: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines: list[str] = []
    monkeypatch.setattr(console, "is_verbose", lambda: True)
    monkeypatch.setattr(console, "child", lines.append)

    built = build(SETUP)

    with zipfile.ZipFile(built.path) as wheel:
        assert wheel.read("thing.py") == b"machine = 'aarch64'"
    assert built.record["image"]["name"] == image
    assert any(line.startswith("pip==") for line in built.record["build_requirements"])
    assert ours() == []
    assert "thing 1.0: Successfully built thing" in lines

    def never(*_: Any, **__: Any) -> None:
        pytest.fail("it was built again")

    monkeypatch.setattr(Engine, "start", never)
    assert build(SETUP) == built


@pytest.mark.docker
@pytest.mark.slow
@pytest.mark.usefixtures("image")
def test_a_build_that_fails_says_what_it_said(build: Callable[[str], BuiltWheel]) -> None:
    with pytest.raises(BuildError, match="no such header") as raised:
        build("raise SystemExit('no such header')")
    assert "thing 1.0 does not build in" in raised.value.message
    assert container.IMAGE_VARIABLE in str(raised.value.hint)
    assert ours() == []


def sleeping(image: str, longest: float) -> ContainerSpec:
    return ContainerSpec(
        image=image,
        called=image,
        entrypoint=["/bin/sh"],
        command=["-c", "echo begun; exec sleep 600"],
        environment={},
        mounts={},
        network=None,
        uid=0,
        gid=0,
        longest=longest,
    )


@pytest.mark.docker
def test_a_build_that_takes_too_long_is_ended(image: str) -> None:
    ended, _ = Engine("tests").run_to_end(sleeping(image, longest=1))
    assert ended is None
    assert ours() == []


@pytest.mark.docker
def test_ctrl_c_ends_a_build_in_any_thread(image: str, monkeypatch: pytest.MonkeyPatch) -> None:
    begun = threading.Event()
    monkeypatch.setattr(process, "was_interrupted", begun.is_set)
    with pytest.raises(KeyboardInterrupt):
        Engine("tests").run_to_end(sleeping(image, longest=300), lambda line: begun.set())
    assert ours() == []


@pytest.mark.docker
def test_an_image_that_is_nowhere(
    build: Callable[[str], BuiltWheel], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(container.IMAGE_VARIABLE, "127.0.0.1:1/none:1")
    with pytest.raises(BuildError, match=r"could not pull image 127\.0\.0\.1:1/none:1") as raised:
        build(SETUP)
    assert raised.value.exit_code == 5
    assert raised.value.cause


def test_no_engine(
    build: Callable[[str], BuiltWheel], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    with pytest.raises(BuildError, match="no Docker engine answers") as raised:
        build(SETUP)
    assert "--runner" not in str(raised.value)

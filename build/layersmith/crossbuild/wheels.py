"""Makes the wheel of an sdist: in the isolated environment of the host, or in a container."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from layersmith import console
from layersmith.base import architectures
from layersmith.crossbuild import backend, container, finished, isolated, sdist, toolchain
from layersmith.crossbuild.sdist import CrossBuildJob

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from layersmith.base.runtimes import Runtime
    from layersmith.crossbuild.finished import BuiltWheel
    from layersmith.crossbuild.isolated import Host
    from layersmith.crossbuild.sdist import CrossBuildOptions
    from layersmith.crossbuild.toolchain import Zig

FORMAT = 2
"""Counts changes of how wheels are built that their other inputs do not show."""


def build_wheel(
    sdist_path: Path,
    *,
    runtime: Runtime,
    architecture: str,
    options: CrossBuildOptions,
    work_cache: Path,
    requirements: Sequence[str] | None = None,
) -> BuiltWheel:
    """Return the wheel of an sdist for a Lambda runtime, built once and then cached.

    The same sdist, options, compiler, Python and build requirements give the same bytes on any
    machine.

    Args:
        sdist_path: The sdist, already checked against its hash.
        runtime: The Lambda runtime.
        architecture: ``arm64`` or ``x86_64``.
        options: How it is built.
        work_cache: Folder for finished wheels and for the compiler's own cache.
        requirements: Build requirements as ``name==version``, with or without hashes, as the lock
            has them. Without them the newest that fit are taken.

    Raises:
        BuildError: It is a Rust project, a tool is missing, or the build fails; what was built
            for another machine or a newer glibc is refused, too.
    """
    job = CrossBuildJob.of(sdist_path, runtime, architecture, options, requirements)
    if options.container:
        return container.build_wheel(job, work_cache)
    job.project.refuse_rust(architecture)
    plan = _Plan(job, toolchain.find_zig(), isolated.host(runtime))
    folder = work_cache / "wheels" / plan.key
    return finished.read(folder) or _build(plan, folder, work_cache)


@dataclass(frozen=True)
class _Plan:
    """A job and the tools for it: all that decides the bytes of the wheel."""

    job: CrossBuildJob
    compiler: Zig
    host: Host

    @property
    def triple(self) -> str:
        return toolchain.triple(self.job.runtime, self.job.architecture)

    @property
    def inputs(self) -> dict[str, Any]:
        return {
            **self.job.inputs,
            "compiler": self.compiler.record,
            "python": self.host.version,
            "target": self.triple,
        }

    @property
    def folder(self) -> str:
        """Name of the folder to build in; its path can reach the wheel, so tools are left out."""
        return f"layersmith-{finished.key([self.job.inputs, self.triple])[:16]}"

    @property
    def key(self) -> str:
        flags = [toolchain.DROPPED, toolchain.COMPILE]
        return finished.key([FORMAT, flags, self.job.pins, self.inputs])


def _build(plan: _Plan, folder: Path, work_cache: Path) -> BuiltWheel:
    job = plan.job
    with isolated.scratch(plan.folder) as root:
        again = finished.read(folder)
        if again:  # another process built it while this one waited
            return again
        console.info(f"compiling {job.label} for {plan.triple}")
        built, installed, error = _run_backend(plan, root, work_cache)
        out = root / "finished"
        out.mkdir()
        path, glibc = finished.finish(built, out, job.runtime, job.architecture)
        record = {**plan.inputs, "build_requirements": installed}
        if not glibc and error:
            record["passed_over"] = error
        return finished.write(folder, path, record, glibc)


def _run_backend(plan: _Plan, root: Path, work_cache: Path) -> tuple[Path, list[str], str | None]:
    """Build in ``root``.

    Returns:
        The backend's wheel, what was installed for it, and a compiler's error that it passed over.
    """
    machine = architectures.get(plan.job.architecture).wheel
    tools = toolchain.Toolchain(root / "tools", plan.triple, machine, root / "include", root)
    tools.write(plan.compiler)
    isolated.headers(plan.host, machine, tools.include)
    virtualenv = isolated.Virtualenv(root / "venv")
    variables = toolchain.sysconfig_variables(plan.host.variables, machine, tools.tools)
    virtualenv.create(plan.host.program)
    virtualenv.tell(variables)
    virtualenv.install(plan.job.project.requires if plan.job.pins is None else plan.job.pins)
    (root / "source").mkdir()
    source = sdist.unpack(plan.job.sdist, root / "source")
    settings = backend.config_settings(plan.job.project, plan.job.options, tools)
    environment = backend.environment(
        tools, virtualenv, plan.job.options, toolchain.zig_environment(work_cache)
    )
    refused = functools.partial(backend.does_not_compile, plan.job.project)
    hooks = backend.Backend(plan.job.project, source, virtualenv, environment, refused)
    if plan.job.pins is None:
        virtualenv.install(hooks.requires(settings))
    built = hooks.build(root / "out", settings)
    return built, virtualenv.installed(), hooks.passed_over

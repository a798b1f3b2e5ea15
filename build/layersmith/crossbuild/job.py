"""What is asked for: one sdist, built for one runtime and architecture, with options."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from layersmith import cache
from layersmith.crossbuild import sdist

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from layersmith.base.runtimes import Runtime
    from layersmith.config.models import BuildOptions
    from layersmith.crossbuild.sdist import Project


@dataclass(frozen=True)
class CrossBuildJob:
    """One wheel to build.

    Attributes:
        sdist: Path of the sdist.
        sha256: Its SHA-256 in hex.
        project: What its pyproject.toml says.
        runtime: The Lambda runtime.
        architecture: ``arm64`` or ``x86_64``.
        options: How it is built.
        pins: Build requirements as the lock has them, as ``name==version`` and perhaps with
            hashes; None for the newest that fit.
    """

    sdist: Path
    sha256: str
    project: Project
    runtime: Runtime
    architecture: str
    options: CrossBuildOptions
    pins: tuple[str, ...] | None = None

    @classmethod
    def of(
        cls,
        path: Path,
        runtime: Runtime,
        architecture: str,
        options: CrossBuildOptions,
        pins: Sequence[str] | None = None,
    ) -> CrossBuildJob:
        """Read an sdist.

        Raises:
            BuildError: It is none.
        """
        project = sdist.read(path)
        sha256 = cache.sha256_file(path)
        kept = None if pins is None else tuple(pins)
        return cls(path, sha256, project, runtime, architecture, options, kept)

    @property
    def label(self) -> str:
        """Name and version, for messages."""
        return f"{self.project.name} {self.project.version}"

    @property
    def inputs(self) -> dict[str, Any]:
        """What decides the wheel, but for the tools; JSON values."""
        return {
            "name": self.project.name,
            "version": self.project.version,
            "sdist": {"filename": self.sdist.name, "sha256": self.sha256},
            "backend": self.project.kind,
            "options": self.options.record,
        }


@dataclass(frozen=True)
class CrossBuildOptions:
    """How an sdist is compiled.

    Attributes:
        setup_args: Arguments for the set-up of the backend: meson's for meson-python, CMake's for
            scikit-build-core, ``setup.py``'s global options for setuptools.
        config_settings: PEP 517 config settings, passed on as they are.
        environment: Variables that the build sees.
        container: Build in a container of the target's architecture rather than cross-compile.
    """

    setup_args: tuple[str, ...] = ()
    config_settings: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    container: bool = False

    @classmethod
    def of(
        cls, options: BuildOptions | None, environment: Mapping[str, str] | None = None
    ) -> CrossBuildOptions:
        """Return the options of layers.yaml; ``environment`` is the layer's own."""
        if options is None:
            return cls(environment=dict(environment or {}))
        return cls(
            tuple(options.setup_args),
            dict(options.config_settings),
            {**(environment or {}), **options.environment},
            options.container,
        )

    @property
    def record(self) -> dict[str, Any]:
        """The options as the lock and the manifest hold them: what differs from the defaults."""
        whole = {
            "setup_args": list(self.setup_args),
            "config_settings": dict(sorted(self.config_settings.items())),
            "environment": dict(sorted(self.environment.items())),
            "container": self.container,
        }
        return {name: value for name, value in whole.items() if value}

"""Builds wheels of local packages and of pure-Python sdists on the host.

The backend runs as for a cross-build: in a Python of the target's minor version, with the build
requirements that the lock names, in a folder whose path follows from the inputs. So the same
inputs give the same wheel everywhere, and the wheel is kept by what went into it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name, parse_wheel_filename

from layersmith import cache
from layersmith.crossbuild import backend, finished, folder, isolated, repository, sdist
from layersmith.errors import BuildError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from layersmith.base.runtimes import Runtime
    from layersmith.crossbuild.sdist import Project

FORMAT = 1
"""Counts changes of how wheels are built that their other inputs do not show."""

COMPILED = {".c", ".cc", ".cpp", ".cxx", ".f", ".f90", ".pyx", ".rs"}
"""Suffixes of sources that need a compiler."""


@dataclass(frozen=True)
class HostBuild:
    """A build on the host.

    Attributes:
        source: A local package's folder, or an sdist that was checked against its hash.
        runtime: The runtime whose minor version of Python builds.
        environment: Variables of layers.yaml for the build.
    """

    source: Path
    runtime: Runtime
    environment: Mapping[str, str]

    @cached_property
    def project(self) -> Project:
        """Its [build-system].

        Raises:
            BuildError: It has none that can be read.
        """
        is_folder = self.source.is_dir()
        return sdist.read_folder(self.source) if is_folder else sdist.read(self.source)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of its sources in hex.

        Raises:
            BuildError: They cannot be read.
        """
        is_folder = self.source.is_dir()
        return folder.digest(self.source) if is_folder else cache.sha256_file(self.source)

    @property
    def label(self) -> str:
        """What is built, for messages."""
        kind = "local package" if self.source.is_dir() else "sdist"
        return f"{kind} {self.source.name}"

    def requirements(self) -> list[str]:
        """Return the newest build requirements that fit, as ``name==version``, sorted.

        Raises:
            BuildError: They do not resolve, or the backend cannot say what it needs.
        """
        with isolated.scratch(self._folder(None)) as root:
            virtualenv, _ = self._prepared(root, None)
            return virtualenv.installed()

    def holds(self, pins: Sequence[str]) -> bool:
        """Whether the build requirements of an earlier lock still are what the backend needs."""
        with isolated.scratch(self._folder(pins)) as root:
            try:
                self._prepared(root, pins)
            except BuildError:
                return False
            return True

    def wheel(self, pins: Sequence[str] | None) -> Path:
        """Return the wheel, built once and then cached.

        Args:
            pins: Build requirements as the lock has them; None for the newest that fit.

        Raises:
            BuildError: The build fails, or its wheel is for one platform only.
        """
        kept = cache.section("built") / self._key(pins)
        if found := sorted(kept.glob("*.whl")):
            return found[0]
        with isolated.scratch(self._folder(pins)) as root:
            if found := sorted(kept.glob("*.whl")):  # built while this one waited
                return found[0]
            _, hooks = self._prepared(root, pins)
            wheel = finished.normal(self._pure(hooks.build(root / "out", {})), root)
            cache.write_bytes(kept / wheel.name, wheel.read_bytes())
            return kept / wheel.name

    def _key(self, pins: Sequence[str] | None) -> str:
        parts = [FORMAT, self.digest, dict(self.environment), self.runtime.minor, pins]
        return cache.sha256_bytes(json.dumps(parts, sort_keys=True).encode())

    def _folder(self, pins: Sequence[str] | None) -> str:
        """Name of the folder to build in, whose path can reach the wheel."""
        return f"layersmith-{self._key(pins)[:16]}"

    def _prepared(
        self, root: Path, pins: Sequence[str] | None
    ) -> tuple[isolated.Virtualenv, backend.Backend]:
        """Return an environment that holds what the build needs, and the backend in it."""
        virtualenv = isolated.Virtualenv(root / "venv")
        virtualenv.create(isolated.pure_interpreter(self.runtime))
        virtualenv.install(self.project.requires if pins is None else pins)
        variables = backend.same_everywhere(virtualenv, root)
        source = self._unpacked(root / "source")
        hooks = backend.Backend(
            self.project, source, virtualenv, {**variables, **self.environment}, self._refusal
        )
        asked = [*self.project.requires, *hooks.requires({})]
        if pins is None:
            virtualenv.install(asked)
        elif lacking := unmet(asked, pins, self.runtime):
            raise BuildError(
                f"the lock names no {lacking[0]}, which the {self.label} needs for its build",
                cause="its build configuration changed since it was locked",
                hint="run `nox -s lock`",
            )
        return virtualenv, hooks

    def _unpacked(self, to: Path) -> Path:
        if self.source.is_dir():
            # Backends write into the source tree; a copy keeps the checkout clean.
            repository.clone(self.source, to, self.project.name, self.environment)
            return folder.copy(self.source, to)
        to.mkdir()
        return sdist.unpack(self.source, to)

    def _pure(self, built: Path) -> Path:
        if any(tag.platform == "any" for tag in parse_wheel_filename(built.name)[3]):
            return built
        raise BuildError(
            f"the {self.label} compiles: it built {built.name} for this machine",
            cause="it has no wheel for the target and holds C, C++, Cython or Rust sources",
            hint="name it under `build:` in layers.yaml to cross-compile it, or pin a version"
            " that has a wheel",
        )

    def _refusal(self, said: str, _output: str) -> BuildError:
        is_folder = self.source.is_dir()
        advice = repository.advice(self.source, self.project.name) if is_folder else None
        return BuildError(
            f"the {self.label} does not build:\n{said}",
            cause="its version comes from git, which finds no repository that it can read"
            if advice
            else "its build backend reported an error, shown above",
            hint=advice,
        )


def unmet(asked: Sequence[str], pins: Sequence[str], runtime: Runtime) -> list[str]:
    """Return which build requirements no pin fulfils.

    Args:
        asked: Requirements (PEP 508).
        pins: ``name==version``, each perhaps with hashes.
        runtime: The runtime whose Python builds, for markers.
    """
    versions = dict(pin.split(" ", 1)[0].split("==", 1) for pin in pins)
    installed = {canonicalize_name(name): version for name, version in versions.items()}
    python = {"python_version": runtime.python_version}

    def fulfilled(requirement: Requirement) -> bool:
        if requirement.marker and not requirement.marker.evaluate(python):
            return True
        version = installed.get(canonicalize_name(requirement.name))
        return version is not None and requirement.specifier.contains(version, prereleases=True)

    return [text for text in asked if not fulfilled(Requirement(text))]


def compiles(path: Path) -> bool:
    """Whether an sdist holds sources of compiled code, judged by the names of its files.

    A package that ships such sources and compiles none of them is built as if it did, which gives
    the same pure wheel and takes longer.

    Raises:
        BuildError: The archive is damaged.
    """
    return any(
        PurePosixPath(name).suffix in COMPILED or PurePosixPath(name).name == "Cargo.toml"
        for name, _ in sdist.files(path)
    )

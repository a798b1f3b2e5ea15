"""What an sdist is, and what is asked for of it: one wheel for one runtime, with options.

It is its build backend, what that needs, and whether it can be cross-compiled.
"""

from __future__ import annotations

import contextlib
import functools
import re
import tarfile
import tomllib
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import InvalidSdistFilename, canonicalize_name, parse_sdist_filename

from layersmith import cache
from layersmith.base import damage, zips
from layersmith.errors import BuildError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping, Sequence

    from layersmith.base.runtimes import Runtime
    from layersmith.config.models import BuildOptions

LEGACY_BACKEND = "setuptools.build_meta:__legacy__"
LEGACY_REQUIRES = ("setuptools>=40.8.0",)
"""What PEP 517 and 518 say of a project without [build-system]."""

RUST = frozenset({"maturin", "setuptools-rust"})
"""Distributions that build Rust extensions."""


@dataclass(frozen=True)
class Project:
    """The [build-system] of an sdist or local package.

    Attributes:
        name: Normalized name of the distribution.
        version: Its version.
        backend: Module, and object within it, of the build backend.
        backend_path: Folders of the sdist that hold the backend, if it brings its own.
        requires: Build requirements (PEP 508).
    """

    name: str
    version: str
    backend: str
    backend_path: tuple[str, ...]
    requires: tuple[str, ...]

    @property
    def kind(self) -> str:
        """Which family of backend it is: meson-python, scikit-build-core, setuptools or other."""
        module = self.backend.partition(":")[0].partition(".")[0]
        known = {
            "mesonpy": "meson-python",
            "scikit_build_core": "scikit-build-core",
            "setuptools": "setuptools",
        }
        if module in known:
            return known[module]
        # A backend inside the sdist is nearly always a thin cover over one of the known ones.
        for name in known.values():
            if name in self._required_names():
                return name
        return "other"

    def _required_names(self) -> set[str]:
        names: set[str] = set()
        for requirement in self.requires:
            try:
                names.add(canonicalize_name(Requirement(requirement).name))
            except InvalidRequirement:
                continue
        return names

    def refuse_rust(self, architecture: str) -> None:
        """Refuse what zig's C compiler cannot build.

        Raises:
            BuildError: The project compiles Rust.
        """
        rust = RUST & (self._required_names() | {self.backend.partition(".")[0]})
        if not rust:
            return
        raise BuildError(
            f"{self.name} {self.version} is compiled by Rust ({', '.join(sorted(rust))}), which is"
            " not cross-compiled here",
            cause=f"its index offers no wheel for {architecture} and this runtime",
            hint=f"pin a version with such a wheel, list {self.name} under `excludes` if the layer"
            f" does without it, or build it in a container: `build: {{{self.name}: {{container:"
            f" true}}}}` with LAYERSMITH_BUILD_IMAGE naming an image that holds Rust",
        )


def read(path: Path) -> Project:
    """Read the pyproject.toml of an sdist.

    Raises:
        BuildError: It is not an sdist, or its pyproject.toml is broken.
    """
    try:
        name, version = parse_sdist_filename(path.name)
    except InvalidSdistFilename as problem:
        raise BuildError(f"{path.name} is not an sdist: {problem}") from problem
    return _project(name, str(version), _tables(path.name, lambda: _pyproject(path)))


def read_folder(folder: Path) -> Project:
    """Read the pyproject.toml of a local package; its version is empty where it is dynamic.

    Raises:
        BuildError: It has none, or it is broken or names no project.
    """
    path = folder / "pyproject.toml"
    if not path.is_file():
        raise BuildError(
            f"{folder.name} is not a package: it has no pyproject.toml",
            hint="`packages:` of layers.yaml names folders that hold one",
        )
    tables = _tables(folder.name, lambda: path.read_text("utf-8"))
    project = tables.get("project", {})
    return _project(
        canonicalize_name(project.get("name", folder.name)), project.get("version", ""), tables
    )


def _tables(what: str, text: Callable[[], str]) -> dict[str, Any]:
    try:
        return tomllib.loads(text())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as problem:
        raise BuildError(f"pyproject.toml of {what} is broken: {problem}") from problem


def _project(name: str, version: str, tables: dict[str, Any]) -> Project:
    table = tables.get("build-system", {})
    return Project(
        name,
        version,
        table.get("build-backend", LEGACY_BACKEND),
        tuple(table.get("backend-path", ())),
        tuple(table.get("requires", LEGACY_REQUIRES)),
    )


def unpack(path: Path, folder: Path) -> Path:
    """Unpack an sdist into ``folder`` and return the folder of its sources.

    Raises:
        BuildError: A member would leave ``folder`` (PEP 706), or the archive is damaged.
    """
    with damage.told(path.name, kind="sdist"):
        if path.suffix == ".zip":
            with zipfile.ZipFile(path) as archive:
                for info in archive.infolist():
                    unpacked = Path(archive.extract(info, folder))  # drops .. and roots
                    if unpacked.is_file():  # zipfile leaves modes out
                        executable = (info.external_attr >> 16) & 0o111
                        unpacked.chmod(zips.EXECUTABLE_MODE if executable else zips.FILE_MODE)
        else:
            with tarfile.open(path) as tar:
                tar.extractall(folder, filter="data")
    inside = [entry for entry in folder.iterdir() if entry.is_dir()]
    if len(inside) != 1:
        raise BuildError(f"{path.name} holds {len(inside)} folders where an sdist has one")
    return inside[0]


def files(path: Path) -> Generator[tuple[str, Callable[[], bytes]]]:
    """Give the files of an sdist: the path of each, and a function that reads it.

    A file is read before the next one is asked for, or not at all.

    Raises:
        BuildError: The archive is damaged; the functions raise it, too.
    """
    with damage.told(path.name, kind="sdist"):
        if path.suffix == ".zip":
            with zipfile.ZipFile(path) as archive:
                for info in archive.infolist():
                    if not info.is_dir():
                        yield info.filename, functools.partial(_read, path, archive.open, info)
        else:
            with tarfile.open(path) as tar:
                for member in tar:
                    if member.isfile():
                        yield member.name, functools.partial(_read, path, tar.extractfile, member)


def _read(path: Path, opened: Callable[[Any], IO[bytes] | None], member: Any) -> bytes:
    with damage.told(path.name, kind="sdist"):
        stream = opened(member)
        assert stream is not None  # it is a regular file
        return stream.read()


def _pyproject(path: Path) -> str:
    """Return the text of the top-level pyproject.toml, empty where there is none."""
    wanted = re.compile(r"(\./)?[^/]+/pyproject\.toml")
    with contextlib.closing(files(path)) as found:
        for name, content in found:
            if wanted.fullmatch(name):
                with damage.told(path.name, kind="sdist"):
                    return content().decode("utf-8")
    return ""


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
        project = read(path)
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

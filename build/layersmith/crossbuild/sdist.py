"""What an sdist is: its build backend, what that needs, and whether it can be cross-compiled."""

from __future__ import annotations

import re
import tarfile
import tomllib
import zipfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import InvalidSdistFilename, canonicalize_name, parse_sdist_filename

from layersmith.errors import BuildError

if TYPE_CHECKING:
    from pathlib import Path

LEGACY_BACKEND = "setuptools.build_meta:__legacy__"
LEGACY_REQUIRES = ("setuptools>=40.8.0",)
"""What PEP 517 and 518 say of a project without [build-system]."""

RUST = frozenset({"maturin", "setuptools-rust"})
"""Distributions that build Rust extensions."""


@dataclass(frozen=True)
class Project:
    """The [build-system] of an sdist.

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
        BuildError: It is no sdist, or its pyproject.toml is broken.
    """
    try:
        name, version = parse_sdist_filename(path.name)
    except InvalidSdistFilename as problem:
        raise BuildError(f"{path.name} is not an sdist: {problem}") from problem
    try:
        table: dict[str, Any] = tomllib.loads(_pyproject(path)).get("build-system", {})
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as problem:
        raise BuildError(f"pyproject.toml of {path.name} is broken: {problem}") from problem
    return Project(
        name,
        str(version),
        table.get("build-backend", LEGACY_BACKEND),
        tuple(table.get("backend-path", ())),
        tuple(table.get("requires", LEGACY_REQUIRES)),
    )


def unpack(path: Path, folder: Path) -> Path:
    """Unpack an sdist into ``folder`` and return the folder of its sources.

    Raises:
        BuildError: A member would leave ``folder`` (PEP 706), or the archive is damaged.
    """
    try:
        if path.suffix == ".zip":
            with zipfile.ZipFile(path) as archive:
                archive.extractall(folder)  # noqa: S202 -- zipfile drops .. and roots
        else:
            with tarfile.open(path) as tar:
                tar.extractall(folder, filter="data")
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, OSError) as problem:
        raise BuildError(f"{path.name} cannot be unpacked: {problem}") from problem
    inside = [entry for entry in folder.iterdir() if entry.is_dir()]
    if len(inside) != 1:
        raise BuildError(f"{path.name} holds {len(inside)} folders where an sdist has one")
    return inside[0]


def _pyproject(path: Path) -> str:
    """Return the text of the top-level pyproject.toml, empty where there is none."""
    wanted = re.compile(r"(\./)?[^/]+/pyproject\.toml")
    try:
        if path.suffix == ".zip":
            with zipfile.ZipFile(path) as archive:
                names = [name for name in archive.namelist() if wanted.fullmatch(name)]
                return archive.read(names[0]).decode("utf-8") if names else ""
        with tarfile.open(path) as tar:
            for member in tar:
                if wanted.fullmatch(member.name) and (stream := tar.extractfile(member)):
                    return stream.read().decode("utf-8")
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, OSError) as problem:
        raise BuildError(f"{path.name} cannot be read: {problem}") from problem
    return ""

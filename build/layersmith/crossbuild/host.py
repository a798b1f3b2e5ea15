"""Builds wheels of local packages and of pure-Python sdists on the host, through uv.

Builds are cached by what goes into them. They run with SOURCE_DATE_EPOCH, so that their wheels
are the same bytes everywhere, and without any credential in their environment.
"""

from __future__ import annotations

import shutil
import tarfile
import tempfile
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from packaging.tags import Tag
from packaging.utils import parse_wheel_filename

from layersmith import cache, process
from layersmith.base import damage, uv
from layersmith.errors import BuildError

if TYPE_CHECKING:
    from collections.abc import Mapping

EPOCH = "315532800"
"""1980-01-01 in seconds, the earliest date that a zip can hold (reproducible-builds.org)."""

IGNORED = ("__pycache__", "*.pyc", "*.egg-info", "build", "dist", ".venv", ".git")
COMPILED = {".c", ".cc", ".cpp", ".cxx", ".f", ".f90", ".pyx", ".rs"}
"""Suffixes of sources that need a compiler."""

ANY = Tag("py3", "none", "any")


def local_wheel(folder: Path, environment: Mapping[str, str]) -> Path:
    """Return the wheel of a local package, built through its own pyproject.toml.

    Raises:
        BuildError: The build fails, or its wheel is for one platform only.
    """
    if not (folder / "pyproject.toml").is_file():
        raise BuildError(
            f"{folder.name} is not a package: it has no pyproject.toml",
            hint="`packages:` of layers.yaml names folders that hold one",
        )
    return _cached(
        folder, cache.sha256_folder(folder), environment, what=f"local package {folder.name}"
    )


def pure_wheel(sdist: Path, sha256: str, environment: Mapping[str, str], target: str) -> Path:
    """Return the wheel of a sdist that compiles nothing.

    Args:
        sdist: The sdist, already checked against its hash.
        sha256: Its SHA-256 in hex.
        environment: Variables for the build.
        target: Identifier of the target, for messages.

    Raises:
        BuildError: The build fails, or it compiled for the host.
    """
    try:
        return _cached(sdist, sha256, environment, what=f"sdist {sdist.name}")
    except BuildError as problem:
        problem.target = target
        raise


def compiles(sdist: Path) -> bool:
    """Whether an sdist holds sources of compiled code, judged by the names of its files.

    A package that ships such sources and compiles none of them is built as if it did, which gives
    the same pure wheel and takes longer.
    """
    with damage.told(sdist.name), tarfile.open(sdist) as archive:
        names = archive.getnames()
    return any(
        PurePosixPath(name).suffix in COMPILED or PurePosixPath(name).name == "Cargo.toml"
        for name in names
    )


def _cached(source: Path, digest: str, environment: Mapping[str, str], *, what: str) -> Path:
    settings = "\n".join(f"{key}={value}" for key, value in sorted(environment.items()))
    key = cache.sha256_bytes(f"{digest}\n{settings}".encode())
    folder = cache.section("built") / key
    found = sorted(folder.glob("*.whl"))
    if found:
        return found[0]
    with tempfile.TemporaryDirectory(prefix="layersmith-") as scratch:
        wheel = _build(source, Path(scratch), environment, what)
        content = wheel.read_bytes()
        cache.write_bytes(folder / wheel.name, content)
        return folder / wheel.name


def _build(source: Path, scratch: Path, environment: Mapping[str, str], what: str) -> Path:
    if source.is_dir():
        # Backends write into the source tree; a copy keeps the checkout clean and builds apart.
        copy = scratch / "source"
        shutil.copytree(source, copy, ignore=shutil.ignore_patterns(*IGNORED))
        source = copy
    out = scratch / "out"
    variables = {"SOURCE_DATE_EPOCH": EPOCH, **environment}
    try:
        uv.build_wheel(source, out, variables)
    except process.CommandFailed as failed:
        raise BuildError(
            f"the {what} does not build:\n{_indent(failed.output)}",
            cause="its build backend reported an error, shown above",
        ) from failed
    wheels = sorted(out.glob("*.whl"))
    if len(wheels) != 1:
        raise BuildError(f"the {what} built {len(wheels)} wheels instead of one")
    if ANY not in parse_wheel_filename(wheels[0].name)[3]:
        raise BuildError(
            f"the {what} compiles: it built {wheels[0].name} for this machine",
            cause="it has no wheel for the target and holds C, C++, Cython or Rust sources",
            hint="name it under `build:` in layers.yaml to cross-compile it, or pin a version"
            " that has a wheel",
        )
    return wheels[0]


def _indent(text: str) -> str:
    return "\n".join(f"    {line}" for line in text[-3000:].splitlines())

"""What a lock is resolved from, and the digest that says whether a lock still fits."""

from __future__ import annotations

import hashlib
import json
import tomllib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from layersmith.config.models import RequirementsFile
from layersmith.errors import LockError
from layersmith.lock import requirements as requirementsfile

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from layersmith.plan import Target

DYNAMIC_SOURCES = ("pyproject.toml", "setup.cfg", "setup.py")
"""Files that decide the metadata of a package whose dependencies are dynamic (PEP 621)."""


@dataclass(frozen=True)
class LocalPackage:
    """A folder with a pyproject.toml that goes into the layer.

    Attributes:
        name: Normalized name.
        folder: Its folder, absolute.
        metadata: What its dependencies follow from, as JSON-ready data.
    """

    name: str
    folder: Path
    metadata: Mapping[str, Any]


@dataclass(frozen=True)
class LockInputs:
    """All that decides what a target resolves to, apart from the index.

    Attributes:
        requirements: Requirements (PEP 508) with the extras of layers.yaml, sorted.
        constraints: Constraints (PEP 508), sorted.
        packages: Local packages by name.
        extras: Extras of the local packages by name.
        parts: SHA-256 of each input, in hex.
    """

    requirements: list[str]
    constraints: list[str]
    packages: dict[str, LocalPackage]
    extras: dict[str, list[str]]
    parts: dict[str, str]

    @property
    def digest(self) -> str:
        """SHA-256 over all parts, in hex."""
        return _digest(self.parts)


def collect(target: Target, root: Path) -> LockInputs:
    """Read the inputs of a target's lock.

    Args:
        target: The target.
        root: Folder of layers.yaml.

    Raises:
        LockError: A requirements file or a local package cannot be read.
    """
    settings = target.settings
    extras = {name: sorted(set(names)) for name, names in settings.extras.items()}
    packages = {
        package.name: package
        for package in (local_package(root, folder, target) for folder in settings.packages)
    }
    requirements = _with_extras(_lines(settings.requirements, root), extras)
    _judge_extras(extras, requirements, packages, target)
    versions = {name: options.version for name, options in settings.build.items()}
    built = [f"{name}=={version}" for name, version in versions.items() if version]
    constraints = sorted({*_lines(settings.constraints, root), *built})
    parts = {
        "requirements": requirements,
        "constraints": constraints,
        "extras": extras,
        "build": versions,
        "packages": {name: dict(packages[name].metadata) for name in sorted(packages)},
        "runtime": target.runtime.name,
        "platform": target.uv_platform,
    }
    digests = {key: _digest(value) for key, value in parts.items()}
    return LockInputs(requirements, constraints, packages, extras, digests)


def local_package(root: Path, folder: str, target: Target) -> LocalPackage:
    """Read name and dependencies of a local package.

    Raises:
        LockError: Its pyproject.toml is missing, not TOML, or names no project.
    """
    path = root / folder / "pyproject.toml"
    try:
        project = tomllib.loads(path.read_text("utf-8")).get("project", {})
        name = canonicalize_name(project["name"], validate=True)
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        what = "it has no [project] name" if isinstance(error, KeyError) else str(error)
        raise LockError(
            f"the local package {folder} cannot be read: {what}",
            target=target.identifier,
            hint=f"give {folder}/pyproject.toml a [project] table with a name (PEP 621)",
        ) from None
    keys = ("dependencies", "optional-dependencies", "requires-python", "dynamic")
    metadata: dict[str, Any] = {key: project[key] for key in keys if key in project}
    if {"dependencies", "optional-dependencies"} & set(project.get("dynamic", [])):
        metadata["sources"] = {
            source: hashlib.sha256((path.parent / source).read_bytes()).hexdigest()
            for source in DYNAMIC_SOURCES
            if (path.parent / source).is_file()
        }
    return LocalPackage(name, path.parent.resolve(), metadata)


def _lines(setting: list[str] | RequirementsFile, root: Path) -> list[str]:
    if isinstance(setting, RequirementsFile):
        return requirementsfile.read(root / setting.file, root)
    return list(setting)


def _with_extras(lines: list[str], extras: Mapping[str, list[str]]) -> list[str]:
    """Return the requirements with the extras of layers.yaml added, sorted, each once."""
    found = set()
    for line in lines:
        requirement = Requirement(line)
        requirement.extras |= set(extras.get(canonicalize_name(requirement.name), ()))
        found.add(str(requirement))
    return sorted(found)


def _judge_extras(
    extras: Mapping[str, list[str]],
    requirements: list[str],
    packages: Mapping[str, LocalPackage],
    target: Target,
) -> None:
    known = {canonicalize_name(Requirement(line).name) for line in requirements} | set(packages)
    for name in extras:
        if name not in known:
            raise LockError(
                f"`extras` names {name}, which is neither a requirement nor a local package",
                target=target.identifier,
                hint=f"list {name} under `requirements`, or drop it from `extras`",
            )


def _digest(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()

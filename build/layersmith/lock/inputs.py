"""What a lock is resolved from, and the digest that says whether a lock still fits.

Which files the dynamic dependencies (PEP 621) of a local package come from, only its backend knows
for sure, and it is not run to find out whether a lock still fits. So every file counts that its
configuration names: requirement files, hooks, scripts, and what those include.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import tomllib
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from layersmith import cache
from layersmith.base.runtimes import marker_environment
from layersmith.config import pyproject
from layersmith.config.models import as_file, file_of
from layersmith.config.values import judge_url
from layersmith.errors import LockError
from layersmith.lock import configuration, teamlock
from layersmith.lock import requirements as requirementsfile
from layersmith.lock.requirements import RequirementsText

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from layersmith.config.models import Contents, Requirements
    from layersmith.plan import Target

CONFIGURATION = ("pyproject.toml", "setup.cfg", "setup.py", "hatch_build.py", "requirements.txt")
"""Files that count wherever they are, and are read for the names of others. The last two are what
hatchling and hatch-requirements-txt take where nothing else is named."""

PROSE = frozenset({".md", ".rst"})
"""Suffixes of files that are named as descriptions."""

NEVER = frozenset({"version", "readme", "description", "license", "license-files"})
"""Keys under which files are named that hold other metadata."""

_WORD = re.compile(r"[\w./+-]+")


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

    @property
    def depends_statically(self) -> bool:
        """Whether its [project] alone says what it depends on, and from where."""
        return not self.metadata.keys() & {"files", "sources"}


@dataclass(frozen=True)
class LockInputs:
    """All that decides what a target resolves to, apart from the index.

    Attributes:
        requirements: Requirements (PEP 508) with the extras of layers.yaml, sorted.
        constraints: Constraints (PEP 508), sorted.
        packages: Local packages by name.
        extras: Extras of the local packages by name.
        parts: SHA-256 of each input, in hex.
        hashes: Normalized names to the SHA-256 hashes, in hex, that requirements files allow.
        overrides: Requirements that replace those of any distribution, sorted.
        pins: Versions to take where they fit, by normalized name: those of a team's lock.
        sources: What [tool.uv.sources] says of the requirements, with absolute paths.
        home: Folder of the pyproject.toml that the requirements are from, if they are.
    """

    requirements: list[str]
    constraints: list[str]
    packages: dict[str, LocalPackage]
    extras: dict[str, list[str]]
    parts: dict[str, str]
    hashes: dict[str, list[str]] = field(default_factory=dict)
    overrides: list[str] = field(default_factory=list)
    pins: dict[str, str] = field(default_factory=dict)
    sources: dict[str, Any] = field(default_factory=dict)
    home: Path | None = None

    @property
    def names(self) -> set[str]:
        """Normalized names of the requirements."""
        return _names(self.requirements)

    @property
    def digest(self) -> str:
        """SHA-256 over all parts, in hex."""
        return _digest(self.parts)


def collect(
    target: Target,
    root: Path,
    members: Mapping[str, str] | None = None,
    held: Collection[str] = (),
) -> LockInputs:
    """Read the inputs of a target's lock.

    Args:
        target: The target.
        root: Folder of layers.yaml.
        members: Local packages that those of layers.yaml brought, name to folder.
        held: Normalized names in the lock; of a team's lock their versions decide, no others.

    Raises:
        LockError: A requirements file or a local package cannot be read.
    """
    settings = target.settings
    extras = {name: sorted(set(names)) for name, names in settings.extras.items()}
    packages = {
        package.name: package
        for package in (
            local_package(root, folder, target)
            for folder in (*settings.packages, *(members or {}).values())
        )
    }
    pins = _pins(settings.constraints, target, root)
    asked, sources, home = _asked(target, root)
    constrained = RequirementsText() if pins else _lines(settings.constraints, root)
    requirements = _with_extras(asked.requirements, extras)
    _judge_extras(extras, requirements, packages, target)
    versions = {name: options.version for name, options in settings.build.items()}
    built = [f"{name}=={version}" for name, version in versions.items() if version]
    constraints = sorted(
        {*asked.constraints, *constrained.requirements, *constrained.constraints, *built}
    )
    hashes = {
        name: sorted(asked.hashes.get(name, set()) | constrained.hashes.get(name, set()))
        for name in sorted({*asked.hashes, *constrained.hashes})
    }
    overrides = sorted(settings.overrides)
    parts = {
        "requirements": requirements,
        "constraints": constraints,
        "extras": extras,
        "build": versions,
        "packages": {name: dict(packages[name].metadata) for name in sorted(packages)},
        "runtime": target.runtime.name,
        "platform": target.uv_platform,
    }
    # What few layers have is named only where there is some: other locks stay as they are.
    brought = {name: one.version for name, one in sorted(target.brought.items())}
    managed = {name: target.managed[name].version for name in sorted({*held} & {*target.managed})}
    seldom = {
        "sources": _portable(sources, root) if sources else None,
        "layers": brought if target.function else None,
        "overrides": overrides or None,
        "cool-down": _cool_down(settings),
        "hashes": hashes or None,
        "pins": {name: pins[name] for name in sorted({*held} & {*pins})} if pins else None,
        "managed-layers": managed or None,
    }
    parts |= {key: value for key, value in seldom.items() if value is not None}
    digests = {key: _digest(value) for key, value in parts.items()}
    return LockInputs(
        requirements,
        constraints,
        packages,
        extras,
        digests,
        hashes,
        overrides,
        pins,
        sources,
        home,
    )


def _cool_down(settings: Contents) -> list[str] | None:
    """Return the seconds that a release has to be old, and the names that may be younger."""
    if not settings.cool_down:
        return None
    names = sorted(map(canonicalize_name, settings.cool_down_exceptions))
    return [f"{settings.cool_down.total_seconds():g} s", *names]


def local_package(root: Path, folder: str, target: Target) -> LocalPackage:
    """Read name and dependencies of a local package.

    Raises:
        LockError: Its pyproject.toml is missing, not TOML, or names no project.
    """
    path = root / folder / "pyproject.toml"
    try:
        content = tomllib.loads(path.read_text("utf-8"))
        project = content.get("project", {})
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
    metadata["build-system"] = content.get("build-system", {})
    if {"dependencies", "optional-dependencies"} & set(project.get("dynamic", [])):
        metadata["files"] = dynamic_sources(path.parent.resolve())
        names = None
    else:
        lines = [*project.get("dependencies", ())]
        lines += [
            line for more in project.get("optional-dependencies", {}).values() for line in more
        ]
        names = _names(lines)
    if sources := _portable(configuration.sources(path.parent, names), root):
        metadata["sources"] = sources
    return LocalPackage(name, path.parent.resolve(), metadata)


def _names(requirements: list[str]) -> set[str]:
    return {canonicalize_name(Requirement(line).name) for line in requirements}


def _portable(sources: dict[str, Any], root: Path) -> dict[str, Any]:
    """Return [tool.uv.sources] with paths that are the same on every machine."""
    return {
        name: [
            {**one, "path": os.path.relpath(one["path"], root.resolve())} if "path" in one else one
            for one in entries
        ]
        for name, entries in sources.items()
    }


def _pins(setting: Requirements, target: Target, root: Path) -> dict[str, str]:
    """Return the versions of a team's lock; none where the file is one of requirements."""
    file = file_of(setting)
    if file is None or not teamlock.is_lock(PurePosixPath(file).name):
        return {}
    try:
        return teamlock.read(root / file, target)
    except OSError as error:
        raise LockError(
            f"{file} cannot be read: {error.strerror}", target=target.identifier
        ) from None


def _asked(target: Target, root: Path) -> tuple[RequirementsText, dict[str, Any], Path | None]:
    """Return the requirements of a layer, their [tool.uv.sources], and the project's folder."""
    file = as_file(target.settings.requirements)
    if file is None or not pyproject.is_project(file.file):
        text = _lines(target.settings.requirements, root)
        return text, configuration.sources(root, _names(text.requirements)), None
    path = root / file.file
    environment = {**marker_environment(target.runtime, target.architecture), "extra": ""}
    python = environment["python_full_version"]
    lines = pyproject.read(path, root, file.groups, file.extras, python)
    sources = {
        name: pyproject.selected(entries, file.groups, file.extras)
        for name, entries in configuration.sources(path.parent, _names(lines)).items()
    }
    placed = []
    for line in lines:
        requirement = Requirement(line)
        name = canonicalize_name(requirement.name)
        url = configuration.url_of(sources.get(name, ()), environment)
        if url and requirement.url is None:
            requirement.url, requirement.specifier = url, SpecifierSet()
            _judge_source(requirement, file.file)
        placed.append(str(requirement))
    # uv refuses a source of what has a URL already.
    direct = requirementsfile.direct(placed)
    rest = {name: entries for name, entries in sources.items() if entries and name not in direct}
    return RequirementsText(placed, files=[path]), rest, path.parent


def _judge_source(requirement: Requirement, file: str) -> None:
    try:
        judge_url(requirement)
    except ValueError as problem:
        raise LockError(
            f"[tool.uv.sources] of {file}: {problem}", hint="correct the entry", file=file
        ) from None


def _lines(setting: Requirements, root: Path) -> RequirementsText:
    file = file_of(setting)
    if file is None:
        return RequirementsText([str(one) for one in setting])
    if teamlock.is_lock(PurePosixPath(file).name):
        raise LockError(
            f"{file} holds versions, and `requirements` asks for what a layer needs",
            hint=f"list the names under `requirements`, and write `constraints: {file}`",
        )
    return requirementsfile.read(root / file, root)


def files(path: Path, root: Path) -> list[Path]:
    """Return a file of requirements or constraints, and the files that it names.

    Raises:
        LockError: It cannot be read.
    """
    if teamlock.is_lock(path.name) or pyproject.is_project(path.name):
        return [path]
    return requirementsfile.read(path, root).files


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
    known = _names(requirements) | set(packages)
    for name in extras:
        if name not in known:
            raise LockError(
                f"`extras` names {name}, which is neither a requirement nor a local package",
                target=target.identifier,
                hint=f"list {name} under `requirements`, or drop it from `extras`",
            )


def _digest(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def dynamic_sources(folder: Path) -> dict[str, str]:
    """Return the files that may decide dynamic dependencies, each with its SHA-256 in hex.

    Args:
        folder: The local package, as an absolute path.
    """
    waiting = [folder / name for name in CONFIGURATION if (folder / name).is_file()]
    found: dict[str, str] = {}
    while waiting:
        path = waiting.pop()
        name = path.relative_to(folder).as_posix()
        if name in found:
            continue
        found[name] = cache.sha256_file(path)
        if name in CONFIGURATION or path.suffix != ".py":
            waiting += _named_in(path, folder)
    return dict(sorted(found.items()))


def _named_in(path: Path, folder: Path) -> Iterator[Path]:
    """Give the files that the text of a file names, below ``folder``."""
    text = path.read_text("utf-8", "replace")
    if path.name == "pyproject.toml":
        tables = tomllib.loads(text)
        system, tool = tables.get("build-system", {}), tables.get("tool", {})
        for place in map(str, system.get("backend-path", [])):
            yield from (folder / place.lstrip("/")).glob("*.py")
        text = "\n".join(_texts([system, tool]))
    words = {name for word in _WORD.findall(text) for name in (word, f"{word}.py")}
    for base in (folder, path.parent):
        for named in {Path(os.path.normpath(base / word)) for word in words}:
            if named.is_relative_to(folder) and named.suffix not in PROSE and _is_file(named):
                yield named


def _is_file(path: Path) -> bool:
    return os.path.isfile(path)  # noqa: PTH113 -- Path.is_file raises where a name is too long


def _texts(value: Any) -> Iterator[str]:
    """Give every text within TOML values."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)
    elif isinstance(value, dict):
        for key, item in value.items():
            if key not in NEVER:
                yield from _texts(item)

"""Reads what a repository asks for: requirements.txt, pyproject.toml and Pipfile."""

from __future__ import annotations

import re
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from packaging.markers import default_environment
from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from layersmith.adopt.models import FoundProject, Notice
from layersmith.base import architectures, damage, runtimes
from layersmith.base.runtimes import marker_environment
from layersmith.config.models import RequirementsFile
from layersmith.errors import ConfigError, LayersmithError, LockError
from layersmith.lock import configuration, teamlock
from layersmith.lock import requirements as requirementsfile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from layersmith.base.runtimes import Runtime
    from layersmith.lock.requirements import RequirementsText

REQUIREMENTS, PYPROJECT, PIPFILE = "requirements.txt", "pyproject.toml", "Pipfile"

LOCKS = {"uv.lock": PYPROJECT, "poetry.lock": PYPROJECT, "Pipfile.lock": PIPFILE}
"""Lock of a team to the file that it is made from, which then says what is asked for."""

DEFAULT_SOURCE = "pypi"
"""What Poetry, PDM and Pipenv call the index that is asked without a configuration."""

_CARET = re.compile(r"\^\s*(\d+(?:\.\d+)*)((?:[.-]?[a-z]+[.-]?\d*)*)")
_TILDE = re.compile(r"~\s*(\d+(?:\.\d+)*)((?:[.-]?[a-z]+[.-]?\d*)*)")
_BETWEEN = re.compile(r"\s*,\s*|(?<=[\w*])\s+(?=[<>=!~^])")
"""Between two limits of a version; Poetry takes blanks for commas."""


def read(path: Path, root: Path, notices: list[Notice]) -> FoundProject | None:
    """Read one file; None where it asks for nothing and is not a package.

    Args:
        path: requirements.txt, pyproject.toml or Pipfile.
        root: Folder of the repository.
        notices: Gets what was left out.
    """
    file = path.relative_to(root).as_posix()
    try:
        with damage.told(file, LockError):
            return KNOWN[path.name](path, root, notices)
    except (LayersmithError, OSError) as problem:
        notices.append(Notice(file, f"left out: {' '.join(str(problem).split())}"))
        return None


def is_project(path: Path) -> bool:
    """Whether a file, by its name, is that of a project, or the lock of a team."""
    return path.name in LOCKS.values() or teamlock.is_lock(path.name)


def asked(
    path: Path, top: Path, notices: list[Notice]
) -> tuple[Path, list[str] | RequirementsFile, list[str] | RequirementsFile]:
    """Return what a project asks for in the words of a layer, with the lock that holds for it.

    Args:
        path: pyproject.toml, Pipfile, or a lock.
        top: The highest folder in which a lock is looked for.
        notices: Gets what was left out.

    Returns:
        The folder that paths are relative to, ``requirements``, and ``constraints``.

    Raises:
        ConfigError: It asks for nothing that can be read, or a lock's own project is missing.
        LockError: A pylock.toml cannot be read.
    """
    folder, name = path.resolve().parent, path.name
    if teamlock.is_lock(name) and name not in LOCKS:
        return folder, teamlock.listed(path), RequirementsFile(file=name)
    source = folder / LOCKS.get(name, name)
    if not source.is_file():
        raise ConfigError(
            f"there is no {source.name} beside {path}",
            cause=f"{name} holds versions, and {source.name} says what is asked for",
        )
    found = read(source, folder, notices)
    if found is None or not found.asked:
        raise ConfigError(f"nothing is required in {source.name}")
    lock = folder / name if name in LOCKS else _lock(source, top)
    root = lock.parent if lock else folder
    file = RequirementsFile(file=source.relative_to(root).as_posix())
    lines = file if found.requirements is None else list(found.requirements)
    return root, lines, RequirementsFile(file=lock.name) if lock else []


def _lock(source: Path, top: Path) -> Path | None:
    """Return the lock beside a project or, of a workspace, above it."""
    inside = source.is_relative_to(top.resolve())
    folders = [one for one in source.parents if one.is_relative_to(top.resolve())]
    for folder in folders if inside else [source.parent]:
        for name, made_from in LOCKS.items():
            if made_from == source.name and (folder / name).is_file():
                return folder / name
    return None


def _requirements(path: Path, root: Path, notices: list[Notice]) -> FoundProject | None:
    text, problems = requirementsfile.attempt(path, root)
    file = path.relative_to(root).as_posix()
    if not problems:
        return _project(path, root, text.requirements, None) if text.requirements else None
    folders = dict(_folders(text, path, root))
    for problem in problems:
        known = [given for given in folders if given in problem.message]
        if not known:
            what = problem.message.removeprefix(f"{file}:")
            line = "" if what == problem.message else "line "
            advice = f" ({problem.hint})" if problem.hint else ""
            notices.append(Notice(file, f"{line}{what}; left out{advice}"))
    lost = {"constraints": text.constraints, "hashes": text.hashes}
    notices += [
        Notice(
            file,
            f"its {what} are left out: they hold where layers.yaml names the file, which it can"
            " once nothing else in the file is left out",
        )
        for what, found in lost.items()
        if found
    ]
    found = _project(path, root, text.requirements, text.requirements)
    return replace(found, packages=tuple(sorted(set(folders.values()))))


def _folders(text: RequirementsText, path: Path, root: Path) -> Iterator[tuple[str, str]]:
    """Yield the local packages that a requirements file asks for, as it writes them and relative.

    pip takes them relative to where it runs, which most often is one of two folders.
    """
    for given in text.folders:
        for base in (path.parent, root):
            folder = (base / given.removeprefix("file:")).resolve()
            inside = folder.is_relative_to(root.resolve()) and folder != root.resolve()
            if inside and (folder / PYPROJECT).is_file():
                yield given, folder.relative_to(root.resolve()).as_posix()
                break


def _pyproject(path: Path, root: Path, notices: list[Notice]) -> FoundProject | None:
    content = tomllib.loads(path.read_text("utf-8-sig"))
    project, tool = content.get("project", {}), content.get("tool", {})
    file = path.relative_to(root).as_posix()
    poetry = tool.get("poetry", {})
    lines, listed = [*project.get("dependencies", [])], None
    python = project.get("requires-python", "")
    if not lines and "dependencies" in poetry:
        lines = listed = _poetry(poetry["dependencies"], file, notices)
        python = str(poetry["dependencies"].get("python", ""))
    if "dependencies" in project.get("dynamic", []) and not lines:
        what = "its dependencies are dynamic, so only its build knows them: list them by hand"
        notices.append(Notice(file, what))
    for source in [*_list(poetry.get("source")), *_list(tool.get("pdm", {}).get("source"))]:
        _note_source(source, file, notices)
    name = project.get("name", poetry.get("name"))
    is_package = tool.get("uv", {}).get("package", "build-system" in content) and name
    if not lines and not is_package:
        return None
    return replace(
        _project(path, root, lines, listed, python=python),
        packages=tuple(_members(path.parent, root, map(_name, lines))),
        title=str(name) if name else None,
        package=canonicalize_name(str(name)) if is_package else None,
        modules=tuple(modules(path.parent, str(name))) if is_package else (),
    )


def _members(folder: Path, root: Path, names: Iterable[str]) -> list[str]:
    """Return the folders of the local packages that [tool.uv.sources] gives requirements."""
    places = {
        Path(one["path"]).resolve()
        for each in configuration.sources(folder, set(names)).values()
        for one in each
        if "path" in one
    }
    inside = [place for place in places if place.is_dir() and place.is_relative_to(root.resolve())]
    return sorted(place.relative_to(root.resolve()).as_posix() for place in inside)


def _poetry(entries: dict[str, Any], file: str, notices: list[Notice]) -> list[str]:
    """Return what Poetry's own table asks for, in the words of PEP 508."""
    lines: list[str] = []
    for name, said in entries.items():
        if canonicalize_name(name) == "python":
            continue
        # A list has one entry for each Python or platform.
        for part in said if isinstance(said, list) else [said]:
            one = {"version": part} if isinstance(part, str) else part
            if not isinstance(one, dict) or one.get("optional") or "version" not in one:
                what = f"{name} is optional, or not from an index: left out, add it by hand"
                notices.append(Notice(file, what))
                continue
            markers = [
                str(one.get("markers", "")),
                _of_python(str(one.get("python", "*"))),
                _either(f"sys_platform == '{system}'" for system in _given(one.get("platform"))),
            ]
            try:
                lines.append(_line(name, one, markers))
            except InvalidRequirement as problem:
                notices.append(Notice(file, str(problem)))
    return lines


def _pipfile(path: Path, root: Path, notices: list[Notice]) -> FoundProject | None:
    content = tomllib.loads(path.read_text("utf-8-sig"))
    file = path.relative_to(root).as_posix()
    for source in _list(content.get("source")):
        _note_source(source, file, notices)
    lines: list[str] = []
    for name, said in content.get("packages", {}).items():
        one = {"version": said} if isinstance(said, str) else said
        if not isinstance(one, dict) or {"path", "git", "file"} & set(one):
            notices.append(Notice(file, f"{name} is not from an index: left out, add it by hand"))
            continue
        named = [f"{key} {one[key]}" for key in default_environment() if key in one]
        try:
            lines.append(_line(name, one, [str(one.get("markers", "")), *named]))
        except InvalidRequirement as problem:
            notices.append(Notice(file, str(problem)))
    wanted = content.get("requires", {}).get("python_version")
    python = f"=={wanted}.*" if wanted else ""
    return _project(path, root, lines, lines, python=python) if lines else None


def _note_source(source: Any, file: str, notices: list[Notice]) -> None:
    """Say that an index is not asked: what is only there would come from another one."""
    name = source.get("name") if isinstance(source, dict) else None
    if name and str(name).lower() != DEFAULT_SOURCE:
        what = f"the index {name} is not used here; it belongs in {requirementsfile.INDEXES}"
        notices.append(Notice(file, what))


def _line(name: str, one: dict[str, Any], markers: Iterable[str]) -> str:
    """Return a requirement with the markers that all have to hold.

    Raises:
        InvalidRequirement: PEP 508 has no words for it; the message says so.
    """
    extras = f"[{','.join(one['extras'])}]" if one.get("extras") else ""
    said = str(one.get("version", "*"))
    marker = " and ".join(f"({each})" for each in markers if each)
    try:
        return str(
            Requirement(f"{name}{extras}{_specifier(said)}{f'; {marker}' if marker else ''}")
        )
    except InvalidRequirement:
        where = f" where {marker}" if marker else ""
        raise InvalidRequirement(
            f"{name} {said}{where} is not a requirement (PEP 508): left out, add it by hand"
        ) from None


def _of_python(text: str) -> str:
    """Return the marker of a range of Pythons as Poetry writes it."""
    return _either(
        " and ".join(
            f"python_{'full_' if part.version.count('.') > 1 else ''}version {part.operator}"
            f" '{part.version}'"
            for part in sorted(SpecifierSet(_specifier(one)), key=str, reverse=True)
        )
        for one in text.split("||")
    )


def _either(markers: Iterable[str]) -> str:
    return " or ".join(f"({each})" for each in markers if each)


def _given(value: Any) -> list[str]:
    return [str(one) for one in value] if isinstance(value, list) else [str(value)] if value else []


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _specifier(text: str) -> str:
    """Return Poetry's and Pipenv's ways to limit a version as PEP 440 writes them."""
    return ",".join(filter(None, map(_part, _BETWEEN.split(text.strip()))))


def _part(text: str) -> str:
    if text in {"", "*"}:
        return ""
    if found := _CARET.fullmatch(text):
        numbers = [int(one) for one in found[1].split(".")]
        # The leftmost number that is not zero may not change.
        place = next((n for n, one in enumerate(numbers) if one), len(numbers) - 1)
        upper = ".".join(map(str, [*numbers[:place], numbers[place] + 1]))
        return f">={found[1]}{found[2]},<{upper}"
    if (found := _TILDE.fullmatch(text)) and "=" not in text:
        numbers = [int(one) for one in found[1].split(".")]
        shown = numbers[:2] if len(numbers) > 1 else numbers
        upper = ".".join(map(str, [*shown[:-1], shown[-1] + 1]))
        return f">={found[1]}{found[2]},<{upper}"
    return text if text[0] in "<>=!~" else f"=={text}"


def _project(
    path: Path,
    root: Path,
    lines: Sequence[str],
    listed: Sequence[str] | None,
    *,
    python: str = "",
) -> FoundProject:
    asked = {
        name
        for runtime in runtimes.RUNTIMES.values()
        for architecture in architectures.NAMES
        for name in asked_on(lines, runtime, architecture)
    }
    return FoundProject(
        file=path.relative_to(root).as_posix(),
        folder=path.parent.relative_to(root).as_posix(),
        requirements=None if listed is None else tuple(listed),
        lines=tuple(lines),
        asked=tuple(sorted(asked)),
        runtimes=tuple(name for name, one in runtimes.RUNTIMES.items() if _fits(one, python)),
    )


def asked_on(lines: Iterable[str], runtime: Runtime, architecture: str) -> dict[str, SpecifierSet]:
    """Return what requirements ask for on a target: normalized names with their versions.

    Args:
        lines: Requirements (PEP 508).
        runtime: Its runtime.
        architecture: ``arm64`` or ``x86_64``.
    """
    environment = {"extra": "", **marker_environment(runtime, architecture)}
    found: dict[str, SpecifierSet] = {}
    for one in map(Requirement, lines):
        if not one.marker or one.marker.evaluate(environment):
            name = canonicalize_name(one.name)
            found[name] = found.get(name, SpecifierSet()) & one.specifier
    return found


def _fits(runtime: Runtime, python: str) -> bool:
    return any(
        SpecifierSet(_specifier(one)).contains(f"{runtime.python_version}.0", prereleases=True)
        for one in python.split("||")
    )


def modules(folder: Path, name: str) -> list[str]:
    """Return the top-level modules of a local package, by its folders or else by its name."""
    base = folder / "src" if (folder / "src").is_dir() else folder
    found = [path.parent.name for path in sorted(base.glob("*/__init__.py"))]
    found = [one for one in found if one not in {"tests", "test", "docs"}]
    return found or [canonicalize_name(name).replace("-", "_")]


def _name(line: str) -> str:
    try:
        return canonicalize_name(Requirement(line).name)
    except InvalidRequirement:
        return line


KNOWN: dict[str, Callable[[Path, Path, list[Notice]], FoundProject | None]] = {
    REQUIREMENTS: _requirements,
    PYPROJECT: _pyproject,
    PIPFILE: _pipfile,
}
"""Names of files and what reads them, in the order in which one folder's are preferred."""

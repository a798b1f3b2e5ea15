"""Reads what a repository asks for: requirements.txt, pyproject.toml and Pipfile."""

from __future__ import annotations

import re
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

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

_CARET = re.compile(r"\^\s*(\d+(?:\.\d+)*)")
_TILDE = re.compile(r"~\s*(\d+(?:\.\d+)*)")


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
            notices.append(Notice(file, f"line {what}; left out ({problem.hint})"))
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
        python = _specifier(str(poetry["dependencies"].get("python", "")))
    if "dependencies" in project.get("dynamic", []) and not lines:
        what = "its dependencies are dynamic, so only its build knows them: list them by hand"
        notices.append(Notice(file, what))
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
    lines = []
    for name, said in entries.items():
        if canonicalize_name(name) == "python":
            continue
        one = {"version": said} if isinstance(said, str) else said
        if not isinstance(one, dict) or one.get("optional") or "version" not in one:
            what = f"{name} is optional, or not from an index: left out, add it by hand"
            notices.append(Notice(file, what))
            continue
        lines.append(_line(name, _specifier(str(one["version"])), one))
    return lines


def _pipfile(path: Path, root: Path, notices: list[Notice]) -> FoundProject | None:
    content = tomllib.loads(path.read_text("utf-8-sig"))
    file = path.relative_to(root).as_posix()
    lines = []
    for name, said in content.get("packages", {}).items():
        one = {"version": said} if isinstance(said, str) else said
        if not isinstance(one, dict) or {"path", "git", "file"} & set(one):
            notices.append(Notice(file, f"{name} is not from an index: left out, add it by hand"))
            continue
        lines.append(_line(name, _specifier(str(one.get("version", "*"))), one))
    return _project(path, root, lines, lines) if lines else None


def _line(name: str, specifier: str, more: dict[str, Any]) -> str:
    extras = f"[{','.join(more['extras'])}]" if more.get("extras") else ""
    marker = f"; {more['markers']}" if more.get("markers") else ""
    return str(Requirement(f"{name}{extras}{specifier}{marker}"))


def _specifier(text: str) -> str:
    """Return Poetry's and Pipenv's ways to limit a version as PEP 440 writes them."""
    return ",".join(filter(None, (_part(part.strip()) for part in text.split(","))))


def _part(text: str) -> str:
    if text in {"", "*"}:
        return ""
    if found := _CARET.fullmatch(text):
        numbers = [int(one) for one in found[1].split(".")]
        # The leftmost number that is not zero may not change.
        place = next((n for n, one in enumerate(numbers) if one), len(numbers) - 1)
        return f">={found[1]},<{'.'.join(map(str, [*numbers[:place], numbers[place] + 1]))}"
    if (found := _TILDE.fullmatch(text)) and "=" not in text:
        numbers = [int(one) for one in found[1].split(".")]
        upper = numbers[:2] if len(numbers) > 1 else numbers
        return f">={found[1]},<{'.'.join(map(str, [*upper[:-1], upper[-1] + 1]))}"
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
    return SpecifierSet(python).contains(f"{runtime.python_version}.0", prereleases=True)


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

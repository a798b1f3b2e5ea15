"""What a pyproject.toml asks for: its dependencies (PEP 621), extras and groups (PEP 735)."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from packaging.dependency_groups import DependencyGroupResolver
from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name

from layersmith.config.values import judge_url
from layersmith.errors import LockError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence
    from pathlib import Path

NAME = "pyproject.toml"

_HEADER = re.compile(r"\s*\[\[?\s*([^\]]+?)\s*\]")


def is_project(file: str) -> bool:
    """Whether a file, by its name, is a pyproject.toml."""
    return PurePosixPath(file).name == NAME


def unknown(path: Path, groups: Sequence[str], extras: Sequence[str]) -> dict[str, dict[str, str]]:
    """Return why a pyproject.toml does not have some groups and extras: key to name to message.

    One that cannot be read has none that are unknown: `read` says what is wrong with it.
    """
    try:
        content = tomllib.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    table = _table(content, "dependency-groups")
    more = _table(_table(content, "project"), "optional-dependencies")
    return {
        "groups": _missing(f"{path.name} has no dependency group", groups, table),
        "extras": _missing(f"the project of {path.name} has no extra", extras, more),
    }


def _missing(what: str, names: Sequence[str], table: dict[str, Any]) -> dict[str, str]:
    known = [canonicalize_name(key) for key in table]
    found = {}
    for name in names:
        if name not in known:
            listed = f"known: {', '.join(known)}" if known else "it has none"
            found[name] = f"{what} {name}; {did_you_mean(name, known, listed)}"
    return found


def _table(content: dict[str, Any], key: str) -> dict[str, Any]:
    found = content.get(key, {})
    return found if isinstance(found, dict) else {}


def read(
    path: Path, root: Path, groups: Sequence[str], extras: Sequence[str], python: str
) -> list[str]:
    """Return what a pyproject.toml asks for, as requirements (PEP 508) in its order.

    That is what its [project] depends on, with some of its extras, and some of its groups; the
    project itself is not part of it.

    Args:
        path: The file.
        root: Folder of layers.yaml.
        groups: Normalized names of its dependency groups.
        extras: Normalized names of its extras.
        python: Version of the target's Python, ``3.13.0``.

    Raises:
        LockError: It cannot be read, has not got what is asked for, leaves its dependencies to
            its build backend, or does not support this Python.
    """
    return _ProjectReader(path, root).requirements(groups, extras, python)


@dataclass
class _ProjectReader:
    path: Path
    root: Path

    def __post_init__(self) -> None:
        self.name = self.path.relative_to(self.root).as_posix()
        self.text = ""
        try:
            self.text = self.path.read_text("utf-8-sig")
            self.content = tomllib.loads(self.text)
        except (OSError, ValueError, RecursionError) as problem:
            raise self.wrong(f"it cannot be read: {problem}") from None
        self.project = _table(self.content, "project")
        self.own = canonicalize_name(str(self.project.get("name", "")))

    def wrong(
        self, what: str, *place: str, cause: str | None = None, hint: str | None = None
    ) -> LockError:
        """Return an error that names the line of a table or, in it, of a key or a value."""
        line = self._line(*place) if place else None
        where = f"{self.name}:{line}" if line else self.name
        return LockError(f"{where}: {what}", cause=cause, hint=hint, file=self.name, line=line)

    def requirements(self, groups: Sequence[str], extras: Sequence[str], python: str) -> list[str]:
        if "project" not in self.content and not groups:
            raise self.wrong(
                "it has no [project] table (PEP 621)",
                cause=self._poetry(),
                hint="write its dependencies under `dependencies` of [project], or name dependency"
                f" groups: {{file: {self.name}, groups: [...]}}",
            )
        self._supports(python)
        found = self._dependencies()
        for extra in extras:
            found += self._extra(extra, ())
        found += self._groups(groups)
        return found

    def _dependencies(self) -> list[str]:
        self._refuse_dynamic("dependencies")
        lines = self.project.get("dependencies", [])
        return list(self._lines(lines, ("project", "dependencies"), ()))

    def _extra(self, extra: str, above: tuple[str, ...]) -> list[str]:
        self._refuse_dynamic("optional-dependencies")
        table = _table(self.project, "optional-dependencies")
        key = next((key for key in table if canonicalize_name(key) == extra), None)
        if key is None:
            raise self.wrong(f"the project has no extra {extra}", "project.optional-dependencies")
        if extra in above:
            return []
        place = ("project.optional-dependencies", key)
        return list(self._lines(table[key], place, (*above, extra)))

    def _groups(self, groups: Sequence[str]) -> list[str]:
        if not groups:
            return []
        table = _table(self.content, "dependency-groups")
        found: list[Requirement] = []
        group = groups[0]
        try:
            resolver = DependencyGroupResolver(table)
            for group in groups:
                found += resolver.resolve(group)
        except ExceptionGroup as problems:
            if any(isinstance(one, InvalidRequirement) for one in problems.exceptions):
                self._judge_groups(table)
            said = "; ".join(str(one).splitlines()[0] for one in problems.exceptions)
            key = next((key for key in table if canonicalize_name(key) == group), "")
            raise self.wrong(said, "dependency-groups", key, hint="see PEP 735") from None
        place = ("dependency-groups",)
        return [line for one in found for line in self._line_of(str(one), place, ())]

    def _judge_groups(self, table: dict[str, Any]) -> None:
        """Refuse what is not a requirement, with its line; packaging says neither."""
        for key, lines in table.items():
            for line in lines if isinstance(lines, list) else ():
                if isinstance(line, str):
                    list(self._line_of(line, ("dependency-groups", key), ()))

    def _lines(self, lines: Any, place: tuple[str, ...], above: tuple[str, ...]) -> Iterator[str]:
        """Yield a list of requirements; those of the project itself become what they bring."""
        if not isinstance(lines, list) or not all(isinstance(line, str) for line in lines):
            raise self.wrong(f"{'.'.join(place)} is not a list of requirements", *place)
        for line in lines:
            yield from self._line_of(line, place, above)

    def _line_of(self, line: str, place: tuple[str, ...], above: tuple[str, ...]) -> Iterator[str]:
        try:
            requirement = Requirement(line)
            judge_url(requirement)
        except InvalidRequirement as problem:
            reason = str(problem).splitlines()[0]
            what = f"{line!r} is not a requirement (PEP 508): {reason}"
            raise self.wrong(what, *place, line) from None
        except ValueError as problem:
            raise self.wrong(str(problem), *place, line) from None
        if not self.own or canonicalize_name(requirement.name) != self.own:
            yield line
            return
        for extra in sorted(map(canonicalize_name, requirement.extras)):
            yield from self._extra(extra, above)

    def _refuse_dynamic(self, key: str) -> None:
        dynamic = self.project.get("dynamic", [])
        if isinstance(dynamic, list) and key in dynamic:
            raise self.wrong(
                f"the {key} of the project are dynamic: only its build backend knows them",
                *("project", "dynamic"),
                hint="name the file that its backend reads, e.g. requirements.txt, or list the"
                " folder under `packages`, which puts the project itself into the layer",
            )
        if key == "dependencies" and key not in self.project and (cause := self._poetry()):
            raise self.wrong(
                "[project] has no dependencies",
                "tool.poetry.dependencies",
                cause=cause,
                hint="move them to `dependencies` of [project], which Poetry 2 reads as well",
            )

    def _poetry(self) -> str | None:
        poetry = _table(_table(self.content, "tool"), "poetry")
        if set(_table(poetry, "dependencies")) - {"python"} or "group" in poetry:
            return "its dependencies are in [tool.poetry], which only Poetry reads"
        return None

    def _supports(self, python: str) -> None:
        wanted = self.project.get("requires-python")
        try:
            fits = not wanted or SpecifierSet(wanted).contains(python, prereleases=True)
        except (InvalidSpecifier, TypeError, AttributeError):
            what = f"requires-python {wanted!r} is not a set of versions (PEP 440)"
            raise self.wrong(what, "project", "requires-python") from None
        if not fits:
            raise self.wrong(
                f"requires-python {wanted} excludes Python {python}, which the layer is for",
                *("project", "requires-python"),
                hint="change `runtimes` of the layer, or requires-python",
            )

    def _line(self, table: str, *words: str) -> int | None:
        """Return the line of a table or, as far as they are found in it, of words below it."""
        found, inside = None, False
        waiting = list(words)
        for number, line in enumerate(self.text.splitlines(), start=1):
            if header := _HEADER.match(line):
                inside = header[1].replace(" ", "") == table
                found = number if inside and found is None else found
            if inside and waiting and waiting[0] in line:
                found = number
                waiting.pop(0)
                if waiting and waiting[0] in line:
                    waiting.pop(0)
        return found


def selected(
    entries: Sequence[dict[str, Any]], groups: Collection[str], extras: Collection[str]
) -> list[dict[str, Any]]:
    """Return the entries of [tool.uv.sources] that apply with some groups and extras.

    Args:
        entries: What is said of one distribution.
        groups: Normalized names of the groups in use.
        extras: Those of the extras.
    """
    found = []
    for entry in entries:
        rest = {key: value for key, value in entry.items() if key not in {"extra", "group"}}
        wanted = ((entry.get("extra"), extras), (entry.get("group"), groups))
        if all(one is None or canonicalize_name(str(one)) in names for one, names in wanted):
            found.append(rest)
    return found

"""Reads the lock of a team: which version of each distribution it holds.

It may be written by uv, Poetry or Pipenv, or be a pylock.toml (PEP 751). A layer's lock takes these
versions where they fit the target; what does not fit is resolved anew, and said.
"""

from __future__ import annotations

import json
import re
import tomllib
from typing import TYPE_CHECKING, Any

from packaging.markers import InvalidMarker, Marker
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name

from layersmith.base import damage
from layersmith.base.runtimes import marker_environment
from layersmith.errors import LockError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from layersmith.plan import Target

Environment = dict[str, str]


def is_lock(name: str) -> bool:
    """Whether a file, by its name, is the lock of another tool, not a requirements file."""
    return name in _READERS or (name.startswith("pylock.") and name.endswith(".toml"))


def read(path: Path, target: Target) -> dict[str, str]:
    """Return the versions that a lock holds for a target, by normalized name.

    A distribution that it holds in several versions for the target's Python has none here.

    Args:
        path: uv.lock, poetry.lock, Pipfile.lock or a pylock.toml.
        target: The target, for which markers are judged.

    Raises:
        LockError: The file cannot be read.
    """
    environment = marker_environment(target.runtime, target.architecture)
    reader = _READERS.get(path.name, _pylock)
    with damage.told(path.name, LockError, cause="it is not a lock, or was written by hand"):
        text = path.read_text("utf-8")
        content = json.loads(text) if path.name == "Pipfile.lock" else tomllib.loads(text)
        return _single(reader(content, environment))


def listed(path: Path) -> list[str]:
    """Return what a pylock.toml lists, as requirements (PEP 508) without versions.

    What only extras or dependency groups bring is left out.

    Raises:
        LockError: The file cannot be read.
    """
    with damage.told(path.name, LockError, cause="it is not a lock, or was written by hand"):
        packages = tomllib.loads(path.read_text("utf-8"))["packages"]
        marked = [(one["name"], one.get("marker", "")) for one in packages]
    return [
        f"{name}; {marker}" if marker else name
        for name, marker in marked
        if not {"extras", "dependency_groups"} & set(re.findall(r"\w+", marker))
    ]


def _single(found: Iterable[tuple[str, str]]) -> dict[str, str]:
    versions: dict[str, set[str]] = {}
    for name, version in found:
        versions.setdefault(canonicalize_name(name), set()).add(version)
    return {name: next(iter(every)) for name, every in versions.items() if len(every) == 1}


def _uv(content: dict[str, Any], environment: Environment) -> Iterator[tuple[str, str]]:
    """Yield what a uv.lock holds of indexes; members of the workspace have no version to keep."""
    for package in content.get("package", ()):
        markers = package.get("resolution-markers", [])
        fits = not markers or any(_holds(marker, environment) for marker in markers)
        if fits and "registry" in package.get("source", {}):
            yield package["name"], package["version"]


def _poetry(content: dict[str, Any], environment: Environment) -> Iterator[tuple[str, str]]:
    for package in content.get("package", ()):
        pythons = package.get("python-versions", "*")
        if "source" not in package and _admits(pythons, environment):
            yield package["name"], package["version"]


def _pipenv(content: dict[str, Any], environment: Environment) -> Iterator[tuple[str, str]]:
    for name, entry in content["default"].items():
        version = entry.get("version", "")
        if version.startswith("==") and _holds(entry.get("markers"), environment):
            yield name, version.removeprefix("==")


def _pylock(content: dict[str, Any], environment: Environment) -> Iterator[tuple[str, str]]:
    for package in content["packages"]:
        if "version" in package and _holds(package.get("marker"), environment):
            yield package["name"], package["version"]


_READERS = {"uv.lock": _uv, "poetry.lock": _poetry, "Pipfile.lock": _pipenv}


def _holds(marker: str | None, environment: Environment) -> bool:
    """Whether a marker holds; one that asks for more than an environment says counts as held."""
    try:
        # Without the extras and groups that markers of a pylock.toml ask for (PEP 751).
        none: frozenset[str] = frozenset()
        return not marker or Marker(marker).evaluate(
            {"extra": "", "extras": none, "dependency_groups": none, **environment}
        )
    except InvalidMarker:
        return True


def _admits(pythons: str, environment: Environment) -> bool:
    """Whether Poetry's ``python-versions`` admits the target's Python; unions are Poetry's own."""
    try:
        return any(
            SpecifierSet("" if one.strip() == "*" else one).contains(
                environment["python_full_version"], prereleases=True
            )
            for one in pythons.split("||")
        )
    except InvalidSpecifier:
        return True

"""What is used of the user's uv configuration: where packages come from, and nothing else.

A setting that changes what is resolved would be missing on the next machine, so it is refused by
name: it belongs in layers.yaml, where the lock's digest covers it. uv itself is given a file that
holds the remaining settings.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from packaging.markers import Marker
from packaging.utils import canonicalize_name

from layersmith.base import origins
from layersmith.errors import LockError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

_CONSTRAINTS = "under `constraints`"
_REQUIREMENTS = "under `requirements`"
_BUILD = "under `build`"
_EXTRAS = "under `extras`"
_EXCLUDES = "under `excludes`"
_RUNTIMES = "under `runtimes` and `architectures`"

DECIDING: Mapping[str, str] = {
    "all-extras": _EXTRAS,
    "build-constraint-dependencies": "in the [build-system] table of the package",
    "config-settings": _BUILD,
    "config-settings-package": _BUILD,
    "constraint-dependencies": _CONSTRAINTS,
    "dependency-metadata": _CONSTRAINTS,
    "exclude-dependencies": _EXCLUDES,
    "exclude-newer": "under `cool-down`",
    "exclude-newer-package": "under `cool-down-exceptions`",
    "extra": _EXTRAS,
    "extra-build-dependencies": "in the [build-system] table of the package",
    "extra-build-variables": "under `environment`",
    "fork-strategy": _CONSTRAINTS,
    "group": _REQUIREMENTS,
    "no-binary": _BUILD,
    "no-binary-package": _BUILD,
    "no-build": _CONSTRAINTS,
    "no-build-isolation": "in the [build-system] table of the package",
    "no-build-isolation-package": "in the [build-system] table of the package",
    "no-build-package": _CONSTRAINTS,
    "no-deps": _EXCLUDES,
    "no-emit-package": _EXCLUDES,
    "no-extra": _EXTRAS,
    "no-sources": "in the [tool.uv.sources] table itself",
    "no-sources-package": "in the [tool.uv.sources] table itself",
    "only-binary": _BUILD,
    "override-dependencies": "under `overrides`",
    "prerelease": "in the version that `requirements` or `constraints` ask for, e.g. a>=2.0rc1",
    "python-platform": _RUNTIMES,
    "python-version": _RUNTIMES,
    "resolution": _CONSTRAINTS,
    "torch-backend": "as an index of uv with `explicit = true` and an entry of [tool.uv.sources]",
    "universal": _RUNTIMES,
}
"""Settings that change what is resolved, and where layers.yaml or a package says the same."""

_DEFAULTS = {
    "fork-strategy": "requires-python",
    "prerelease": "if-necessary-or-explicit",
    "resolution": "highest",
}
_VARIABLES = {
    "build-constraint-dependencies": "UV_BUILD_CONSTRAINT",
    "constraint-dependencies": "UV_CONSTRAINT",
    "exclude-dependencies": "UV_EXCLUDE",
    "override-dependencies": "UV_OVERRIDE",
}
_OFF = ("", "0", "false", "no", "off", "f", "n")


def refuse_deciding(
    root: Path, constraints: Collection[str] = (), overrides: Collection[str] = ()
) -> None:
    """Refuse settings of uv that change what is resolved.

    Args:
        root: Folder from which uv looks for its configuration.
        constraints: The constraints of layers.yaml; those that uv's configuration holds as well
            do not refuse it.
        overrides: Its overrides, likewise.

    Raises:
        LockError: There is one; it is named with the file, or the variable, that sets it.
    """
    held = {"constraint-dependencies": constraints, "override-dependencies": overrides}
    found = [
        (key, f"{path.name} in {path.parent.name or 'the root folder'} sets `{where}{key}`")
        for path, settings in origins.files(root)
        for where, table in (("pip.", origins.table(settings, "pip")), ("", settings))
        for key in DECIDING
        if _decides(key, table.get(key), held.get(key, ()))
    ]
    for key in DECIDING:
        name = _VARIABLES.get(key, f"UV_{key.upper().replace('-', '_')}")
        if os.environ.get(name, "").lower() not in (*_OFF, _DEFAULTS.get(key, "")):
            found.append((key, f"the environment sets {name}"))
    if found:
        raise LockError(
            f"uv is configured to resolve differently: {'; '.join(text for _, text in found)}",
            cause="the lock has to be the same on every machine, whatever uv is configured to do",
            hint="; ".join(f"`{key}` belongs {DECIDING[key]}" for key, _ in found)
            + "; UV_NO_CONFIG=1 ignores the files of uv's configuration",
        )


def sources(folder: Path, names: Collection[str] | None) -> dict[str, Any]:
    """Return what [tool.uv.sources] says of some distributions, with absolute paths.

    The nearest pyproject.toml counts, then that of its workspace. Members of a workspace become
    paths: the project that is made for uv is not one of them.

    Args:
        folder: Folder of layers.yaml or of a local package.
        names: Normalized names; None for all.

    Raises:
        LockError: The pyproject.toml cannot be read.
    """
    projects = list(_pyprojects(folder.resolve()))
    workspace = next((one for one, settings in projects if "workspace" in settings), None)
    found: dict[str, Any] = {}
    for place, settings in projects:
        if place in {projects[0][0], workspace}:
            for key, value in origins.table(settings, "sources").items():
                name, each = canonicalize_name(key), value if isinstance(value, list) else [value]
                if (names is None or name in names) and name not in found:
                    found[name] = [_source(name, one, place, workspace) for one in each]
    return found


def url_of(entries: Sequence[Mapping[str, Any]], environment: Mapping[str, str]) -> str | None:
    """Return the URL, as PEP 508 writes it, that [tool.uv.sources] gives a distribution.

    Args:
        entries: What it says of the distribution.
        environment: The target's, for markers.

    Returns:
        A URL, or a git repository at what the entry names; None for a folder or an index.
    """
    for entry in entries:
        marker = entry.get("marker")
        if marker and not Marker(marker).evaluate(dict(environment)):
            continue
        below = f"#subdirectory={entry['subdirectory']}" if "subdirectory" in entry else ""
        if "url" in entry:
            return f"{entry['url']}{below}"
        if "git" in entry:
            revision = next((entry[key] for key in ("rev", "tag", "branch") if key in entry), None)
            return f"git+{entry['git']}{f'@{revision}' if revision else ''}{below}"
        return None
    return None


def from_elsewhere(folders: Iterable[Path]) -> set[str]:
    """Return the normalized names that [tool.uv.sources] takes from a folder, a URL or git.

    Args:
        folders: Folders to begin with; the local packages that their sources name follow.

    Raises:
        LockError: A pyproject.toml cannot be read.
    """
    found: set[str] = set()
    seen: set[Path] = set()
    todo = [folder.resolve() for folder in folders]
    while todo:
        folder = todo.pop()
        if folder in seen:
            continue
        seen.add(folder)
        for name, each in sources(folder, None).items():
            found |= {name for one in each if "index" not in one}
            todo += [
                Path(one["path"]) for one in each if "path" in one and Path(one["path"]).is_dir()
            ]
    return found


def _pyprojects(folder: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Yield the folders with a pyproject.toml from here up, each with its [tool.uv]."""
    for above in (folder, *folder.parents):
        if origins.is_there(above / "pyproject.toml"):
            yield above, origins.tool_uv(above / "pyproject.toml")


def _members(workspace: Path) -> dict[str, Path]:
    """Return the members of a uv workspace: normalized name to folder."""
    table = origins.table(origins.tool_uv(workspace / "pyproject.toml"), "workspace")
    places = {workspace}
    for pattern in table.get("members", []):
        places |= set(workspace.glob(pattern))
    for pattern in table.get("exclude", []):
        places -= set(workspace.glob(pattern))
    return {name: place for place in sorted(places) if (name := _project_name(place))}


def _project_name(folder: Path) -> str | None:
    path = folder / "pyproject.toml"
    name = (
        origins.table(origins.read(path), "project").get("name") if origins.is_there(path) else None
    )
    return canonicalize_name(name) if isinstance(name, str) else None


def _source(name: str, source: Any, folder: Path, workspace: Path | None) -> dict[str, Any]:
    if not isinstance(source, dict):
        raise LockError(
            f"the entry of {name} in [tool.uv.sources] is not a table",
            hint=f"write it as uv documents it, e.g. {name} = {{ workspace = true }}",
        )
    if source.get("workspace"):
        member = _members(workspace).get(name) if workspace else None
        if member is None:
            raise LockError(
                f"[tool.uv.sources] calls {name} a member of the workspace, and it is not one",
                hint="check `members` under [tool.uv.workspace]",
            )
        return {**{k: v for k, v in source.items() if k != "workspace"}, "path": str(member)}
    if "path" in source:
        return {**source, "path": str((folder / source["path"]).resolve())}
    return source


def _decides(key: str, value: Any, held: Collection[str]) -> bool:
    if held and isinstance(value, list):
        return not set(value) <= set(held)
    return bool(value) and value != _DEFAULTS.get(key)

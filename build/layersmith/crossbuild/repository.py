"""What a build sees of a git repository, where a package takes its version from there.

A backend such as setuptools-scm asks git for tags, for the commit and for what was changed since.
The build does not see the user's own repository, which a backend could write to, but a clone that
shares its objects. In the clone a file counts as changed only if it is in the checkout, so that the
version is the one that the author gets.
"""

from __future__ import annotations

import re
import tomllib
from typing import TYPE_CHECKING, Any

from layersmith import console, process

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

SCM = "SETUPTOOLS_SCM_PRETEND_VERSION_FOR_{}"
VARIABLES = {
    "dunamai": "",
    "flit-scm": SCM,
    "hatch-vcs": SCM,
    "pbr": "PBR_VERSION",
    "pdm-backend": "PDM_BUILD_SCM_VERSION",
    "poetry-dynamic-versioning": "POETRY_DYNAMIC_VERSIONING_BYPASS",
    "setuptools-git-versioning": "",
    "setuptools-scm": SCM,
    "uv-dynamic-versioning": "UV_DYNAMIC_VERSIONING_BYPASS",
    "vcs-versioning": SCM,
    "versioneer": "",
    "versioningit": "",
}
"""Distributions that take versions from git, as build requirements, each with the variable that
gives the version instead of git, if it reads one; {} stands for the name of the package. From
their documentation, 2026-11."""

NAMES = {
    "setuptools-scm": "setuptools-scm",
    "setuptools_scm": "setuptools-scm",
    "use_scm_version": "setuptools-scm",
    "versioneer": "versioneer",
}
"""How setup.py and setup.cfg ask for one of them."""

NAMED = re.compile("|".join(NAMES))


def source_of_version(folder: Path) -> str | None:
    """Return which distribution takes the version of a local package from git, or None."""
    tables = _tables(folder / "pyproject.toml")
    required = tables.get("build-system", {}).get("requires", [])
    names = {re.split(r"[^\w.-]", str(one).strip(), maxsplit=1)[0].lower() for one in required}
    names = {name.replace("_", "-") for name in names}
    if tables.get("tool", {}).get("pdm", {}).get("version", {}).get("source") != "scm":
        names.discard("pdm-backend")
    for name in ("setup.py", "setup.cfg"):
        if (folder / name).is_file():
            found = NAMED.search((folder / name).read_text("utf-8", "replace"))
            names |= {NAMES[found[0]]} if found else set()
    return min(names & VARIABLES.keys(), default=None)


def top(folder: Path) -> Path:
    """Return the top of the git repository that ``folder`` is in, or ``folder`` itself."""
    folder = folder.resolve()
    return next((one for one in (folder, *folder.parents) if (one / ".git").exists()), folder)


def state(folder: Path) -> dict[str, Any] | None:
    """Return what decides a version from git; None where git has no say, or cannot be asked.

    That is the commit, the branch, the tags up to the commit, and whether anything was changed.
    """
    if source_of_version(folder) is None or not (top(folder) / ".git").exists():
        return None
    refs = ("for-each-ref", "--merged", "HEAD", "--format=%(objectname) %(refname)", "refs/tags")
    try:
        return {
            "commit": _git(top(folder), "rev-parse", "HEAD"),
            "branch": _git(top(folder), "rev-parse", "--abbrev-ref", "HEAD"),
            "tags": sorted(_git(top(folder), *refs).splitlines()),
            "changed": bool(_changed(top(folder))),
        }
    except process.CommandFailed:
        return None


def clone(folder: Path, to: Path, name: str, environment: Mapping[str, str]) -> None:
    """Lay a clone of the repository at ``to``, without files, if the version comes from there.

    Args:
        folder: The local package.
        to: Where the clone goes.
        name: Name of the package.
        environment: Variables of the build. That git cannot be asked is said unless one of them
            gives the version.
    """
    source = source_of_version(folder)
    if source is None:
        return
    origin = top(folder)
    try:
        shallow = _git(origin, "rev-parse", "--is-shallow-repository") == "true"
        options = ("--quiet", "--no-checkout", "--shared", "--template=")
        _git(origin, "clone", *options, str(origin), str(to))
        _git(to, "read-tree", "HEAD")
        tracked = _git(to, "ls-files", "-z").split("\0")
        unchanged = sorted({*tracked} - _changed(origin) - {""})
        _git(to, "update-index", "-z", "--skip-worktree", "--stdin", stdin="\0".join(unchanged))
    except process.CommandFailed as failed:
        said = failed.output.strip().splitlines() or ["git cannot be started"]
        if _variable(source, name) not in environment:
            console.warn(
                f"{source} takes the version of {name} from git, and git cannot read {origin}:"
                f" {said[-1]}"
            )
        return
    if shallow:
        console.warn(
            f"{source} takes the version of {name} from git, and {origin} is a shallow"
            " clone, which may lack tags: run `git fetch --unshallow --tags`"
        )


def advice(folder: Path, name: str) -> str | None:
    """Return what to do where a build fails for want of a version from git, or None."""
    source = source_of_version(folder)
    if source is None or state(folder) is not None:
        return None
    variable = _variable(source, name)
    given = f", or set {variable} under `environment:` of the layer" if variable else ""
    return f"build in a checkout of the git repository with its tags{given}"


def _variable(source: str, name: str) -> str:
    """Return the variable that gives the version of a package instead of git; empty for none."""
    return VARIABLES[source].format(re.sub(r"[-_.]+", "_", name).upper())


def _changed(origin: Path) -> set[str]:
    """Return the tracked files of a checkout that are not as in its commit."""
    words = ("--name-only", "-z", "--no-renames", "--no-ext-diff", "HEAD")
    return {*_git(origin, "diff", *words).split("\0")} - {""}


def _git(folder: Path, *words: str, stdin: str = "") -> str:
    # Optional locks would write to the index of a repository that is only looked at.
    argv = ["git", "--no-optional-locks", "-C", str(folder), *words]
    said = process.pipe(argv, stdin.encode("utf-8", "surrogateescape"))
    return said.decode("utf-8", "surrogateescape").strip("\n")


def _tables(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}  # whoever builds it says what is wrong with it

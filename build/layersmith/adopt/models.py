"""What was found in a repository, and what is to be written into it. All paths are relative."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Literal

from layersmith.config.values import NAME_LENGTH

_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


@dataclass(frozen=True)
class Notice:
    """Something that was left out or has to be decided.

    Attributes:
        file: The file that it concerns.
        text: What it is, as a sentence without a full stop.
    """

    file: str
    text: str


@dataclass(frozen=True)
class FoundFunction:
    """A Python function of a template.

    Attributes:
        name: Its name, as layers.yaml takes it.
        file: The template.
        resource: Its name there.
        code: Folder of its code; None where that is the whole repository or not a folder.
        handler: Its entry point below ``code``.
        runtime: A runtime that layersmith knows.
        architecture: ``arm64`` or ``x86_64``.
        memory: MB, where the template says it.
        timeout: Seconds, where the template says it.
        uses: Folders of the template's own layers that it uses.
    """

    name: str
    file: str
    resource: str
    code: str | None
    handler: str | None
    runtime: str
    architecture: str
    memory: int | None = None
    timeout: int | None = None
    uses: tuple[str, ...] = ()


@dataclass(frozen=True)
class FoundProject:
    """A file of requirements, or a local package.

    Attributes:
        file: The file.
        folder: Its folder, ``.`` for that of the repository.
        requirements: Requirements (PEP 508) that layers.yaml has to list; None where it can name
            the file.
        lines: What it asks for (PEP 508), however layers.yaml says it.
        asked: Normalized names of what it asks for on any runtime and architecture.
        runtimes: The runtimes whose Python it supports.
        packages: Folders of local packages that it asks for.
        title: What its project is called; None where it says nothing.
        package: Normalized name of the local package; None where the file only lists requirements.
        modules: Top-level modules of the local package.
    """

    file: str
    folder: str
    requirements: tuple[str, ...] | None
    lines: tuple[str, ...]
    asked: tuple[str, ...]
    runtimes: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()
    title: str | None = None
    package: str | None = None
    modules: tuple[str, ...] = ()


@dataclass(frozen=True)
class FoundLayer:
    """A layer that layers.yaml will have.

    Attributes:
        name: Its name.
        file: Where its requirements are from.
        requirements: Requirements (PEP 508); None where ``file`` is named in their place.
        asked: Normalized names of what it asks for on each of its runtimes and architectures.
        packages: Folders of local packages that layers.yaml has to list.
        package_names: Normalized names of all local packages that it brings.
        constraints: The lock whose versions it takes.
        keep_provided: Distributions of the runtime that it brings in its own version.
        runtimes: The runtimes of the functions that use it.
        architectures: Their architectures.
        functions: Names of the functions that use it.
    """

    name: str
    file: str
    requirements: tuple[str, ...] | None
    asked: tuple[str, ...]
    packages: tuple[str, ...] = ()
    package_names: tuple[str, ...] = ()
    constraints: str | None = None
    keep_provided: tuple[str, ...] = ()
    runtimes: tuple[str, ...] = ()
    architectures: tuple[str, ...] = ()
    functions: tuple[str, ...] = ()


@dataclass
class FoundRepository:
    """What was found in a repository.

    Attributes:
        layers: The layers that it needs; none where nothing was found.
        functions: Its Python functions that use one of them.
        notices: What was left out or has to be decided.
    """

    layers: list[FoundLayer] = field(default_factory=list)
    functions: list[FoundFunction] = field(default_factory=list)
    notices: list[Notice] = field(default_factory=list)


@dataclass(frozen=True)
class NewFile:
    """A file that is to be written.

    Attributes:
        path: Where.
        content: Its text.
        state: ``exists``: it is left unchanged; otherwise whether it was written.
    """

    path: str
    content: str
    state: Literal["new", "written", "exists"] = "new"


def kebab(text: str) -> str:
    """Return a name as layers.yaml takes it: lower case letters, digits and single hyphens."""
    words = re.sub(r"[^a-z0-9]+", "-", _HUMP.sub("-", text).lower()).strip("-")
    if not words[:1].isalpha():
        words = f"layer-{words}".strip("-")
    return words[:NAME_LENGTH].strip("-")


def unique(name: str, taken: set[str]) -> str:
    """Return a name that is not taken yet, and take it."""
    free, number = name, 2
    while free in taken:
        free, number = f"{name[: NAME_LENGTH - 5].rstrip('-')}-{number}", number + 1
    taken.add(free)
    return free

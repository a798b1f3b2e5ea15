"""The record of an artifact: dist/<stem>.json, versioned, with a JSON Schema.

Sizes are bytes. Everything in it follows from the inputs and their commit, so that two builds of
the same commit write the same manifest, too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, ValidationError
from pydantic_core import to_json

from layersmith import cache
from layersmith.base.models import StrictModel
from layersmith.errors import BuildError
from layersmith.plan import PACKAGES
from layersmith.recipes.models import RecipeUse

if TYPE_CHECKING:
    from pathlib import Path

FORMAT = 1
"""Version of this record; a reader refuses any other."""


class Distribution(StrictModel):
    """One distribution of a layer."""

    name: str
    """Normalized name; ``files:`` and ``modules:`` for what these keys of layers.yaml bring."""
    version: str
    """Its version; for ``files:`` and ``modules:`` ``0+`` and a digest of the files."""
    origin: Literal["wheel", "sdist", "local", "stub", "cross", "files"]
    """Where its files come from."""
    filename: str | None = None
    """File name of the wheel or sdist."""
    sha256: str | None = None
    """SHA-256 of that file in hex."""
    unzipped: int
    """Bytes of its files under /opt."""
    zipped: int
    """Bytes of its files as compressed in the zip, headers left out."""
    native: int
    """Bytes of its ELF files."""
    bytecode: int
    """Bytes of its .pyc files."""
    files: int
    """Number of its files."""
    modules: list[str]
    """Its top-level modules."""
    requires: list[str]
    """Normalized names of the distributions it needs here, markers judged for the target."""
    license: str | None = None
    """License as its METADATA gives it; an SPDX expression where that is certain."""
    license_expression: str | None = None
    """The license as an SPDX expression; None where it is not certain, and for what has none."""


class Dropped(StrictModel):
    """A distribution that was resolved and left out."""

    name: str
    version: str
    reason: str
    """``provided by the runtime``, ``brought by the managed layer ...``, or the reason given in
    layers.yaml or in a recipe."""
    managed: str | None = None
    """Name or ARN of the managed layer that brings it."""


class PrunedRule(StrictModel):
    """What one prune rule removed."""

    rule: str
    files: int
    unzipped: int
    """Bytes, uncompressed."""


class KeptRecord(StrictModel):
    """A file that a prune rule matches and that was kept: a built-in one, or one of a recipe."""

    path: str
    rule: str
    reason: str
    """What needs it: ``boto3/session.py imports botocore.docs``, or why it is kept always."""


class FileRecord(StrictModel):
    """One file of the layer."""

    path: str
    size: int
    """Bytes, uncompressed."""
    zipped: int
    """Bytes as compressed in the zip."""
    distribution: str


class Artifact(StrictModel):
    """The zip."""

    filename: str
    sha256: str
    """SHA-256 in hex."""
    code_sha256: str
    """SHA-256 in base64, as Lambda reports it (CodeSha256)."""
    zipped: int
    """Bytes of the zip."""
    unzipped: int
    """Bytes of its content."""
    files: int


class BytecodeRecord(StrictModel):
    """Whether the layer holds bytecode."""

    mode: str
    """unchecked-hash, none or only, as asked for in layers.yaml."""
    optimize: int = 0
    """How it was compiled, as with `python -O`: 1 without asserts, 2 without docstrings, too."""
    compiled: int
    """Number of .pyc files."""
    interpreter: str | None = None
    """Version of the CPython here that compiles it, ``3.13.5``: another may write other bytes. Null
    where nothing was compiled, and in manifests of older versions."""
    note: str | None = None
    """Why there is none although it was asked for."""


class AuditRecord(StrictModel):
    """What the audit found in a layer that passed it."""

    elf_files: int
    machine: str | None = None
    """Machine of its ELF files, ``aarch64``; None where there are none."""
    highest: dict[str, str] = {}
    """Highest symbol version needed by prefix: {"GLIBC": "2.28"}."""
    warnings: list[str] = []
    accepted: dict[str, str] = {}
    """Findings that layers.yaml accepts, code and path or distribution -> reason."""


class FileInput(StrictModel):
    """A file that the key `files` or `modules` of layers.yaml puts into the layer."""

    path: str
    """Path in the layer."""
    source: str
    """Path beside layers.yaml."""
    sha256: str
    """SHA-256 of the source in hex; stripping may change what the layer holds."""
    executable: bool


class Inputs(StrictModel):
    """What the artifact was made from."""

    digest: str
    """SHA-256 over everything that decides the bytes of the zip."""
    lock: str
    """SHA-256 of the lock file."""
    requirements: list[str]
    packages: dict[str, str]
    """Local packages: folder -> SHA-256 of its sources."""
    files: list[FileInput] = []
    """What the keys `modules` and `files` of layers.yaml bring, by path in the layer."""


class FunctionRecord(StrictModel):
    """The function that a package is of."""

    handler: str
    """Its entry point, as AWS writes it."""
    layers: list[str]
    """Names of the layers that it is used with, in their order."""


class BuildCommit(StrictModel):
    """The commit that an artifact was built from, for whoever builds it again."""

    repository: str | None
    """Where the checkout was cloned from, without a login; null where git does not say."""
    commit: Annotated[str, Field(pattern="^[0-9a-f]{40}([0-9a-f]{24})?$")]
    """Id of the commit."""
    config: str
    """Path of layers.yaml in the repository."""
    changed: list[str] = []
    """Inputs that were not as in the commit, by path in the repository. Where there are any, the
    commit alone does not build the artifact."""


class Manifest(StrictModel):
    """dist/<stem>.json."""

    format: Literal[1] = 1
    layer: str
    """Name of the layer, or of the function whose package it is."""
    version: str
    """Its semantic version; 0.0.0 for a package, which has none."""
    runtime: str
    architecture: str
    identifier: str
    description: str
    license: str | None = None
    artifact: Artifact
    inputs: Inputs
    source: BuildCommit | None = None
    """The commit; null outside a checkout of git."""
    distributions: list[Distribution]
    dropped: list[Dropped]
    steps: dict[str, int] = {}
    """Unzipped bytes after each step of the build, in order: collect (all that its wheels bring),
    prune, files, lite BLAS, strip, bytecode; the files RECORD are corrected after them. Empty in
    manifests of older versions."""
    pruned: list[PrunedRule]
    kept: list[KeptRecord] = []
    """Files that stay although a built-in rule or one of a recipe matches them, by path."""
    recipes: list[RecipeUse] = []
    """Recipes that apply, by name, with all that they left out and what is lost by it."""
    bytecode: BytecodeRecord
    audit: AuditRecord
    tools: dict[str, str]
    """Versions of what decided the bytes: layersmith, deflate, the interpreter's bytecode tag."""
    cross: dict[str, dict[str, Any]] = {}
    """Distributions compiled here, with the record of their build."""
    function: FunctionRecord | None = None
    """The function, where the zip is the package of one."""
    files: list[FileRecord]
    """Every file of the layer, by path."""

    @property
    def variables(self) -> dict[str, str]:
        """The environment variables that recipes want functions with the layer to set."""
        return {name: one.value for use in self.recipes for name, one in use.environment.items()}

    @property
    def stem(self) -> str:
        """Name of its files in dist/, without suffix."""
        return self.artifact.filename.removesuffix(".zip")

    @property
    def site(self) -> str:
        """Where packages lie in the zip: ``python/``, or its root for the package of a function."""
        return "" if self.function else f"{PACKAGES}/"

    def to_json(self) -> str:
        """Return the manifest as it is written."""
        record = self.model_dump(mode="json")
        for key in ("function", "source"):
            if record[key] is None:
                del record[key]
        return to_json(record, indent=1).decode() + "\n"


def write(manifest: Manifest, path: Path) -> None:
    """Write a manifest whole or not at all."""
    cache.write_text(path, manifest.to_json())


def read(path: Path) -> Manifest:
    """Read a manifest.

    Raises:
        BuildError: The file is missing, damaged or of a newer format.
    """
    try:
        return Manifest.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        raise BuildError(
            f"{path.name} is not in {path.parent}",
            cause="the target has not been built",
            hint="run `nox -s build`",
        ) from None
    except ValidationError as problem:
        raise BuildError(
            f"{path.name} is not a manifest of format {FORMAT}",
            cause=str(problem.errors()[0]["msg"]),
            hint="run `nox -s build` to write it anew",
        ) from None

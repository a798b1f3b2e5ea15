"""What a recipe may say. These models are the source of its JSON Schema and of docs/recipes.md.

Sizes are bytes, times milliseconds. Keys are written in kebab-case.
"""

from __future__ import annotations

import datetime
from typing import Annotated, Literal

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from pydantic import AfterValidator, Field, WithJsonSchema

from layersmith.base.models import StrictModel
from layersmith.config.values import (
    Architecture,
    DistributionName,
    Glob,
    LibraryName,
    Model,
    ModuleName,
    PackageVersion,
    Reason,
    RelativePath,
    RequirementString,
    RuntimeName,
    Variable,
)


def _range(value: str) -> str:
    try:
        SpecifierSet(value)
    except InvalidSpecifier:
        raise ValueError(f"{value!r} is not a range of versions (PEP 440), e.g. >=2,<3") from None
    return value


VersionRange = Annotated[
    str, AfterValidator(_range), WithJsonSchema({"title": "range of versions", "type": "string"})
]


class RecipeVariable(Model):
    """An environment variable that a function with this distribution should set."""

    value: Annotated[str, Field(examples=["/tmp/matplotlib"])]  # noqa: S108 -- on Lambda
    """Its value."""
    reason: Reason
    """What goes wrong without it."""


class RecipeStub(Model):
    """A small module that takes the place of a distribution."""

    path: Annotated[RelativePath, Field(examples=["stubs/overrides"])]
    """Folder whose content is laid at python/, relative to the recipe."""
    reason: Reason
    """What is lost."""


class RecipeBytecode(Model):
    """Bytecode in the place of sources."""

    optimize: Literal[0, 1, 2] = 0
    """Level of `python -O`: 1 leaves out asserts, 2 docstrings as well."""
    reason: Reason
    """What is lost."""


class RecipeProof(Model):
    """Real work that shows that nothing is missing."""

    requirements: list[RequirementString] = []
    """What is installed for it (PEP 508); by default the distribution itself."""
    snippet: Annotated[str, Field(min_length=1)]
    """Python that does the work, asserts its result and prints it. With and without the recipe it
    has to print the same."""


class Measured(Model):
    """Zip and start with everything, and with what the recipe leaves."""

    runtime: RuntimeName
    """Runtime of the layers."""
    architecture: Architecture
    """Their architecture."""
    version: PackageVersion
    """Version of the distribution."""
    plain_zip: int
    """Bytes of the zip without a recipe."""
    thin_zip: int
    """Bytes of the zip with `recipes: all`."""
    plain_start: float
    """Milliseconds from the start of the runtime to the first answer without a recipe, median."""
    thin_start: float
    """The same with `recipes: all`."""
    date: datetime.date
    """Day of the measurement."""


class Recipe(Model):
    """What is known of one distribution, whose normalized name is the name of the file.

    `optional`, `keep`, `libraries` and `environment` cost nothing and apply by themselves. What
    loses something (`prune`, `excludes`, `stubs`, `lite-blas`, `bytecode`) applies where
    layers.yaml takes it by `recipes`.
    """

    versions: Annotated[VersionRange, Field(examples=[">=2,<3"])] = ""
    """Range of versions that it is known to fit (PEP 440); outside of it, it does not apply."""
    source: Annotated[list[Reason], Field(min_length=1)]
    """Where its facts are from."""
    lite_blas: Reason | None = None
    """What is lost by a small BLAS in the place of numpy's OpenBLAS."""
    optional: Annotated[
        dict[ModuleName, Reason], Field(examples=[{"pandas.io.sas.*": "needs a compiled reader"}])
    ] = {}
    """Modules (globs) that need not be importable, each with the reason."""
    keep: Annotated[dict[Glob, Reason], Field(examples=[{"django/test/": "public API"}])] = {}
    """Globs over paths below python/ that no prune rule removes, each with the reason."""
    libraries: Annotated[
        dict[LibraryName, Reason], Field(examples=[{"libmagic.so.1": "file-libs"}])
    ] = {}
    """Libraries that are loaded by name, each with what brings it."""
    environment: dict[Variable, RecipeVariable] = {}
    """Environment variables that matter on Lambda."""
    prune: Annotated[dict[Glob, Reason], Field(examples=[{"numpy/f2py/": "no f2py"}])] = {}
    """Globs over paths below python/ that are left out, each with what is lost. What another
    distribution of the layer imports stays."""
    excludes: dict[DistributionName, Reason] = {}
    """Dependencies that are left out, each with what is lost."""
    stubs: dict[DistributionName, RecipeStub] = {}
    """Dependencies that a small module replaces."""
    bytecode: RecipeBytecode | None = None
    """Its bytecode takes the place of its sources, as `bytecode: only` does for a layer. A layer
    that sets `bytecode` or `optimize` decides for itself."""
    proof: RecipeProof | None = None
    """What `recipe check` runs."""
    measured: list[Measured] = []
    """What `recipe check` measured."""

    @property
    def costs(self) -> bool:
        """Whether something in it loses anything."""
        lost = (self.prune, self.excludes, self.stubs, self.lite_blas, self.bytecode)
        return any(lost)

    def fits(self, version: str) -> bool:
        """Whether it is known to fit a version."""
        return SpecifierSet(self.versions).contains(version, prereleases=True)


class RecipeUse(StrictModel):
    """What the recipe of one distribution did to a layer, as its manifest records it."""

    name: str
    """Normalized name of the distribution."""
    version: str
    """Its locked version."""
    team: bool = False
    """Whether the recipe is from the folder that layers.yaml names."""
    taken: bool = False
    """Whether layers.yaml takes what loses something: what is left out, and bytecode only."""
    optional: dict[str, str] = {}
    """Modules (globs) that need not be importable -> why."""
    keep: dict[str, str] = {}
    """Globs that no prune rule removes -> why."""
    libraries: dict[str, str] = {}
    """Libraries that are loaded by name -> what brings them."""
    environment: dict[str, RecipeVariable] = {}
    """Variables that functions should set."""
    prune: dict[str, str] = {}
    """Globs of what was left out -> what is lost."""
    excludes: dict[str, str] = {}
    """Distributions that were left out -> what is lost."""
    orphans: dict[str, str] = {}
    """Distributions that were left out because only others need them that were -> why."""
    stubs: dict[str, str] = {}
    """Distributions that a stub replaces -> what is lost."""
    lite_blas: str | None = None
    """What is lost by the lite BLAS, where it is used."""
    bytecode: RecipeBytecode | None = None
    """How its sources were compiled, where their bytecode takes their place."""
    withheld: dict[str, str] = {}
    """What the recipe would leave out and does not -> why."""
    unmatched: list[str] = []
    """Globs of the recipe that match no file of the layer."""

    @property
    def losses(self) -> dict[str, str]:
        """What was left out -> what is lost."""
        blas = {"OpenBLAS": self.lite_blas} if self.lite_blas else {}
        sources = {"sources": self.bytecode.reason} if self.bytecode else {}
        return {**self.excludes, **self.stubs, **blas, **sources, **self.prune}

"""What layers.yaml may say. These models are the source of the JSON Schema and of the reference.

Sizes are bytes: ``MB`` is 10**6 and ``MiB`` is 2**20, as in pydantic's ByteSize. Durations are
seconds. Keys are written in kebab-case.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Annotated, Any, Self

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ByteSize,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    model_validator,
)

from layersmith import runtimes

MERGED = ("budgets", "prune", "environment")
"""Settings of ``defaults`` that are merged key by key; all others are replaced as a whole."""

NAME = re.compile(r"^[a-z][a-z0-9]*(-[a-z0-9]+)*$")
SEMVER = re.compile(
    r"^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)"
    r"(?:-((?:0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*)(?:\.(?:0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*))*))?$"
)
"""Semantic Versioning 2.0.0 without build metadata, which no tag or parameter path should hold."""

DURATION = re.compile(r"^\s*([0-9]+(?:\.[0-9]+)?)\s*(ms|s)\s*$")
PERCENT = re.compile(r"^\s*([0-9]+(?:\.[0-9]+)?)\s*%\s*$")
REGION = re.compile(r"^[a-z]{2}(-[a-z]+)+-[0-9]$")
MODULE = re.compile(r"^[A-Za-z_*?][\w*?]*(\.[\w*?]+)*$")
VARIABLE = re.compile(r"^[A-Za-z_][A-Za-z0-9_]*$")


def _duration(value: Any) -> Any:
    """Turn ``3s``, ``450ms`` or a number of seconds into seconds."""
    if isinstance(value, str):
        found = DURATION.match(value)
        if not found:
            raise ValueError("a duration is a number with ms or s, such as 3s or 450ms")
        number = float(found[1])
        return number / 1000 if found[2] == "ms" else number
    return value


def _percent(value: Any) -> Any:
    """Turn ``10%`` into 10.0."""
    if isinstance(value, str):
        found = PERCENT.match(value)
        if not found:
            raise ValueError("a growth is a percentage, such as 10%")
        return float(found[1])
    return value


def _runtime(value: str) -> str:
    if value not in runtimes.RUNTIMES:
        raise ValueError(f"unknown runtime {value!r}; known: {', '.join(runtimes.RUNTIMES)}")
    return value


def _architecture(value: str) -> str:
    if value not in runtimes.ARCHITECTURES:
        raise ValueError(
            f"unknown architecture {value!r}; known: {', '.join(runtimes.ARCHITECTURES)}"
        )
    return value


def _semver(value: str) -> str:
    if not SEMVER.match(value):
        raise ValueError(f"{value!r} is not a semantic version, such as 1.2.0")
    return value


def _requirement(value: str) -> str:
    try:
        Requirement(value)
    except InvalidRequirement as problem:
        raise ValueError(f"{value!r} is not a requirement (PEP 508): {problem}") from None
    return value


def _distribution(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?", value):
        raise ValueError(f"{value!r} is not the name of a distribution")
    return canonicalize_name(value)


def _extra(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?", value):
        raise ValueError(f"{value!r} is not the name of an extra (PEP 685)")
    return canonicalize_name(value)


def _name(value: str) -> str:
    if not NAME.match(value) or len(value) > 64:
        raise ValueError(
            f"{value!r} is not a name: lower case letters, digits and single hyphens, up to 64"
        )
    return value


def _region(value: str) -> str:
    if not REGION.match(value):
        raise ValueError(f"{value!r} is not a region, such as eu-central-1")
    return value


def _module(value: str) -> str:
    if not MODULE.match(value):
        raise ValueError(f"{value!r} is not a module, such as PIL or numpy.f2py")
    return value


def _variable(value: str) -> str:
    if not VARIABLE.match(value):
        raise ValueError(f"{value!r} is not the name of an environment variable")
    return value


def _glob(value: str) -> str:
    if not value or value.startswith(("/", "python/")) or "\\" in value or "\0" in value:
        raise ValueError(
            f"{value!r} is not a glob below python/: no leading / or python/, forward slashes"
        )
    return value


def _inside(value: str) -> str:
    if not value or value.startswith(("/", "~")) or "\\" in value or "\0" in value:
        raise ValueError(f"{value!r} is not a path relative to layers.yaml with forward slashes")
    return value


def _distinct(values: list[str]) -> list[str]:
    twice = sorted({value for value in values if values.count(value) > 1})
    if twice:
        raise ValueError(f"listed twice: {', '.join(twice)}")
    return values


def _list_or_file(value: Any) -> str:
    return "file" if isinstance(value, dict | RequirementsFile) else "list"


def _principal(value: str) -> str:
    if value == "public" or re.fullmatch(r"o-[a-z0-9]{10,32}|\d{12}", value):
        return value
    raise ValueError(f"{value!r} is not public, an organization (o-...) or an account of 12 digits")


Duration = Annotated[float, BeforeValidator(_duration), Field(gt=0)]
Percent = Annotated[float, BeforeValidator(_percent), Field(ge=0)]
RuntimeName = Annotated[str, AfterValidator(_runtime)]
Architecture = Annotated[str, AfterValidator(_architecture)]
SemVer = Annotated[str, AfterValidator(_semver)]
RequirementString = Annotated[str, AfterValidator(_requirement)]
DistributionName = Annotated[str, AfterValidator(_distribution)]
Principal = Annotated[str, AfterValidator(_principal)]
Reason = Annotated[str, Field(min_length=3)]
Name = Annotated[str, AfterValidator(_name)]
ExtraName = Annotated[str, AfterValidator(_extra)]
Region = Annotated[str, AfterValidator(_region)]
ModuleName = Annotated[str, AfterValidator(_module)]
Variable = Annotated[str, AfterValidator(_variable)]
Glob = Annotated[str, AfterValidator(_glob)]
RelativePath = Annotated[str, AfterValidator(_inside)]
Distinct = AfterValidator(_distinct)


def _kebab(name: str) -> str:
    return name.replace("_", "-")


class Model(BaseModel):
    """Base: kebab-case keys, unknown keys refused, immutable."""

    model_config = ConfigDict(
        alias_generator=_kebab,
        populate_by_name=True,
        extra="forbid",
        frozen=True,
        use_attribute_docstrings=True,
        defer_build=True,
    )


class BytecodeMode(StrEnum):
    """Whether a layer holds bytecode, and which."""

    UNCHECKED_HASH = "unchecked-hash"
    """Sources and .pyc files that are never compared with their source (PEP 552)."""
    NONE = "none"
    """Sources alone: every start compiles them anew."""
    ONLY = "only"
    """.pyc files in the place of their sources: smallest, but tracebacks show no lines."""


class Budgets(Model):
    """How large and how slow a layer may be."""

    zipped: ByteSize | None = None
    """Bytes of the zip."""
    unzipped: ByteSize | None = None
    """Bytes under /opt."""
    cold_start: Duration | None = None
    """Seconds from the start of the runtime to the first answer, median."""
    growth: Percent | None = None
    """Percent by which the zip may grow against the last release."""


class Prune(Model):
    """Which files are left out of a layer."""

    defaults: bool = True
    """Apply the built-in rules: tests, caches, headers, .pyi, static libraries, docs."""
    add: list[Glob] = []
    """More globs over paths below python/, such as numpy/f2py/**."""
    keep: list[Glob] = []
    """Globs over paths that stay although a rule would remove them."""


class Stub(Model):
    """A small module that takes the place of a distribution."""

    path: RelativePath
    """Folder whose content is laid at python/, relative to layers.yaml."""
    reason: Reason
    """Why the distribution itself is not needed."""


class BuildOptions(Model):
    """How an sdist is cross-compiled."""

    version: str | None = None
    """Version to compile; a constraint on the resolution."""
    setup_args: list[str] = []
    """Arguments for the build backend's set-up, such as -Dblas=none for meson-python."""
    config_settings: dict[str, str] = {}
    """PEP 517 config settings, passed on as they are."""
    environment: dict[Variable, str] = {}
    """Variables that the build sees."""
    container: bool = False
    """Build in a container of the target's architecture in place of cross-compiling."""


class RequirementsFile(Model):
    """A requirements file."""

    file: RelativePath
    """Path relative to layers.yaml."""


Requirements = Annotated[
    Annotated[list[RequirementString], Tag("list")] | Annotated[RequirementsFile, Tag("file")],
    Discriminator(_list_or_file),
]
"""Requirements inline, or the file that holds them."""


class LayerSettings(Model):
    """What a layer says, and what ``defaults`` may say for all of them."""

    runtimes: Annotated[list[RuntimeName], Field(min_length=1), Distinct]
    """Lambda runtimes to build for."""
    architectures: Annotated[list[Architecture], Field(min_length=1), Distinct] = ["arm64"]
    """arm64, x86_64 or both."""
    constraints: Requirements = []
    """Versions that the resolver must respect."""
    excludes: dict[DistributionName, Reason] = {}
    """Distributions that are resolved but left out, each with the reason."""
    stubs: dict[DistributionName, Stub] = {}
    """Distributions that a small module replaces."""
    prune: Prune = Prune()
    """Which files are left out."""
    strip: bool = True
    """Remove symbols and debug sections from ELF files."""
    bytecode: BytecodeMode = BytecodeMode.UNCHECKED_HASH
    """unchecked-hash, none or only."""
    lite_blas: bool = False
    """Replace numpy's OpenBLAS by a small BLAS and LAPACK built from numpy's own sources."""
    environment: dict[Variable, str] = {}
    """Variables that builds of local packages and sdists see."""
    build: dict[DistributionName, BuildOptions] = {}
    """Distributions that are compiled from their sdist, and how."""
    budgets: Budgets = Budgets()
    """Limits on size and cold start."""
    keep_provided: list[DistributionName] = []
    """Distributions that go into the layer although the runtime provides them."""
    import_exceptions: dict[ModuleName, Reason] = {}
    """Modules (globs) that cannot be imported by design, each with the reason."""
    forbid_imports: list[ModuleName] = []
    """Modules that must not be loaded, nor be in the layer."""
    managed_layers: list[str] = []
    """Layers of AWS or others that functions use beside this one, by name."""
    license: Annotated[str, Field(max_length=512)] | None = None
    """SPDX expression for LicenseInfo of the layer version (AWS: up to 512 characters)."""
    regions: Annotated[list[Region], Distinct] = []
    """Regions to publish to; the first one is where the canary starts."""
    principals: list[Principal] = []
    """Who may use the layer: public, an organization (o-...), accounts of 12 digits."""
    align: bool = False
    """Give one release the same integer version in every region."""


class LayerDefaults(LayerSettings):
    """Settings that hold for every layer that does not say otherwise."""

    runtimes: Annotated[list[RuntimeName], Field(min_length=1), Distinct] | None = None  # type: ignore[assignment]
    """Lambda runtimes to build for."""


class Layer(LayerSettings):
    """One layer, with the defaults already applied."""

    description: Annotated[str, Field(min_length=1, max_length=200)]
    """What the layer is for; semver and digest are added (AWS: up to 256 characters)."""
    version: SemVer
    """Semantic version of the layer, quoted."""
    requirements: Requirements = []
    """Distributions asked for, inline (PEP 508) or {file: PATH}."""
    packages: Annotated[list[RelativePath], Distinct] = []
    """Folders of local packages, built through their own pyproject.toml."""
    extras: dict[DistributionName, list[ExtraName]] = {}
    """Extras to add to a requirement or local package."""
    smoke: RelativePath | None = None
    """Test file, plain pytest, that is run inside the runtime."""

    @model_validator(mode="after")
    def _holds_something(self) -> Self:
        if self.requirements == [] and not self.packages:
            raise ValueError("a layer needs requirements or packages")
        return self


class Function(Model):
    """A function and the layers it uses together, judged against Lambda's limits."""

    layers: Annotated[list[str], Field(min_length=1)]
    """Names of layers, in the order in which Lambda unpacks them."""
    code: RelativePath | None = None
    """Folder of the function's own code, relative to layers.yaml."""
    memory: Annotated[int, Field(ge=128, le=10_240)] = 512
    """MB of memory (AWS: 128 to 10,240)."""
    timeout: Annotated[int, Field(ge=1, le=900)] = 30
    """Seconds until Lambda ends an invocation (AWS: 1 to 900)."""
    event: RelativePath | None = None
    """Sample event, a JSON file, for the smoke test."""


class Config(Model):
    """layers.yaml as a whole."""

    defaults: LayerDefaults = LayerDefaults()
    """Settings for every layer that does not say otherwise."""
    layers: Annotated[dict[Name, Layer], Field(min_length=1)]
    """The layers by name: lower case, digits and hyphens."""
    functions: dict[Name, Function] = {}
    """The functions by name."""

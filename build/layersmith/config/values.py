"""The kinds of values in layers.yaml: how they are read, checked and described to editors.

A value is written as people write it (``30MB``, ``450ms``, ``10%``) and read as a number of
bytes, seconds or percent. Each kind carries its own JSON Schema, whose pattern accepts exactly
what the validator accepts.
"""

from __future__ import annotations

import datetime
import re
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, Self
from urllib.parse import urlsplit

from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version
from pydantic import (
    AfterValidator,
    BeforeValidator,
    ByteSize,
    ConfigDict,
    Field,
    WithJsonSchema,
)

from layersmith.base import architectures, runtimes
from layersmith.base.models import StrictModel

if TYPE_CHECKING:
    from pydantic import GetJsonSchemaHandler
    from pydantic_core import CoreSchema

NAME_PATTERN = r"^[a-z][a-z0-9]*(-[a-z0-9]+)*$"
NAME_LENGTH = 64
SEMVER_PATTERN = (
    r"^(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)"
    r"(-(0|[1-9][0-9]*|[0-9]*[a-zA-Z-][0-9a-zA-Z-]*)"
    r"(\.(0|[1-9][0-9]*|[0-9]*[a-zA-Z-][0-9a-zA-Z-]*))*)?$"
)
"""Semantic Versioning 2.0.0 without build metadata, which no tag or parameter path should hold."""

SIZE_PATTERN = r"^[0-9]+(\.[0-9]+)? ?(B|kB|KB|MB|GB|KiB|MiB|GiB)$"
DURATION_PATTERN = r"^([0-9]+(\.[0-9]+)?) ?(ms|s)$"
AGE_PATTERN = r"^([1-9][0-9]{0,3}) ?(h|d)$"
DATE_PATTERN = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"
ADVISORY_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._:-]{0,127}$"
PERCENT_PATTERN = r"^([0-9]+(\.[0-9]+)?) ?%$"
DISTRIBUTION_PATTERN = r"^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$"
"""Names of distributions and extras (PyPA's core metadata, field Name)."""
REGION_PATTERN = r"^[a-z]{2}(-[a-z]+)+-[0-9]$"
MODULE_PATTERN = r"^[A-Za-z_*?][A-Za-z0-9_*?]*(\.[A-Za-z0-9_*?]+)*$"
VARIABLE_PATTERN = r"^[A-Za-z_][A-Za-z0-9_]*$"
FINDING_PATTERN = r"^[A-Z]+(-[A-Z]+)* \S.*$"
GLOB_PATTERN = r"^(?!/|python/)[^\\]+$"
PATH_PATTERN = r"^(?![/~])[^\\]+$"
LAYER_PATH_PATTERN = r"^(?!(.*/)?\.{1,2}(/|$))[^/\\\x00-\x1f]+(/[^/\\\x00-\x1f]+)*$"
"""A path in the zip: no leading or doubled slash, no ``.`` or ``..`` among its parts."""
HANDLER_PATTERN = r"^[A-Za-z0-9_-]+([./][A-Za-z0-9_-]+)*\.[A-Za-z_][A-Za-z0-9_]*$"
"""A handler as AWS writes it: folders and packages by slashes or dots, the name after a dot."""
HANDLER_LENGTH = 128
"""Characters of a handler (AWS Lambda's API, CreateFunction, Handler)."""
LIBRARY_PATTERN = r"^[^/\\\s]+$"
LAYER_ARN_PATTERN = (
    r"^arn:aws[a-z-]*:lambda:[a-z0-9-]+:[0-9]{12}:layer:[A-Za-z0-9_-]{1,140}:[1-9][0-9]*$"
)
"""A layer version (AWS Lambda's API, LayerVersionArn)."""
ACCOUNT_PATTERN = r"^[0-9]{12}$"
PRINCIPAL_PATTERN = r"^(public|o-[a-z0-9]{10,32}|[0-9]{12})$"

KINDS: dict[str, tuple[str, str]] = {}
"""Pattern of a kind of text to the name of that kind, and to what editors say if it is not one."""


def _matches(pattern: str, value: str) -> re.Match[str] | None:
    # `$` alone would let a final newline through.
    return None if "\n" in value or "\0" in value else re.match(pattern, value)


def _text(title: str, pattern: str, what: str, **more: Any) -> tuple[Any, Any]:
    """Return the validator and the JSON Schema of a text that has to match ``pattern``."""

    def check(value: str) -> str:
        if not _matches(pattern, value) or len(value) > more.get("maxLength", len(value)):
            raise ValueError(f"{value!r} is not {what}")
        return value

    KINDS.setdefault(pattern, (title, f"Write {what}."))
    schema = {"title": title, "type": "string", "pattern": pattern, **more}
    return AfterValidator(check), WithJsonSchema(schema | said(f"Write {what}."))


def said(message: str) -> dict[str, str]:
    """Return what editors say of a value of the wrong kind, and of a text that does not match.

    The keywords are those of VS Code's JSON and YAML language servers.
    """
    return {"errorMessage": message, "patternErrorMessage": message}


def _number(title: str, pattern: str, what: str) -> WithJsonSchema:
    """Return the JSON Schema of a number that may be written with its unit."""
    message = said(f"{what[0].upper()}{what[1:]}.")
    number = {"type": "number", "minimum": 0, **message}
    text = {"type": "string", "pattern": pattern, **message}
    return WithJsonSchema({"title": title, "anyOf": [number, text]})


A_SIZE = "a size is a number with a unit, e.g. 30MB or 250MiB"
A_DURATION = "a duration is a number with ms or s, e.g. 3s or 450ms"
AN_AGE = "an age is a whole number with d or h, e.g. 7d or 36h"
A_DATE = "a date is written as in 2027-01-31"
A_GROWTH = "a growth is a percentage, e.g. 10%"


def _size(value: Any) -> Any:
    """Let pydantic turn ``30MB`` into bytes, in the units of the schema alone."""
    if isinstance(value, str) and not _matches(SIZE_PATTERN, value):
        raise ValueError(A_SIZE)
    return value


def _duration(value: Any) -> Any:
    """Turn ``3s`` or ``450ms`` into seconds."""
    if not isinstance(value, str):
        return value
    found = _matches(DURATION_PATTERN, value)
    if not found:
        raise ValueError(A_DURATION)
    return float(found[1]) / (1000 if found[3] == "ms" else 1)


GIT_SCHEMES = ("git+https", "git+ssh", "git+http", "git+file")
ARCHIVES = (".whl", ".tar.gz", ".zip", ".tar.bz2", ".tar.xz", ".tgz")
"""Names of files that a URL may lead to: wheels, and archives that pip takes as sdists."""


def _age(value: Any) -> Any:
    """Turn ``7d`` or ``12h`` into a span of time."""
    if isinstance(value, datetime.timedelta):
        return value
    found = _matches(AGE_PATTERN, value) if isinstance(value, str) else None
    if not found:
        raise ValueError(AN_AGE)
    return datetime.timedelta(hours=int(found[1]) * (24 if found[2] == "d" else 1))


def _date(value: Any) -> Any:
    """Turn ``2027-01-31`` into a date."""
    if isinstance(value, datetime.date):
        return value
    if not isinstance(value, str) or not _matches(DATE_PATTERN, value):
        raise ValueError(A_DATE)
    try:
        return datetime.date.fromisoformat(value)
    except ValueError:
        raise ValueError(f"{value} is not a day of the calendar") from None


def _percent(value: Any) -> Any:
    """Turn ``10%`` into 10.0."""
    if not isinstance(value, str):
        return value
    found = _matches(PERCENT_PATTERN, value)
    if not found:
        raise ValueError(A_GROWTH)
    return float(found[1])


A_LICENSE = "Write an SPDX identifier, e.g. MIT, or a pattern, e.g. GPL-*"


def _license(value: str) -> str:
    """Refuse what SPDX's list does not have: a gate that never matches protects nobody."""
    if "*" in value:
        if not re.fullmatch(r"[A-Za-z0-9.+*-]+", value):
            raise ValueError(f"{value!r} is not a pattern over SPDX identifiers, e.g. GPL-*")
        return value
    try:
        found = canonicalize_license_expression(value)
    except InvalidLicenseExpression as problem:
        raise ValueError(f"{A_LICENSE}: {problem}") from None
    if re.search(r" (AND|OR) |[()]", found):
        raise ValueError(f"{value!r} is an expression; list its licences one by one")
    return found


def _one_of(title: str, known: dict[str, str]) -> tuple[Any, Any]:
    """Return the validator and the JSON Schema of a word that is one of few, each explained."""

    def check(value: str) -> str:
        if value not in known:
            raise ValueError(f"unknown {title} {value!r}; known: {', '.join(known)}")
        return value

    schema = {"title": title, "enum": list(known), "enumDescriptions": list(known.values())}
    return AfterValidator(check), WithJsonSchema(schema)


def _about(runtime: runtimes.Runtime) -> str:
    """Say what a runtime is, in half a line."""
    words = [runtime.system.title]
    words += ["preview"] if runtime.preview else []
    words += [f"deprecated from {runtime.deprecated}"] if runtime.deprecated else []
    return ", ".join(words)


class DescribedChoice(StrEnum):
    """One of few words, each written with its sense, which editors show."""

    sense: str

    def __new__(cls, word: str, sense: str) -> Self:
        """Make a member of its word."""
        made = str.__new__(cls, word)
        made._value_ = word
        made.sense = sense
        return made

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        """Add what the members mean to the schema of an enumeration."""
        return {**handler(core), "enumDescriptions": [one.sense for one in cls]}


def _requirement(value: str) -> str:
    try:
        requirement = Requirement(value)
    except InvalidRequirement as problem:
        reason = str(problem).splitlines()[0]
        raise ValueError(f"{value!r} is not a requirement (PEP 508): {reason}") from None
    judge_url(requirement)
    return value


def judge_url(requirement: Requirement) -> None:
    """Judge the URL of a requirement, if it has one.

    Raises:
        ValueError: It holds a login, or is neither a wheel, an sdist nor a git repository.
    """
    if not requirement.url:
        return
    url = urlsplit(requirement.url)
    if url.password or (url.username and not url.scheme.endswith("ssh")):
        raise ValueError(
            f"the URL of {requirement.name} holds a login, which would be committed; give it to"
            " git or uv, e.g. in ~/.netrc or a credential helper"
        )
    if url.scheme == "file":
        raise ValueError(
            f"{requirement.name} is a local file or folder; list a folder under `packages`, and"
            " give the folder of a wheel to uv as `find-links`"
        )
    if url.scheme not in GIT_SCHEMES and not (
        url.scheme in {"http", "https"} and url.path.endswith(ARCHIVES)
    ):
        raise ValueError(
            f"the URL of {requirement.name} is not that of a wheel, of an sdist"
            f" ({', '.join(ARCHIVES[1:])}) or of a git repository ({', '.join(GIT_SCHEMES)})"
        )


def _version(value: str) -> str:
    try:
        return str(Version(value))
    except InvalidVersion:
        raise ValueError(f"{value!r} is not a version (PEP 440)") from None


def _unzipped(value: int) -> int:
    if value > runtimes.UNZIPPED_LIMIT:
        raise ValueError(
            f"{value:,} bytes are more than Lambda takes, all layers and code of a function"
            f" together: {runtimes.UNZIPPED_LIMIT:,} bytes (250MiB)"
        )
    return value


def _init(value: float) -> float:
    if value > runtimes.INIT_LIMIT:
        raise ValueError(
            f"{value:g} s is longer than Lambda lets a function initialize: {runtimes.INIT_LIMIT} s"
        )
    return value


def _distinct(values: list[str]) -> list[str]:
    twice = sorted({value for value in values if values.count(value) > 1})
    if twice:
        raise ValueError(f"listed twice: {', '.join(twice)}")
    return values


Size = Annotated[
    ByteSize, BeforeValidator(_size), Field(gt=0), _number("size", SIZE_PATTERN, A_SIZE)
]
"""Bytes: MB is 10**6 and MiB is 2**20."""

Duration = Annotated[
    float,
    BeforeValidator(_duration),
    Field(gt=0),
    _number("duration", DURATION_PATTERN, A_DURATION),
]
"""Seconds."""

Age = Annotated[
    datetime.timedelta,
    BeforeValidator(_age),
    WithJsonSchema(
        {"title": "age", "type": "string", "pattern": AGE_PATTERN, **said(f"{AN_AGE}.")}
    ),
]
"""A span of time, written in days or hours."""

Date = Annotated[
    datetime.date,
    BeforeValidator(_date),
    WithJsonSchema(
        {"title": "date", "type": "string", "pattern": DATE_PATTERN, **said(f"{A_DATE}.")}
    ),
]
AdvisoryId = Annotated[
    str,
    *_text("advisory", ADVISORY_PATTERN, "the identifier of an advisory, e.g. CVE-2026-12345"),
]

UnzippedSize = Annotated[Size, AfterValidator(_unzipped)]
"""Bytes of a layer, unpacked; no more than a function may have."""

InitDuration = Annotated[Duration, AfterValidator(_init)]
"""Seconds of a cold start; no more than Lambda gives it."""

Percent = Annotated[
    float, BeforeValidator(_percent), Field(ge=0), _number("percentage", PERCENT_PATTERN, A_GROWTH)
]

LicenseName = Annotated[
    str,
    AfterValidator(_license),
    WithJsonSchema({"title": "licence", "type": "string", "minLength": 1} | said(f"{A_LICENSE}.")),
]
"""One licence of SPDX's list, also with an exception, or a glob over identifiers."""

RuntimeName = Annotated[
    str, *_one_of("runtime", {name: _about(one) for name, one in runtimes.RUNTIMES.items()})
]
Architecture = Annotated[
    str,
    *_one_of("architecture", {name: one.title for name, one in architectures.MACHINES.items()}),
]
EveryRecipe = Annotated[
    str, *_one_of("word", {"all": "Every recipe that fits a distribution of the layer."})
]
SemVer = Annotated[
    str, *_text("semantic version", SEMVER_PATTERN, "a semantic version, e.g. 1.2.0")
]
PackageVersion = Annotated[str, AfterValidator(_version)]
RequirementString = Annotated[
    str,
    AfterValidator(_requirement),
    WithJsonSchema({"title": "requirement", "type": "string", "minLength": 1}),
]
DistributionName = Annotated[
    str,
    *_text("distribution", DISTRIBUTION_PATTERN, "the name of a distribution"),
    AfterValidator(canonicalize_name),
]
ExtraName = Annotated[
    str,
    *_text("extra", DISTRIBUTION_PATTERN, "the name of an extra (PEP 685)"),
    AfterValidator(canonicalize_name),
]
GroupName = Annotated[
    str,
    *_text("dependency group", DISTRIBUTION_PATTERN, "the name of a dependency group (PEP 735)"),
    AfterValidator(canonicalize_name),
]
Account = Annotated[str, *_text("account", ACCOUNT_PATTERN, "an account of 12 digits")]
Principal = Annotated[
    str,
    *_text(
        "principal",
        PRINCIPAL_PATTERN,
        "public, an organization (o-...) or an account of 12 digits",
    ),
]
Reason = Annotated[
    str, Field(min_length=3), WithJsonSchema({"title": "reason", "type": "string", "minLength": 3})
]
Name = Annotated[
    str,
    *_text(
        "name",
        NAME_PATTERN,
        f"a name: lower case letters, digits and single hyphens, up to {NAME_LENGTH}",
        maxLength=NAME_LENGTH,
    ),
]
Region = Annotated[str, *_text("region", REGION_PATTERN, "a region, e.g. eu-central-1")]
ModuleName = Annotated[str, *_text("module", MODULE_PATTERN, "a module, e.g. PIL or numpy.f2py")]
FindingName = Annotated[
    str,
    *_text(
        "finding",
        FINDING_PATTERN,
        "a code of the audit and a path, e.g. NEEDED-MISSING python/pkg/_plugin.so",
    ),
]
Variable = Annotated[
    str, *_text("variable", VARIABLE_PATTERN, "the name of an environment variable")
]
Glob = Annotated[
    str,
    *_text(
        "glob",
        GLOB_PATTERN,
        "a glob below python/: no leading / or python/, forward slashes",
    ),
]
RelativePath = Annotated[
    str, *_text("path", PATH_PATTERN, "a path relative to layers.yaml with forward slashes")
]
LayerPath = Annotated[
    str,
    *_text(
        "path in the layer",
        LAYER_PATH_PATTERN,
        "a path in the layer, below /opt, e.g. lib/libodbc.so.2",
    ),
]
HandlerName = Annotated[
    str,
    *_text(
        "handler",
        HANDLER_PATTERN,
        "a handler: the module below `code`, a dot and the function, e.g. app.lambda_handler",
        maxLength=HANDLER_LENGTH,
    ),
]
LibraryName = Annotated[
    str, *_text("library", LIBRARY_PATTERN, "the name of a library, e.g. libodbc.so.2")
]
LayerArn = Annotated[
    str,
    *_text("ARN", LAYER_ARN_PATTERN, "the ARN of a layer version, with its number at the end"),
]
Distinct = AfterValidator(_distinct)
"""For a list whose entries must differ."""


def kebab(name: str) -> str:
    """Return the key that a field is written as."""
    return name.replace("_", "-")


class Model(StrictModel):
    """Base of what people write: kebab-case keys."""

    model_config = ConfigDict(
        alias_generator=kebab,
        populate_by_name=True,
        # Only Config is ever validated as a whole; its parts are built with it.
        defer_build=True,
    )

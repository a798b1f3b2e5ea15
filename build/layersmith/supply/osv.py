"""Advisories in the OSV schema: read, bounded, and matched against versions.

The service, its mirrors and exports, and PyPA's advisory database all write this schema
(ossf.github.io/osv-schema). What a record says is taken in the way that cannot hide an advisory:
a range that cannot be compared, or a record without one, counts as affected and is named.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import yaml
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version
from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

LARGEST = 8 << 20
"""Bytes of one record; the largest of PyPI's are below 1 MB."""

ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}")
"""An identifier of an advisory; it becomes a part of a URL and of a file name."""

LEVELS = ("low", "medium", "high", "critical")
"""Severities in their order, as FIRST names the scores of CVSS 3 and 4."""

UNKNOWN = "unknown"

_LEAST = {"critical": 9.0, "high": 7.0, "medium": 4.0, "low": 0.0}
"""Lowest score of each level (CVSS 4.0 specification, 6: qualitative severity rating scale)."""

_WORDS = {"moderate": "medium", **{level: level for level in LEVELS}}
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_PARTS = re.compile(r"~|[0-9]+|[A-Za-z]+")
PYPI = "PyPI"
BY_NAME = "OSS-Fuzz"
"""The ecosystem whose packages are C and C++ projects under their plain names."""

Package = tuple[str, str]
"""Ecosystem and name; a name of PyPI is normalized, and one of GIT is a repository's address."""


class UnreadableRecord(Exception):
    """A record is not one; the text says what is wrong with it."""


def _aware(value: object) -> object:
    """Take a date of YAML, which has no zone, as one of UTC, as the schema demands."""
    if isinstance(value, datetime) and value.tzinfo is None:
        return value.isoformat() + "Z"
    return value


Moment = Annotated[AwareDatetime, BeforeValidator(_aware)]


class OsvPart(BaseModel):
    """Base of what is read of a record; what else it holds is of no concern."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class OsvPackage(OsvPart):
    """Whose versions are listed."""

    ecosystem: str = ""
    name: str = ""
    purl: str | None = None


class OsvRange(OsvPart):
    """A range of versions as a list of events."""

    type: str
    repo: str | None = None
    events: list[dict[str, str]] = []


class OsvVector(OsvPart):
    """A CVSS vector, or a word of a distribution."""

    type: str
    score: str


class OsvAffected(OsvPart):
    """The versions of one package."""

    package: OsvPackage | None = None
    ranges: list[OsvRange] = []
    versions: list[str] = []
    severity: list[OsvVector] | None = None
    database_specific: dict[str, Any] | None = None


class OsvReference(OsvPart):
    """A link to more."""

    type: str = ""
    url: str


class OsvRecord(OsvPart):
    """One advisory."""

    id: str = Field(pattern=f"^{ID.pattern}$")
    modified: Moment | None = None
    withdrawn: Moment | None = None
    aliases: list[Annotated[str, Field(max_length=128)]] = []
    summary: str = ""
    details: str = ""
    severity: list[OsvVector] | None = None
    affected: list[OsvAffected] = []
    references: list[OsvReference] | None = None
    database_specific: dict[str, Any] | None = None


@dataclass(frozen=True)
class Match:
    """That a record is about a version.

    Attributes:
        fixed: The lowest version without the fault that is above it; None where there is none.
        doubts: What of the record could not be compared, so that the version counts as affected.
    """

    fixed: str | None = None
    doubts: tuple[str, ...] = ()


def read(content: bytes, *, as_yaml: bool = False) -> OsvRecord:
    """Read a record.

    Raises:
        UnreadableRecord: It is too large, no JSON or YAML, or not in OSV's schema.
    """
    if len(content) > LARGEST:
        raise UnreadableRecord(f"it is larger than {LARGEST:,} bytes")
    try:
        found = yaml.load(content, Loader=_LOADER) if as_yaml else json.loads(content)  # noqa: S506 -- a safe loader
        return OsvRecord.model_validate(found)
    except ValidationError as problem:
        first = problem.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or "the record"
        raise UnreadableRecord(f"{where}: {first['msg']}") from None
    except (ValueError, yaml.YAMLError, RecursionError) as problem:
        said = str(problem).splitlines() or [type(problem).__name__]
        raise UnreadableRecord(f"it is not {'YAML' if as_yaml else 'JSON'}: {said[0]}") from None


def package_of(affected: OsvAffected) -> list[Package]:
    """Return under which names a record's packages are looked up."""
    found = []
    if affected.package and affected.package.name:
        ecosystem, name = affected.package.ecosystem, affected.package.name
        found.append((ecosystem, canonicalize_name(name) if ecosystem == PYPI else name.lower()))
    found += [("GIT", repository(one.repo)) for one in affected.ranges if one.repo]
    return found


def repository(url: str) -> str:
    """Return the address of a repository in one spelling."""
    return re.sub(r"^[a-z+]+://|\.git/?$|/$", "", url.strip().lower()).removesuffix(".git")


def match(record: OsvRecord, packages: Sequence[Package], version: str) -> Match | None:
    """Return whether a record is about a version of a package, and what fixes it.

    Args:
        record: The advisory; whether it was withdrawn is for the caller to ask.
        packages: Names of the package; an ecosystem without its release fits every release.
        version: Its version.
    """
    fixes: list[str] = []
    doubts: list[str] = []
    affected = False
    for one in record.affected:
        if not any(_same(package, ours) for package in package_of(one) for ours in packages):
            continue
        pypi = one.package is not None and one.package.ecosystem == PYPI
        listed, order = _listed(one.versions, version, pypi=pypi), _Order(pypi)
        if not one.versions and not one.ranges:
            doubts.append("it lists no versions at all")
            affected = True
        within = False
        for events in (r.events for r in one.ranges if r.type != "GIT"):
            inside, fixed = _within(events, version, order, doubts)
            within |= inside
            if fixed and (inside or listed):
                fixes.append(fixed)
        affected |= within or listed
    if not affected:
        return None
    lowest = min(fixes, key=order_of(packages), default=None)
    return Match(lowest, tuple(dict.fromkeys(doubts)))


def names(record: OsvRecord, packages: Sequence[Package]) -> bool:
    """Whether a record is about a package at all, in whatever version."""
    return any(
        _same(package, ours)
        for one in record.affected
        for package in package_of(one)
        for ours in packages
    )


def _same(theirs: Package, ours: Package) -> bool:
    if theirs[1] != ours[1]:
        return False
    (left, _, there), (right, _, here) = theirs[0].partition(":"), ours[0].partition(":")
    return left == right and (not there or not here or there == here)


def _listed(versions: Sequence[str], version: str, *, pypi: bool) -> bool:
    if not pypi:
        wanted = _bare(version)
        return any(_bare(one) == wanted for one in versions)
    try:
        wanted_one = Version(Version(version).public)
    except InvalidVersion:
        return version in versions
    return any(_parsed(one) == wanted_one for one in versions)


def _bare(version: str) -> str:
    """Return a version without what tags of repositories have in front: v1.2, libwebp-1.2."""
    return re.sub(r"^[A-Za-z_.-]*(?=[0-9])", "", version.strip()).replace("_", ".")


def _parsed(version: str) -> Version | None:
    try:
        return Version(version)
    except InvalidVersion:
        return None


class _Order:
    """Compares versions: as PEP 440 says for PyPI, and by numbers and words for all others."""

    def __init__(self, pypi: bool) -> None:
        self._pypi = pypi

    def key(self, version: str) -> Any:
        """Return what a version sorts by.

        Raises:
            InvalidVersion: It is not a version of PyPI.
        """
        # A local label (1.0+cpu) is the same source under another build.
        return Version(Version(version).public) if self._pypi else loose(version)


def order_of(packages: Sequence[Package]) -> Callable[[str], Any]:
    """Return what versions of a package sort by; those of a record can be compared."""
    return _Order(any(name == PYPI for name, _ in packages)).key


def loose(version: str) -> tuple[Any, ...]:
    """Return a key that sorts versions of Debian, of RPM and of most projects.

    An epoch comes first, a tilde before everything, numbers by value and after words.
    """
    epoch, _, rest = version.rpartition(":") if re.match(r"\d+:", version) else ("0", "", version)
    parts = [
        (0, 0, "") if part == "~" else (3, int(part), "") if part.isdigit() else (2, 0, part)
        for part in _PARTS.findall(rest)
    ]
    return (int(epoch or 0), *parts, (1, 0, ""))


class _Mark(NamedTuple):
    """An event of a range, at its place in the order."""

    at: Any
    rank: int
    kind: str
    text: str


def _within(
    events: Sequence[dict[str, str]], version: str, order: _Order, doubts: list[str]
) -> tuple[bool, str | None]:
    """Return whether a version is in a range, and the lowest fix above it."""
    try:
        ours = order.key(version)
    except InvalidVersion:
        doubts.append(f"{version} cannot be compared")
        return True, None
    inside, marks = _marks(events, order, doubts)
    if not marks and not inside:
        doubts.append("a range of it has no beginning")
        return True, None
    for mark in sorted(marks, key=lambda one: one[:2]):
        if mark.at > ours:
            break
        if mark.kind == "introduced":
            inside = True
        elif mark.kind != "last_affected" or mark.at < ours:
            inside = False
    fixes = [mark.text for mark in marks if mark.kind == "fixed" and mark.at > ours]
    return inside, min(fixes, key=order.key, default=None)


def _marks(
    events: Sequence[dict[str, str]], order: _Order, doubts: list[str]
) -> tuple[bool, list[_Mark]]:
    """Return whether a range begins with the first version, and its events that can be compared."""
    first = False
    marks = []
    for kind, text in (item for event in events for item in event.items()):
        if kind not in {"introduced", "fixed", "last_affected", "limit"}:
            doubts.append(f"a range of it has an event {kind[:40]!r}")
        elif kind == "introduced" and text == "0":
            first = True
        else:
            try:
                marks.append(_Mark(order.key(text), int(kind == "introduced"), kind, text))
            except InvalidVersion:
                doubts.append(f"its {kind} version {text[:40]!r} cannot be compared")
                first |= kind == "introduced"
    return first, marks


@dataclass(frozen=True)
class Score:
    """How severe an advisory is.

    Attributes:
        level: One of LEVELS, or ``unknown``.
        score: CVSS base score, None where there is none.
        vector: The vector that it comes from.
        doubts: Vectors that cannot be read.
    """

    level: str = UNKNOWN
    score: float | None = None
    vector: str | None = None
    doubts: tuple[str, ...] = field(default=())

    @property
    def rank(self) -> int:
        """Its place among LEVELS; -1 where it is unknown."""
        return LEVELS.index(self.level) if self.level in LEVELS else -1


def severity(record: OsvRecord) -> Score:
    """Return the highest severity that a record gives, of CVSS where it has a vector."""
    vectors = [*(record.severity or ())]
    for one in record.affected:
        vectors += one.severity or ()
    scored, doubts = [], []
    for given in vectors:
        if not given.type.startswith("CVSS"):
            continue
        score = _score(given.score)
        if score is None:
            doubts.append(f"its vector {given.score[:60]!r} is not one of CVSS")
        else:
            scored.append((score, given.score))
    if scored:
        score, vector = max(scored)
        return Score(level_of(score), score, vector, tuple(doubts))
    words = [record.database_specific, *(one.database_specific for one in record.affected)]
    levels = [
        _WORDS[word.lower()]
        for specific in words
        if specific and isinstance(word := specific.get("severity"), str) and word.lower() in _WORDS
    ]
    level = max(levels, key=LEVELS.index, default=UNKNOWN)
    return Score(level, doubts=tuple(doubts))


def level_of(score: float) -> str:
    """Return the level of a CVSS score."""
    return next(level for level, least in _LEAST.items() if score >= least)


def _score(vector: str) -> float | None:
    from cvss import CVSS2, CVSS3, CVSS4  # noqa: PLC0415 -- start-up time
    from cvss.exceptions import CVSSError  # noqa: PLC0415 -- start-up time

    kind = {"CVSS:3": CVSS3, "CVSS:4": CVSS4}.get(vector[:6], CVSS2)
    try:
        return float(kind(vector).scores()[0])
    except (CVSSError, ValueError, TypeError, KeyError):
        return None


def worst(found: Iterable[Score]) -> Score:
    """Return the highest of some severities."""
    return max(found, key=lambda one: (one.rank, one.score or 0.0))

"""Judges what a source of advisories says of a layer, by the policy of layers.yaml.

Nothing is hidden: what is ignored, below the threshold, left out of the zip or loaded by no proof
is reported like everything else, and only does not count.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Literal

from pydantic import ConfigDict, Field

from layersmith.base.models import StrictModel
from layersmith.config.trust import AdvisoryPolicy, NotLoaded
from layersmith.errors import AuditError
from layersmith.supply import osv
from layersmith.supply.subjects import Role

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
    from datetime import date

    from layersmith.assemble.manifest import Manifest
    from layersmith.config.trust import IgnoredAdvisory
    from layersmith.supply.feeds import Answers
    from layersmith.supply.osv import Match, OsvRecord, Score
    from layersmith.supply.subjects import AdvisorySubject

State = Literal["open", "below", "ignored", "left out", "not loaded"]
"""Only ``open`` counts. ``below``: less severe than the policy asks for. ``left out``: the lock
names it, and the zip does not hold it. ``not loaded``: no proof loaded a file of it, and the policy
is ``not-loaded: warn``."""

PREFERRED = ("CVE-", "GHSA-", "PYSEC-")
"""By which of its names an advisory is called, the first that it has."""


class AdvisoryPart(StrictModel):
    """Base of the parts of a report."""

    # Many runs find nothing, and need no more than a few of these.
    model_config = ConfigDict(defer_build=True)


class LoadEvidence(AdvisoryPart):
    """That the proofs of a target loaded no file of something."""

    target: str
    files: int
    """Files that it has in the zip, metadata left out; none of them was loaded."""
    proofs: list[str]
    """What was started and watched."""
    runner: str
    """Where it was started."""


class AdvisoryFinding(AdvisoryPart):
    """An advisory on one version of one package."""

    id: str
    aliases: list[str]
    """Its other names, sorted."""
    summary: str
    severity: Literal["low", "medium", "high", "critical", "unknown"]
    score: float | None = None
    """CVSS base score."""
    vector: str | None = None
    package: str
    version: str
    purl: str
    role: Role
    holder: str = ""
    """The distribution that bundles it, or that it builds."""
    fixed: str | None = None
    """The lowest version without the fault; null where there is none."""
    targets: list[str]
    file: str | None = None
    """The first lock that names it, relative to layers.yaml."""
    line: int | None = None
    state: State
    reason: str | None = None
    """Why it does not count, where layers.yaml says so."""
    ignored: int | None = None
    """Its number in ``advisories.ignore``, from 0, also where that has ended."""
    not_loaded: list[LoadEvidence] = Field(default_factory=list)
    """That no proof loaded a file of it, for every target that has it; else empty."""
    doubts: list[str] = Field(default_factory=list)
    """What of its record could not be read or compared, so that it is taken as affected."""
    url: str

    @property
    def counts(self) -> bool:
        """Whether it changes the exit code."""
        return self.state == "open"

    @property
    def subject(self) -> str:
        """What it is about, for people."""
        inside = f" in {self.holder}" if self.holder and self.role == "bundled" else ""
        return f"{self.package} {self.version}{inside}"

    @property
    def level(self) -> str:
        """Its severity, for people."""
        return f"{self.severity} {self.score:g}" if self.score is not None else self.severity


class PolicyNote(AdvisoryPart):
    """An entry of ``advisories.ignore`` that does nothing any more."""

    id: str
    index: int
    """Its number in the list, from 0."""
    what: Literal["ended", "matches nothing"]
    message: str


class AdvisoryReport(AdvisoryPart):
    """What was looked up, and what was found."""

    format: Literal[1] = 1
    source: str
    asked: datetime
    """When this was found out."""
    dated: datetime | None
    """When the oldest part of the data was true; null where nothing had to be asked."""
    max_age: float
    """Seconds that the data may be old."""
    severity: str
    """From which severity on an advisory counts."""
    checked: dict[str, int]
    """How many versions were looked up, by what they are to the layer."""
    unmatched: list[str]
    """Versions of which the source knows no name, so that nothing is known of them."""
    by_name: list[str]
    """Components of which only a plain name is known, by which advisories may miss them."""
    withdrawn: list[str]
    """Advisories that were withdrawn, and passed over."""
    problems: list[str]
    """What of the data could not be used. Each counts."""
    notes: list[str]
    findings: list[AdvisoryFinding]
    policy: list[PolicyNote]

    @property
    def age(self) -> timedelta:
        """How old the data is."""
        return max(timedelta(0), self.asked - self.dated) if self.dated else timedelta(0)

    @property
    def is_stale(self) -> bool:
        """Whether the data is older than the policy allows."""
        return self.age.total_seconds() > self.max_age

    @property
    def open(self) -> list[AdvisoryFinding]:
        """The findings that count."""
        return [one for one in self.findings if one.counts]

    @property
    def ok(self) -> bool:
        """Whether nothing counts."""
        return not (self.open or self.problems or self.is_stale)


class AdvisoryRecord(AdvisoryPart):
    """What was found for one target: dist/<stem>.advisories.json."""

    identifier: str
    sha256: str
    """Of the zip, in hex."""
    report: AdvisoryReport


def record(report: AdvisoryReport, manifest: Manifest) -> AdvisoryRecord:
    """Return what a report says of one target."""
    name = manifest.identifier
    found = [one for one in report.findings if name in one.targets]
    return AdvisoryRecord(
        identifier=name,
        sha256=manifest.artifact.sha256,
        report=report.model_copy(update={"findings": found}),
    )


@dataclass(frozen=True)
class Watched:
    """What the proofs of a target loaded.

    Attributes:
        manifest: Of the zip that was proven.
        loaded: Paths in the zip.
        proofs: What was started.
        runner: Where, for people.
    """

    manifest: Manifest
    loaded: Collection[str]
    proofs: Sequence[str]
    runner: str


@dataclass(frozen=True)
class _Grouped:
    """An advisory under all of its names, as far as it is about one subject."""

    subject: AdvisorySubject
    records: tuple[OsvRecord, ...]
    matches: tuple[Match, ...]

    @property
    def names(self) -> list[str]:
        """All of its names, the preferred one first."""
        found = {name for one in self.records for name in (one.id, *one.aliases)}
        return sorted(found, key=lambda name: (_preference(name), name))

    @property
    def fixed(self) -> str | None:
        """The lowest version in which all of its records call it fixed."""
        fixes = [one.fixed for one in self.matches if one.fixed]
        return max(fixes, key=osv.order_of(self.subject.packages), default=None)

    @property
    def severity(self) -> Score:
        """The highest severity that a record gives."""
        return osv.worst(osv.severity(one) for one in self.records)


def _preference(name: str) -> int:
    kinds = (number for number, kind in enumerate(PREFERRED) if name.startswith(kind))
    return next(kinds, len(PREFERRED))


def judge(
    subjects: Sequence[AdvisorySubject],
    answers: Answers,
    policy: AdvisoryPolicy,
    *,
    now: datetime,
    watched: Mapping[str, Watched] | None = None,
    whole: bool = True,
) -> AdvisoryReport:
    """Return what advisories there are.

    Args:
        subjects: What was looked up, each once.
        answers: What the source says.
        policy: Of layers.yaml.
        now: The time.
        watched: What the proofs of targets loaded, by target.
        whole: Whether all of layers.yaml was looked up, so that an entry of ``ignore`` that
            matches nothing is one too many.
    """
    withdrawn: set[str] = set()
    problems = list(answers.problems)
    findings = [
        _finding(known, policy, now.date(), watched or {})
        for subject in subjects
        for known in _known(subject, answers, withdrawn)
    ]
    unmatched = [one for one in subjects if not answers.covered(one.question)]
    if answers.dated is None and any(one not in unmatched for one in subjects):
        problems.append(f"{answers.source} does not say of when its data is")
    return AdvisoryReport(
        source=answers.source,
        asked=now,
        dated=answers.dated,
        max_age=policy.max_age.total_seconds(),
        severity=policy.severity,
        checked=dict(sorted(Counter(one.role for one in subjects).items())),
        unmatched=[str(one) for one in unmatched],
        by_name=[str(one) for one in subjects if one.is_by_name and one not in unmatched],
        withdrawn=sorted(withdrawn),
        problems=problems,
        notes=answers.notes,
        findings=sorted(findings, key=_urgency),
        policy=list(_notes(policy, findings, now.date(), whole=whole)),
    )


def _urgency(one: AdvisoryFinding) -> tuple[bool, float, str, str]:
    rank = osv.LEVELS.index(one.severity) if one.severity in osv.LEVELS else len(osv.LEVELS)
    return (not one.counts, -(one.score or 0) - 10 * rank, one.package, one.id)


def _known(subject: AdvisorySubject, answers: Answers, withdrawn: set[str]) -> Iterator[_Grouped]:
    """Give the advisories on a subject, those that are one under several names once."""
    groups: list[tuple[set[str], list[tuple[OsvRecord, Match]]]] = []
    for record in answers.records.get(subject.question, ()):
        if record.withdrawn:
            withdrawn.add(record.id)
            continue
        match = osv.match(record, subject.packages, subject.version)
        if match is None and answers.vouched:
            match = osv.Match(doubts=("the source lists it, and its own versions do not",))
        if match is None:
            continue
        names, found = {record.id, *record.aliases}, [(record, match)]
        apart = []
        for group in groups:
            if group[0] & names:
                names |= group[0]
                found = [*group[1], *found]
            else:
                apart.append(group)
        groups = [*apart, (names, found)]
    for _, found in groups:
        records, matches = zip(*found, strict=True)
        yield _Grouped(subject, records, matches)


def _finding(
    known: _Grouped, policy: AdvisoryPolicy, today: date, watched: Mapping[str, Watched]
) -> AdvisoryFinding:
    subject, severity, names = known.subject, known.severity, known.names
    evidence = not_loaded(subject, watched)
    index, ignore = _ignore(policy, names)
    ended = _ended(ignore, known.fixed, today) if ignore else None
    if ignore and not ended:
        state: State = "ignored"
        reason: str | None = ignore.reason
    else:
        state, reason = _state(known, policy, loaded=not evidence)
    places = [place for place in subject.places if place.file]
    first = known.records[0]
    return AdvisoryFinding(
        id=names[0],
        aliases=names[1:],
        summary=_summary(known.records),
        severity=severity.level,
        score=severity.score,
        vector=severity.vector,
        package=subject.name,
        version=subject.version,
        purl=subject.purl,
        role=subject.role,
        holder=subject.holder,
        fixed=known.fixed,
        targets=list(dict.fromkeys(place.target for place in subject.places)),
        file=places[0].file if places else None,
        line=places[0].line if places else None,
        state=state,
        reason=reason or ended,
        ignored=index,
        not_loaded=evidence,
        doubts=[*severity.doubts, *(doubt for one in known.matches for doubt in one.doubts)],
        url=_url(first),
    )


def _summary(records: Sequence[OsvRecord]) -> str:
    """Return one line on an advisory, without what a terminal would act on."""
    said = next((one.summary for one in records if one.summary), "") or records[0].details
    line = re.sub(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+", " ", said[:1000]).strip()
    return line if len(line) <= 160 else f"{line[:157]}..."


def _url(record: OsvRecord) -> str:
    """Return where people read about an advisory: a link of its own, else OSV's page."""
    links = [one.url for one in record.references or () if one.url.startswith("https://")]
    known = [
        one.url
        for one in record.references or ()
        if one.type == "ADVISORY" and one.url in links and re.fullmatch(r"[!-~]+", one.url)
    ]
    return known[0] if known else f"https://osv.dev/vulnerability/{record.id}"


def _ignore(
    policy: AdvisoryPolicy, names: Collection[str]
) -> tuple[int | None, IgnoredAdvisory | None]:
    wanted = {name.lower() for name in names}
    found = [(n, one) for n, one in enumerate(policy.ignore) if one.id.lower() in wanted]
    return found[-1] if found else (None, None)


def _ended(ignore: IgnoredAdvisory, fixed: str | None, today: date) -> str | None:
    """Return why an ignored advisory is no longer ignored, or None."""
    if ignore.until and ignore.until < today:
        return f"it was ignored until {ignore.until}"
    if ignore.until_fixed and fixed:
        return f"it was ignored until it is fixed, and {fixed} fixes it"
    return None


def _state(known: _Grouped, policy: AdvisoryPolicy, *, loaded: bool) -> tuple[State, str | None]:
    """Return the state of an advisory that is not ignored."""
    if known.subject.role == "left out":
        return "left out", "layers.yaml or a recipe leaves it out of the zip"
    if 0 <= known.severity.rank < osv.LEVELS.index(policy.severity):
        return "below", None
    if not loaded and policy.not_loaded is NotLoaded.WARN:
        return "not loaded", "no proof loads a file of it (not-loaded: warn)"
    return "open", None


def _notes(
    policy: AdvisoryPolicy, findings: Sequence[AdvisoryFinding], today: date, *, whole: bool
) -> Iterator[PolicyNote]:
    """Give the entries of ``ignore`` that have ended or match nothing."""
    for index, one in enumerate(policy.ignore):
        its = [f for f in findings if one.id.lower() in {n.lower() for n in (f.id, *f.aliases)}]
        if not its and whole:
            message = f"{one.id} is ignored, and no advisory of that name was found; remove it"
            yield PolicyNote(id=one.id, index=index, what="matches nothing", message=message)
        reasons = [why for found in its if (why := _ended(one, found.fixed, today))]
        if reasons:
            message = f"{one.id}: {reasons[0]}"
            yield PolicyNote(id=one.id, index=index, what="ended", message=message)


def not_loaded(subject: AdvisorySubject, watched: Mapping[str, Watched]) -> list[LoadEvidence]:
    """Return that no proof loaded a file of a subject, for every target; else nothing.

    Args:
        subject: A distribution in the zip, or a component inside one.
        watched: What the proofs of targets loaded, by target.
    """
    if subject.role not in {"layer", "bundled"}:
        return []
    found = []
    for target in dict.fromkeys(place.target for place in subject.places):
        one = watched.get(target)
        files = files_of(subject, one.manifest) if one else []
        if one is None or not files or not set(one.loaded).isdisjoint(files):
            return []
        found.append(
            LoadEvidence(
                target=target, files=len(files), proofs=list(one.proofs), runner=one.runner
            )
        )
    return found


def files_of(subject: AdvisorySubject, manifest: Manifest) -> list[str]:
    """Return the files of a subject in a zip, metadata left out.

    A component is the shared library of its name; one that has none is linked into something, so
    that all files of the distribution are its own.
    """
    holder = subject.holder or subject.name
    files = [
        one.path
        for one in manifest.files
        if one.distribution == holder and ".dist-info/" not in one.path
    ]
    if subject.role != "bundled":
        return files
    names = {_plain(part) for part in subject.name.split(" / ")}
    return [path for path in files if _library(path) in names] or files


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower()).removeprefix("lib")


def _library(path: str) -> str | None:
    """Return the plain name of a shared library: ``webp`` for libwebp-b5a3ae8e.so.7.1.8."""
    stem, dot, _ = path.rpartition("/")[2].partition(".so")
    return _plain(re.sub(r"(-[0-9a-f]{8})?(-[0-9.]+)?$", "", stem)) if dot else None


def errors(report: AdvisoryReport, locate: Callable[[int], tuple[str, int]]) -> list[AuditError]:
    """Return an error for everything that counts.

    Args:
        report: What was found.
        locate: Gives file and line of an entry of ``advisories.ignore``.
    """
    found = [_of_finding(one, locate) for one in report.open]
    found += [
        AuditError(
            one,
            cause=f"{report.source} has a damaged or wrong record",
            hint="fetch the data again; if it stays, report it to whoever publishes it",
        )
        for one in report.problems
    ]
    if report.is_stale:
        allowed = timedelta(seconds=report.max_age)
        found.append(
            AuditError(
                f"the data of {report.source} is {days(report.age)} old, and"
                f" `max-age` allows {days(allowed)}",
                cause="the source was not reached, or its copy is no longer brought up to date",
                hint="run it with network, update the copy, or raise advisories.max-age",
            )
        )
    return found


def _of_finding(one: AdvisoryFinding, locate: Callable[[int], tuple[str, int]]) -> AuditError:
    where = f"{len(one.targets)} targets" if len(one.targets) > 1 else one.targets[0]
    fixed = f"fixed in {one.fixed}" if one.fixed else "not fixed in any version"
    file, line = one.file, one.line
    cause = one.summary or None
    if one.ignored is not None:
        file, line = locate(one.ignored)
        cause = one.reason
    return AuditError(
        f"{one.subject} has {one.id} ({one.level}), {fixed}: {where}",
        cause=cause,
        hint=bump(one),
        file=file,
        line=line,
        column=1 if line else None,
    )


def bump(one: AdvisoryFinding) -> str:
    """Return what to do about an advisory."""
    accept = "or accept it for a time under `advisories.ignore` in layers.yaml"
    if not one.fixed:
        return f"wait for a fix, replace {one.holder or one.package}, {accept}"
    if one.role == "bundled":
        return (
            f"take a version of {one.holder} that bundles {one.package} {one.fixed} or newer"
            f" (`lock --upgrade {one.holder}`), {accept}"
        )
    if one.role == "provided":
        return (
            f"put {one.package} {one.fixed} or newer into the layer with `keep-provided:"
            f" [{one.package}]`, {accept}"
        )
    return f"raise {one.package} to {one.fixed} or newer (`lock --upgrade {one.package}`), {accept}"


def days(age: timedelta) -> str:
    """Return an age for people."""
    hours = int(age.total_seconds() // 3600)
    if hours < 1:
        return "less than an hour"
    unit, count = ("day", hours // 24) if hours >= 48 else ("hour", hours)
    return f"{count} {unit}{'' if count == 1 else 's'}"

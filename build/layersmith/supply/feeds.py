"""Where advisories come from: the OSV service, a mirror of it, or a checkout or export on disk.

The service is asked for the versions at hand, and its answers are kept, so that a run without
network works on them and says how old they are. What is on disk is searched. Everything that comes
in is bounded and checked; what cannot be read is named and never passed over.
"""

from __future__ import annotations

import contextlib
import zipfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from packaging.utils import canonicalize_name
from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from layersmith import cache, process
from layersmith.base import http
from layersmith.errors import AuditError
from layersmith.supply import osv

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    import httpx

    from layersmith.supply.osv import OsvRecord, Package

SERVICE = "https://api.osv.dev"
"""The OSV service (google.github.io/osv.dev/api)."""

REUSE = timedelta(hours=1)
"""How long an answer of the service is used again without asking; advisories come daily."""

BATCH = 1000
"""Queries of one request (OSV's API: POST /v1/querybatch)."""

PAGES = 50
"""Pages of one query before the service counts as broken; a page holds up to 1,000 advisories."""

ANSWER = 64 << 20
"""Bytes of one answer (OSV's API: 32 MiB over HTTP/1.1)."""

EXPORT, UNPACKED, MEMBERS = 1 << 30, 8 << 30, 1_000_000
"""Bytes of an export and of what it unpacks to, and its files; PyPI's has 20,000 of 300 MB."""

TIMEOUT, WORKERS = 20.0, 8
"""Seconds without an answer, and records that are fetched at once."""

TOMORROW = timedelta(days=1)
"""How far a date may lie in the future before it is wrong: clocks and time zones differ."""


class Question(NamedTuple):
    """What is asked of a source.

    Attributes:
        packages: Under which names the package is known; the first is the best known.
        version: Its version.
    """

    packages: tuple[Package, ...]
    version: str


@dataclass
class Answers:
    """What a source says.

    Attributes:
        source: Its name, for people.
        records: The advisories that may be about what a question asks.
        vouched: Whether the source compared versions itself.
        dated: When the oldest part of the data was true; None where nothing was asked.
        problems: Records that could not be read, and other reasons not to trust the data.
        notes: What is worth knowing and changes nothing.
        covers: Ecosystems that the source has; None for all.
    """

    source: str
    records: dict[Question, list[OsvRecord]] = field(default_factory=dict)
    vouched: bool = False
    dated: datetime | None = None
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    covers: set[str] | None = None

    def covered(self, question: Question) -> bool:
        """Whether the source has advisories of such packages."""
        if self.covers is None:
            return bool(question.packages)
        return any(name.partition(":")[0] in self.covers for name, _ in question.packages)


def ask(
    source: str, questions: Iterable[Question], *, now: datetime, offline: bool = False
) -> Answers:
    """Ask a source.

    Args:
        source: ``service``, the address of a mirror of its API or of an export (``.zip``), or the
            path of an export, of a checkout of PyPA's advisory database, or of a folder of records.
        questions: What is asked; those without packages are left out.
        now: The time.
        offline: Use only what is kept of earlier answers.

    Raises:
        AuditError: There is no data: nothing answers and nothing is kept, or what is there is not
            a source of advisories.
    """
    asked = [one for one in dict.fromkeys(questions) if one.packages]
    if source == "service" or source.startswith(("http://", "https://")):
        url = SERVICE if source == "service" else source.rstrip("/")
        if url.endswith(".zip"):
            return _from_export(url, asked, now, offline=offline)
        name = "the OSV service" if source == "service" else f"the mirror {_without_login(url)}"
        return _Service(url, name, now, offline).ask(asked)
    path = Path(source)
    if path.is_dir():
        return _from_folder(path, asked, now)
    if path.is_file():
        return _searched(Answers(str(path)), _members(path, path.name), asked, now)
    raise AuditError(
        f"--source {source}: there is no such file or folder",
        cause="it is neither `service`, nor a URL, nor a path",
        hint="pass `service`, the URL of a mirror, or the folder of an advisory database",
    )


def _without_login(url: str) -> str:
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}" if "@" in rest.partition("/")[0] else url


class _Listed(BaseModel):
    """An advisory that the service lists for a version."""

    model_config = ConfigDict(frozen=True)

    id: str
    modified: str


class _KeptAnswer(BaseModel):
    """The answer to a query, as it is kept; one that cannot be read counts as not there."""

    format: Literal[1] = 1
    fetched: AwareDatetime
    listed: list[_Listed]


class _Query(NamedTuple):
    package: Package
    version: str

    def body(self, token: str | None) -> dict[str, Any]:
        ecosystem, name = self.package
        if ecosystem == "GIT":
            name = f"https://{name}"
        asked = {"package": {"ecosystem": ecosystem, "name": name}, "version": self.version}
        return {**asked, "page_token": token} if token else asked


class _Service:
    """OSV's API, with what is kept of its answers."""

    def __init__(self, url: str, name: str, now: datetime, offline: bool) -> None:
        self._url, self._now, self._offline = url, now, offline
        self._who = name.removeprefix("the ").partition(" http")[0]
        self._folder = cache.section("advisories") / cache.sha256_bytes(url.encode())[:16]
        self.answers = Answers(name, vouched=True)

    def ask(self, questions: Sequence[Question]) -> Answers:
        """Answer questions, from what is kept as far as it is young enough."""
        queries = {q: [_Query(one, q.version) for one in q.packages] for q in questions}
        flat = list(dict.fromkeys(query for found in queries.values() for query in found))
        kept = {query: found for query in flat if (found := self._kept(query))}
        wanted = [query for query in flat if query not in kept or self._is_old(kept[query])]
        if wanted and not self._offline:
            try:
                with self._client() as client:
                    kept |= self._asked(client, wanted)
            except http.RequestFailed as problem:
                self._offline = True
                self.answers.notes.append(f"{problem}; what is kept of earlier answers is used")
        if missing := [query for query in flat if query not in kept]:
            raise self._nothing(missing)
        listed = {one for query in flat for one in kept[query].listed}
        records = self._records(sorted(listed, key=lambda one: (one.id, one.modified)))
        self.answers.dated = min((kept[query].fetched for query in flat), default=None)
        for question, its in queries.items():
            ids = dict.fromkeys(one.id for query in its for one in kept[query].listed)
            self.answers.records[question] = [records[one] for one in ids if one in records]
        return self.answers

    def _nothing(self, missing: Sequence[_Query]) -> AuditError:
        said = self.answers.notes[-1].partition(";")[0] if self.answers.notes else None
        (_, name), version = missing[0]
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        return AuditError(
            f"no advisories are known of {name} {version}{more}: {self.answers.source} was not"
            " reached, and no earlier answer is kept",
            cause=said or "--offline was passed",
            hint="run it once with network, or pass --source with a mirror or the folder of an"
            " advisory database",
        )

    def _client(self) -> httpx.Client:
        from layersmith.base import routes  # noqa: PLC0415 -- start-up time

        return routes.client(timeout=TIMEOUT)

    def _path(self, query: _Query) -> Path:
        return self._folder / "answers" / f"{cache.sha256_bytes(repr(query).encode())[:32]}.json"

    def _kept(self, query: _Query) -> _KeptAnswer | None:
        with contextlib.suppress(OSError, ValidationError):
            return _KeptAnswer.model_validate_json(self._path(query).read_bytes())
        return None

    def _is_old(self, found: _KeptAnswer) -> bool:
        return not timedelta(0) <= self._now - found.fetched < REUSE

    def _asked(self, client: httpx.Client, queries: Sequence[_Query]) -> dict[_Query, _KeptAnswer]:
        found: dict[_Query, list[_Listed]] = {query: [] for query in queries}
        waiting: list[tuple[_Query, str | None]] = [(query, None) for query in queries]
        for _ in range(PAGES):
            following: list[tuple[_Query, str | None]] = []
            for start in range(0, len(waiting), BATCH):
                part = waiting[start : start + BATCH]
                for (query, _), page in zip(part, self._batch(client, part), strict=True):
                    found[query] += page.vulns
                    if page.next_page_token:
                        following.append((query, page.next_page_token))
            waiting = following
            if not waiting:
                break
        else:
            (_, name), version = waiting[0][0]
            raise self._broken(f"its pages on {name} {version} do not end")
        kept = {
            query: _KeptAnswer(fetched=self._now, listed=listed) for query, listed in found.items()
        }
        for query, answer in kept.items():
            cache.write_text(self._path(query), answer.model_dump_json())
        return kept

    def _batch(
        self, client: httpx.Client, part: Sequence[tuple[_Query, str | None]]
    ) -> list[_ListedPage]:
        body = {"queries": [query.body(token) for query, token in part]}
        url = f"{self._url}/v1/querybatch"
        content = http.ask(client, url, who=self._who, most=ANSWER, body=body)
        try:
            pages = _Batch.model_validate_json(content).results
        except ValidationError as problem:
            first = problem.errors(include_url=False)[0]
            where = ".".join(map(str, first["loc"])) or "the answer"
            raise self._broken(f"{where}: {first['msg']}") from None
        if len(pages) != len(part):
            raise self._broken(f"{len(part)} queries have {len(pages)} results")
        for page in pages:
            for one in page.vulns:
                if not osv.ID.fullmatch(one.id):
                    raise self._broken(f"{one.id[:40]!r} is not the identifier of an advisory")
        return pages

    def _broken(self, why: str) -> AuditError:
        return AuditError(
            f"{self.answers.source} does not answer as OSV's API does: {why}",
            cause="the address is that of something else, or a proxy answers in its place",
            hint="check --source; --offline uses what is kept of earlier answers",
        )

    def _records(self, listed: Sequence[_Listed]) -> dict[str, OsvRecord]:
        """Return the records of advisories, from what is kept where they did not change."""
        contents = {one: self._kept_record(one) for one in listed}
        wanted = [one for one, content in contents.items() if content is None]
        if wanted and not self._offline:
            with self._client() as client, ThreadPoolExecutor(WORKERS) as pool:
                fetched = pool.map(lambda one: self._fetch(client, one), wanted)
                contents |= dict(zip(wanted, fetched, strict=True))
        found = {}
        for one, content in contents.items():
            try:
                if content is None:
                    raise osv.UnreadableRecord("it could not be fetched")
                record = osv.read(content)
                if record.id != one.id:
                    raise osv.UnreadableRecord(f"it is that of {record.id}")
            except osv.UnreadableRecord as problem:
                self.answers.problems.append(f"{one.id}: its record cannot be used: {problem}")
                continue
            found[record.id] = record
        return found

    def _record_path(self, one: _Listed) -> Path:
        name = cache.sha256_bytes(f"{one.id} {one.modified}".encode())[:32]
        return self._folder / "records" / f"{name}.json"

    def _kept_record(self, one: _Listed) -> bytes | None:
        try:
            return self._record_path(one).read_bytes()
        except OSError:
            return None

    def _fetch(self, client: httpx.Client, one: _Listed) -> bytes | None:
        url = f"{self._url}/v1/vulns/{one.id}"
        try:
            content = http.ask(client, url, who=self._who, most=osv.LARGEST)
        except http.RequestFailed as problem:
            self.answers.notes.append(f"{one.id}: {problem}")
            return None
        with contextlib.suppress(osv.UnreadableRecord):
            if osv.read(content).id == one.id:
                cache.write_bytes(self._record_path(one), content)
        return content


class _ListedPage(BaseModel):
    """What the service lists for one query; an answer without advisories is empty."""

    vulns: list[_Listed] = []
    next_page_token: str | None = None


class _Batch(BaseModel):
    """The answer to POST /v1/querybatch."""

    results: list[_ListedPage]


def _from_export(
    url: str, questions: Sequence[Question], now: datetime, *, offline: bool
) -> Answers:
    """Search an export that a mirror has, e.g. ``PyPI/all.zip``, and keep it."""
    answers = Answers(f"the mirror {_without_login(url)}")
    folder = cache.section("advisories") / cache.sha256_bytes(url.encode())[:16]
    kept, fetched = folder / "all.zip", _age_of(folder / "all.zip")
    if not offline and (fetched is None or not timedelta(0) <= now - fetched < REUSE):
        from layersmith.base import routes  # noqa: PLC0415 -- start-up time

        try:
            with routes.client(timeout=TIMEOUT) as client:
                cache.write_bytes(kept, http.ask(client, url, who="mirror", most=EXPORT))
        except http.RequestFailed as problem:
            answers.notes.append(f"{problem}; the export that is kept is used")
    if not kept.is_file():
        raise AuditError(
            f"{answers.source} was not reached, and no earlier export is kept",
            cause=answers.notes[-1].partition(";")[0] if answers.notes else "--offline was passed",
            hint="run it once with network, or pass --source with the folder of an advisory"
            " database",
        )
    try:
        return _searched(answers, _members(kept, url.rpartition("/")[2]), questions, now)
    except AuditError:
        kept.unlink(missing_ok=True)  # what is damaged is fetched again by the next run
        raise


def _age_of(path: Path) -> datetime | None:
    try:
        return datetime.fromtimestamp(path.stat().st_mtime, UTC)
    except OSError:
        return None


def _members(path: Path, name: str) -> Iterator[tuple[str, bytes]]:
    """Give the records of an export.

    Raises:
        AuditError: It is damaged, or larger than any export.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            infos = [one for one in archive.infolist() if one.filename.endswith(".json")]
            total = sum(one.file_size for one in infos)
            if total > UNPACKED or len(infos) > MEMBERS:
                raise _not_a_source(name, f"it holds {len(infos):,} records of {total:,} bytes")
            for one in infos:
                with archive.open(one) as stream:
                    yield one.filename, stream.read(osv.LARGEST + 1)
    except (zipfile.BadZipFile, OSError, EOFError, ValueError, NotImplementedError) as problem:
        raise _not_a_source(name, f"it is not a sound zip: {problem}") from None


def _not_a_source(name: str, why: str) -> AuditError:
    return AuditError(
        f"{name} cannot be used as a source of advisories: {why}",
        cause="the download broke off, or the path or address names something else",
        hint="fetch it again, and pass --source with an export of OSV (PyPI/all.zip) or the folder"
        " of an advisory database",
    )


def _from_folder(path: Path, questions: Sequence[Question], now: datetime) -> Answers:
    """Search a checkout of PyPA's advisory database, or a folder of records."""
    answers = Answers(str(path))
    try:
        vulns = path / "vulns"
        if vulns.is_dir():
            files = [one for folder in vulns.iterdir() if _asked_for(folder, questions)
                     for one in folder.iterdir()]  # fmt: skip
            answers.covers = {osv.PYPI}
        else:
            files = [one for one in path.rglob("*") if ".git" not in one.parts]
        files = sorted(one for one in files if one.suffix in {".json", ".yaml", ".yml"})
        if not files and (not vulns.is_dir() or not any(vulns.iterdir())):
            raise _not_a_source(str(path), "it holds no records (.json or .yaml)")
        changed = _committed(path) or max(filter(None, map(_age_of, [path, *files])))
        _searched(answers, ((str(one), one.read_bytes()) for one in files), questions, now)
    except OSError as problem:
        raise _not_a_source(str(path), f"{problem.filename}: {problem.strerror}") from None
    answers.dated = changed
    _judge_date(answers, now)
    return answers


def _asked_for(folder: Path, questions: Sequence[Question]) -> bool:
    names = {name for one in questions for ecosystem, name in one.packages if ecosystem == osv.PYPI}
    return folder.is_dir() and canonicalize_name(folder.name) in names


def _committed(path: Path) -> datetime | None:
    """Return when the commit of a checkout was made; None where it is not one."""
    try:
        said = process.run(
            ["git", "-C", path, "log", "-1", "--format=%cI", "--", "."], timeout=30
        ).stdout
        return datetime.fromisoformat(said.strip())
    except (process.CommandFailed, ValueError):
        return None


def _searched(
    answers: Answers,
    contents: Iterable[tuple[str, bytes]],
    questions: Sequence[Question],
    now: datetime,
) -> Answers:
    """Put the records that concern questions into answers."""
    by_name: dict[str, list[Question]] = {}
    for question in questions:
        answers.records[question] = []
        for _, name in question.packages:
            by_name.setdefault(name, []).append(question)
    seen: set[str] = set()
    newest: datetime | None = None
    count = 0
    for name, content in contents:
        count += 1
        try:
            record = osv.read(content, as_yaml=not name.endswith(".json"))
        except osv.UnreadableRecord as problem:
            answers.problems.append(f"{name}: {problem}")
            continue
        if record.modified:
            newest = max(newest or record.modified, record.modified)
        packages = [package for one in record.affected for package in osv.package_of(one)]
        seen |= {ecosystem.partition(":")[0] for ecosystem, _ in packages}
        for question in dict.fromkeys(q for _, n in packages for q in by_name.get(n, ())):
            if osv.names(record, question.packages):
                answers.records[question].append(record)
    if not count and answers.covers is None:
        raise _not_a_source(answers.source, "it holds no records")
    answers.covers = answers.covers or seen
    answers.dated = newest
    _judge_date(answers, now)
    return answers


def _judge_date(answers: Answers, now: datetime) -> None:
    if answers.dated and answers.dated - now > TOMORROW:
        answers.problems.append(
            f"{answers.source} is dated {answers.dated:%Y-%m-%d}, which is in the future"
        )

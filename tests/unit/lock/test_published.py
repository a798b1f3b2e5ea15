"""What indexes say of projects and files, kept as long as they allow, and who published a file."""

from __future__ import annotations

import base64
import contextlib
import importlib.util
import json
import time
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from layersmith.base import http, origins, routes, uv
from layersmith.errors import LockError
from layersmith.lock import pages, provenance, yanked
from layersmith.lock.document import Lock, LockEntry
from layersmith.lock.pages import Page, PageFile, Pages

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from .conftest import MakeTarget

INDEX = "https://index.test/simple"
WHEEL = "x-1.0-py3-none-any.whl"
SAID = {
    "name": "X",
    "files": [
        {"filename": WHEEL, "yanked": "broken", "provenance": "/p/x"},
        {"filename": "x-2.0.tar.gz", "yanked": False, "provenance": None},
    ],
    "project-status": {"status": "archived", "reason": "moved\n to  y"},
}
READ = Page(
    {WHEEL: PageFile(True, "https://index.test/p/x"), "x-2.0.tar.gz": PageFile(False)},
    "archived",
    "moved to y",
)


class Index:
    """An index that answers with one page."""

    def __init__(self, said: object = SAID, **headers: str) -> None:
        self.said, self.headers = said, headers
        self.asked: list[httpx.Request] = []
        self.client = httpx.Client(transport=httpx.MockTransport(self.answer))

    def answer(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        headers = {name.replace("_", "-"): value for name, value in self.headers.items()}
        if headers.get("etag") and headers["etag"] == request.headers.get("if-none-match"):
            return httpx.Response(304, headers=headers)
        if isinstance(self.said, str):
            return httpx.Response(200, html=self.said, headers=headers)
        return httpx.Response(200, json=self.said, headers=headers)

    def read(self) -> Page:
        return pages.read(self.client, f"{INDEX}/", "x")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [1000.0]
    monkeypatch.setattr(time, "time", lambda: now[0])
    return now


def test_a_page_is_asked_again_when_its_time_is_over(clock: list[float]) -> None:
    index = Index(cache_control="max-age=60")
    assert [index.read(), index.read()] == [READ, READ]
    assert [str(one.url) for one in index.asked] == [f"{INDEX}/x/"]
    clock[0] += 60
    assert index.read() == READ
    assert [one.headers.get("if-none-match") for one in index.asked] == [None, None]


def test_a_page_with_a_mark_is_read_again_only_when_it_changed() -> None:
    index = Index(etag='"1"')
    assert [index.read(), index.read()] == [READ, READ]
    assert [one.headers.get("if-none-match") for one in index.asked] == [None, '"1"']
    index.said, index.headers = {"name": "x", "files": []}, {"etag": '"2"'}
    assert index.read() == Page()
    assert index.read() == Page()
    assert index.asked[-1].headers["if-none-match"] == '"2"'


def test_a_page_without_a_mark_or_a_time_is_not_kept() -> None:
    index = Index()
    assert [index.read(), index.read()] == [READ, READ]
    assert [one.headers.get("if-none-match") for one in index.asked] == [None, None]


@pytest.mark.parametrize("said", [{"name": "other", "files": []}, {"name": "x"}, ["x"]])
def test_what_is_not_the_projects_page_is_refused(said: object) -> None:
    with pytest.raises(http.RequestFailed):
        Index(said).read()


def test_a_page_in_html_says_the_same() -> None:
    text = (
        '<meta name="pypi:project-status" content="archived">'
        '<meta name="pypi:project-status-reason" content="moved to  y">'
        '<meta name="other" content="quarantined">'
        f'<a href="/f/{WHEEL}#sha256=1" data-yanked data-provenance="/p/x">x</a>'
        '<a href="/f/x-2.0.tar.gz">x</a><a name="top">top</a><b href="/f/no.whl">no</b>'
    )
    assert Index(text).read() == READ
    assert Index("<p>").read() == Page()


def test_a_status_is_a_word() -> None:
    known = [None, "", "archived", "Not a word", "x" * 41]
    assert [pages._status(one) for one in known] == [
        "active",
        "active",
        "archived",
        *["active"] * 2,
    ]


def test_pages_are_asked_for_once_and_the_connection_is_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = Index()
    with Pages(tmp_path) as unused:
        assert unused._client is None
    with Pages(tmp_path) as asked:
        monkeypatch.setattr(asked, "_client", index.client)
        assert [asked.of(INDEX, "x"), asked.of(INDEX, "x")] == [READ, READ]
        assert len(index.asked) == 1
        assert not index.client.is_closed
    assert index.client.is_closed


GITHUB = "GitHub repository=me/x workflow=a.yml"
OTHER = "GitHub repository=you/x workflow=a.yml"


def entry(sha256: str = "1" * 64, *publishers: str, index: str = INDEX) -> LockEntry:
    return LockEntry("x", "1.0", sha256, WHEEL, publishers=publishers, index=index)


class Answers:
    """Pages that are known, and publishers as they are attested."""

    def __init__(self, attested: Any = (), page: Any = READ) -> None:
        self.attested, self.page = attested, page
        self.asked: list[object] = []

    def ask(self, projects: Any) -> None:
        self.projects = list(projects)

    def of(self, index: str, name: str) -> Page:
        if isinstance(self.page, Exception):
            raise self.page
        return Page(**vars(self.page))

    def once(self, key: object, ask: Callable[[], Any]) -> Future[Any]:
        self.asked.append(key)
        future: Future[Any] = Future()
        if isinstance(self.attested, Exception):
            future.set_exception(self.attested)
        else:
            future.set_result(tuple(self.attested))
        return future


def added(
    make_target: MakeTarget, answers: Any, new: LockEntry, *old: LockEntry, accepted: str = ""
) -> tuple[tuple[str, ...], list[str]]:
    before = Lock(list(old), "", {}) if old else None
    made, notes = provenance.add(
        Lock([new], "", {}), before, make_target(), answers, accepted.split()
    )
    archived = "x is marked as archived (moved to y)"
    assert any(note.startswith(archived) for note in notes[:1]) is (answers.page is READ)
    return made.entries[0].publishers, notes[answers.page is READ :]


def test_a_publisher_is_recorded_and_whether_its_signature_was_checked(
    make_target: MakeTarget, monkeypatch: pytest.MonkeyPatch
) -> None:
    for can, notes in ((True, 0), (False, 1)):
        monkeypatch.setattr(provenance, "_can_verify", lambda can=can: can)
        publishers, said = added(make_target, Answers([GITHUB]), entry())
        assert (publishers, len(said)) == ((GITHUB,), notes)
    assert "1 new publisher(s)" in said[0]
    assert added(make_target, Answers(), entry()) == ((), [])


def test_files_of_no_index_are_not_asked_for(make_target: MakeTarget) -> None:
    answers: Any = Answers([GITHUB])
    local = Lock([entry(index="file:///x")], "", {})
    assert provenance.add(local, None, make_target(), answers) == (local, [])
    assert answers.projects == []


def test_the_publisher_of_the_same_file_stays_without_a_question(make_target: MakeTarget) -> None:
    known = entry("1" * 64, GITHUB)
    answers = Answers([OTHER])
    assert added(make_target, answers, entry(), known) == ((GITHUB,), [])
    assert answers.asked == []
    assert added(make_target, answers, entry())[0] == (OTHER,)
    assert answers.asked == [("https://index.test/p/x", "1" * 64)]


@pytest.mark.parametrize("page", [Page(), Page({WHEEL: PageFile(False)})])
def test_what_the_index_does_not_attest_has_no_publisher_and_must_not_have_had_one(
    make_target: MakeTarget, page: Page
) -> None:
    answers = Answers([GITHUB], page)
    assert added(make_target, answers, entry()) == ((), [])
    for before in (entry("1" * 64, GITHUB), entry("2" * 64, GITHUB)):
        with pytest.raises(LockError, match="has no attestation of who published it"):
            added(make_target, answers, entry(), before)
        assert added(make_target, answers, entry(), before, accepted="x") == ((), [])
    assert answers.asked == []


def test_another_publisher_or_none_stops_unless_it_is_accepted(make_target: MakeTarget) -> None:
    before = entry("2" * 64, GITHUB)
    for attested, what in (([OTHER], OTHER), ((), "has no attestation")):
        with pytest.raises(LockError, match=f"x 1.0 was published by {GITHUB}, and") as stop:
            added(make_target, Answers(attested), entry(), before)
        assert what in stop.value.message
        assert added(make_target, Answers(attested), entry(), before, accepted="x")[0] == tuple(
            attested
        )
    assert added(make_target, Answers([GITHUB]), entry(), before)[0] == (GITHUB,)


def test_an_attestation_of_another_file_stops_unless_it_is_accepted(
    make_target: MakeTarget,
) -> None:
    answers = Answers(provenance.Refuted("of another file"))
    with pytest.raises(LockError, match="of another file"):
        added(make_target, answers, entry())
    assert added(make_target, answers, entry(), accepted="x") == ((), [])


def test_what_cannot_be_read_is_said_and_stops_only_what_was_attested(
    make_target: MakeTarget,
) -> None:
    silent = Answers(http.RequestFailed("500"))
    publishers, (said,) = added(make_target, silent, entry())
    assert (publishers, said.endswith("500; its publisher is not recorded")) == ((), True)
    with pytest.raises(LockError, match="could not be read: 500"):
        added(make_target, silent, entry(), entry("2" * 64, GITHUB))
    no_page = Answers(page=http.RequestFailed("404"))
    publishers, (said,) = added(make_target, no_page, entry(), entry("1" * 64, GITHUB))
    assert (publishers, said.endswith("404; its publisher stays as recorded")) == ((GITHUB,), True)


def attestation(name: str = WHEEL, sha256: str = "1" * 64, **publisher: str) -> dict[str, Any]:
    statement = {"subject": [{"name": name, "digest": {"sha256": sha256}}]}
    text = base64.b64encode(json.dumps(statement).encode()).decode()
    said = {"kind": "GitHub", "repository": "me/x", "workflow": "a.yml"} | publisher
    return {"publisher": said, "attestations": [{"envelope": {"statement": text}}]}


def named(*bundles: dict[str, Any]) -> tuple[str, ...]:
    content = json.dumps({"attestation_bundles": bundles}).encode()
    return provenance.publishers_in(content, WHEEL, "1" * 64)


def test_publishers_are_read_of_attestations_of_this_file() -> None:
    assert named(attestation("X-1.0-py3-none-any.whl")) == (GITHUB,)
    assert named(attestation(kind="New kind", workflow="")) == ("New%20kind repository=me/x",)
    for other in (attestation("y-1.0-py3-none-any.whl"), attestation(sha256="2" * 64)):
        with pytest.raises(provenance.Refuted, match="is of another file: '"):
            named(attestation(), other)
    empty = attestation() | {"attestations": []}
    with pytest.raises(provenance.Refuted, match="is of another file: nothing"):
        named(empty)
    with pytest.raises(http.RequestFailed, match="it is not readable"):
        named({})


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("a_b-1.0.tar.gz", "A.B-1.0.tar.gz", True),
        ("a-1.0.tar.gz", "a-1.1.tar.gz", False),
        ("a-1.0.zip.asc", "a-1.0.zip.asc", True),
        ("a-1.0.exe", "b-1.0.exe", False),
    ],
)
def test_names_of_one_file(one: str, other: str, same: bool) -> None:
    assert provenance._same(one, other) is same


def test_projects_that_the_index_withholds_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uv, "indexes", lambda _: [INDEX])
    answers: Any = Answers()
    text = "Because there are no versions of X and app depends on x, it has no solution"
    said = provenance.withheld(text, tmp_path, answers)
    assert said.startswith("x is marked as archived (moved to y): its owners")
    answers.page = Page(status="strange")
    said = provenance.withheld(text, tmp_path, answers)
    assert said == "x is marked as strange: the index does not call it active"
    answers.page = Page()
    assert provenance.withheld(text, tmp_path, answers) == ""
    assert provenance.withheld("no", tmp_path, answers) == ""


@pytest.mark.parametrize("installed", [True, False])
def test_signatures_are_checked_where_the_extra_is_installed(
    monkeypatch: pytest.MonkeyPatch, *, installed: bool
) -> None:
    content = json.dumps({"attestation_bundles": [attestation()]}).encode()
    answers: Any = Answers()
    answers.client = httpx.Client(
        transport=httpx.MockTransport(lambda _: httpx.Response(200, content=content))
    )
    verified: list[tuple[bytes, str, str]] = []
    monkeypatch.setattr(provenance, "verify", lambda *said: verified.append(said))
    monkeypatch.setattr(provenance, "_can_verify", lambda: installed)
    found = provenance._attested(entry(), "https://index.test/p/x", answers)
    assert found == (GITHUB,)
    assert verified == ([(content, WHEEL, "1" * 64)] if installed else [])


def test_whether_signatures_can_be_checked_is_whether_the_library_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    installed = ["pypi_attestations"]
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: object() if name in installed else None
    )
    can_verify = provenance._can_verify.__wrapped__  # the answer is kept for the process
    assert can_verify()
    installed.clear()
    assert not can_verify()


def test_the_first_index_that_lists_a_file_says_what_is_yanked(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    good, bad, other = ("x-1.0-py2-none-any.whl", WHEEL, "x-9.0-py3-none-any.whl")
    says: dict[str, Page | http.RequestFailed] = {
        "https://silent.test": http.RequestFailed("500"),
        "https://others.test": Page({other: PageFile(True)}),
        "https://first.test": Page({bad: PageFile(True), other: PageFile(True)}),
        "https://second.test": Page({good: PageFile(True), bad: PageFile(False)}),
    }

    def read(_: object, index: str, name: str) -> Page:
        assert name == "x-y"
        said = says[index]
        if isinstance(said, Exception):
            raise said
        return said

    monkeypatch.setattr(pages, "read", read)
    monkeypatch.setattr(routes, "client", lambda *_, **__: contextlib.nullcontext())

    def found(*indexes: str) -> set[str]:
        settings = {"index": [{"url": f"https://{one}.test"} for one in indexes]}
        monkeypatch.setattr(origins, "of", lambda _: origins.Origins(settings))
        return yanked._yanked("X.y", {good, bad}, tmp_path)

    assert found("silent", "others", "first", "second") == {bad}
    assert found("second", "first") == {good}
    assert found("silent", "others") == set()
    assert found() == set()

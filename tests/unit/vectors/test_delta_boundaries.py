"""Each limit of deltas and of the server, one step inside and one step outside."""

from __future__ import annotations

import hashlib
import http.client
import os
import threading
import time
from array import array
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import quote

import boto3
import pytest
from botocore import UNSIGNED
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from chroma_store.deltas import log as log_module
from chroma_store.deltas import quarantine, replay
from chroma_store.deltas.compaction import check_counts
from chroma_store.deltas.fetching import _quick, reader, sign
from chroma_store.deltas.log import DeltaLog
from chroma_store.periodic import Periodic
from chroma_store.server import client
from chroma_store.server.client import ChromaHttp
from chroma_store.snapshots import store, versions
from chroma_store.snapshots.manifest import (
    CollectionInfo,
    SnapshotManifest,
)
from vector_common.deltas import Delta
from vector_common.errors import (
    BadRequest,
    Conflict,
    Damaged,
    NotFound,
    PayloadTooLarge,
    TooManyRequests,
    Unauthorized,
    Unavailable,
)
from vector_common.ids import new_id
from vector_common.names import delta_key, delta_prefix
from vector_common.records import CollectionSpec, VectorRecord
from vector_common.storage import open_storage

if TYPE_CHECKING:
    from chroma_store.storage import Storage


SPEC = CollectionSpec("things", 2, "l2")
CHANGE = {"op": "upsert", "id": "a", "embedding": [1.0, 2.0]}


# Deltas.


class Recorder:
    """A server that remembers what is done to it, with some records there already."""

    def __init__(self, there: dict[str, tuple[set[str], bool]] | None = None) -> None:
        self.there = there or {}
        self.calls: list[tuple[str, list[str]]] = []
        self.metadatas: list[Any] = []

    def ensure(self, spec: CollectionSpec) -> tuple[str, str]:
        return spec.name, spec.space

    def count(self, _: str) -> int:
        return len(self.there)

    def parts(self, _: str, ids: list[str]) -> dict[str, tuple[set[str], bool]]:
        self.calls.append(("parts", list(ids)))
        return {i: self.there[i] for i in ids if i in self.there}

    def delete(self, _: str, ids: list[str]) -> None:
        self.calls.append(("delete", list(ids)))

    def upsert(self, _: str, records: list[VectorRecord], metadatas: list[Any]) -> None:
        self.calls.append(("upsert", [record.id for record in records]))
        self.metadatas += metadatas

    def update(self, _: str, records: list[VectorRecord]) -> None:
        self.calls.append(("update", [record.id for record in records]))


def changes(*ops: tuple[str, str]) -> list[VectorRecord]:
    return [VectorRecord(op, i, None, {"k": 1}, None) for op, i in ops]  # type: ignore[arg-type]


def apply(server: Any, records: list[VectorRecord]) -> int:
    growth, refused = replay.apply(server, "c", [replay.Change("d", r) for r in records])
    assert not refused
    return growth


def test_records_go_in_batches_of_a_thousand() -> None:
    server: Any = Recorder()
    net = changes(*(("upsert", f"{n}") for n in range(2001)))
    assert apply(server, net) == 2001
    assert [len(ids) for what, ids in server.calls if what == "upsert"] == [1000, 1000, 1]


def test_only_what_is_there_is_removed_or_merged() -> None:
    server: Any = Recorder({"old": ({"gone"}, False), "doc": ({"gone"}, True)})
    net = changes(
        ("delete", "old"), ("delete", "none"), ("update", "new"), ("upsert", "doc"), ("upsert", "x")
    )
    assert apply(server, net) == 0
    assert server.calls[1:] == [
        ("upsert", ["doc", "x"]),
        ("delete", ["old", "doc"]),
        ("upsert", ["doc"]),
    ]
    assert server.metadatas == [{"gone": None, "k": 1}, {"k": 1}, {"k": 1}]


def test_former_metadata_is_taken_away_by_nulls() -> None:
    server: Any = Recorder({"a": ({"gone", "k"}, False)})
    assert apply(server, changes(("upsert", "a"))) == 0
    assert server.metadatas == [{"gone": None, "k": 1}]
    server.metadatas.clear()
    apply(server, [VectorRecord("upsert", "new", None, None, None)])
    assert server.metadatas == [None]


def test_an_update_of_nothing_is_not_sent() -> None:
    server: Any = Recorder({"a": (set(), False)})
    assert apply(server, [VectorRecord("update", "a", None, None, None)]) == 0
    assert [what for what, _ in server.calls] == ["parts"]
    assert apply(server, changes(("update", "a"))) == 0
    assert server.calls[-1] == ("update", ["a"])


@pytest.mark.parametrize("space", ["l2", "cosine", "ip"])
def test_a_collection_that_calculates_otherwise_is_told(space: str) -> None:
    server: Any = Recorder()
    server.ensure = lambda spec: (spec.name, space)
    progress = replay.Progress()
    replay.apply_deltas(server, [Delta(new_id(), SPEC, changes(("upsert", "a")))], progress)
    assert [what for what, _ in server.calls].count("upsert") == 1
    told = [f"calculates {space}" in note for note in progress.notes.values()]
    assert told == ([] if space == SPEC.space else [True])


@pytest.mark.parametrize(("first", "windows"), [(4999, 1), (5000, 2)])
def test_changes_are_folded_five_thousand_at_a_time(first: int, windows: int) -> None:
    server: Any = Recorder()
    deltas = [
        Delta(new_id(), SPEC, changes(*[("upsert", "a")] * first)),
        Delta(new_id(), SPEC, changes(("upsert", "a"))),
    ]
    progress = replay.Progress()
    replay.apply_deltas(server, deltas, progress)
    assert len([1 for what, _ in server.calls if what == "upsert"]) == windows
    assert progress.records == first + 1


def test_the_log_lists_reads_and_drops(storage: Storage) -> None:
    log = DeltaLog(storage, "db")
    [one], [two] = log.append([CHANGE], SPEC), log.append([CHANGE], SPEC)
    assert [info.id for info in log.pending()] == [one, two]
    assert [info.id for info in log.pending({one})] == [two]
    assert log.read(one).id == one
    assert log.drop([]) == 0
    assert log.drop([one, new_id()]) == 1
    assert [info.id for info in log.pending()] == [two]
    with pytest.raises(NotFound):
        log.read(one)
    storage.put(f"{delta_prefix('db')}stray", b"")
    with pytest.raises(Damaged, match="is not a delta"):
        log.pending()


class Picky(Recorder):
    """A server that refuses every request that holds certain records."""

    def __init__(self, *bad: str) -> None:
        super().__init__()
        self.bad = set(bad)

    def upsert(self, _: str, records: list[VectorRecord], metadatas: list[Any]) -> None:
        super().upsert(_, records, metadatas)
        if self.bad & {record.id for record in records}:
            raise PayloadTooLarge("no")


def test_a_refused_batch_is_halved_until_the_culprits_are_alone() -> None:
    server: Any = Picky("3", "1000")
    net = [replay.Change("d", r) for r in changes(*(("upsert", f"{n}") for n in range(1500)))]
    growth, refused = replay.apply(server, "c", net)
    assert growth == 1498
    assert [(change.record.id, reason) for change, reason in refused] == [
        ("3", "no"),
        ("1000", "no"),
    ]
    # Halving 1,000 and 500 records: far fewer requests than records.
    assert len(server.calls) < 50


def test_batches_are_cut_by_bytes() -> None:
    server: Any = Recorder()
    text = "x" * (replay._BATCH_BYTES // 3)
    apply(server, [VectorRecord("upsert", f"{n}", None, None, text) for n in range(5)])
    assert [len(ids) for what, ids in server.calls if what == "upsert"] == [2, 2, 1]


def test_a_server_that_fails_names_the_deltas(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = DeltaLog(storage, "db")
    [one] = log.append([CHANGE], SPEC)

    def fail(*_: object) -> None:
        raise Unavailable("no answer")

    monkeypatch.setattr(ChromaHttp, "ensure", fail)
    with pytest.raises(Unavailable, match=f"deltas {one} to {one}: no answer"):
        log.replay("http://127.0.0.1:1")
    assert storage.get(delta_key("db", one)).data


class Counting:
    """A store whose reads take a moment, and which knows how many are under way."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._lock = threading.Lock()
        self.now = self.most = self.begun = 0

    def get(self, key: str) -> Any:
        with self._lock:
            self.now, self.begun = self.now + 1, self.begun + 1
            self.most = max(self.most, self.now)
        time.sleep(0.01)
        with self._lock:
            self.now -= 1
        return self._storage.get(key)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._storage, name)


def test_deltas_are_read_ahead_in_order_and_within_bounds(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = DeltaLog(storage, "db")
    ids = [delta for _ in range(60) for delta in written.append([CHANGE], SPEC)]
    slow: Any = Counting(storage)
    log = DeltaLog(slow, "db")
    read = [delta.id for delta in log.read_ahead(log.pending()) if isinstance(delta, Delta)]
    assert read == ids
    assert 1 < slow.most <= log_module.AHEAD_THREADS

    slow.most = slow.begun = 0
    infos = log.pending()
    monkeypatch.setattr(log_module, "AHEAD_BYTES", 3 * infos[0].size)
    ahead = log.read_ahead(infos)
    next(ahead)
    assert slow.begun <= 4
    assert slow.most <= 3
    ahead.close()
    assert slow.begun <= 4


@pytest.mark.parametrize("token", [None, "session/token+="])
@pytest.mark.parametrize("host", ["bucket.s3.eu-west-1.amazonaws.com", "127.0.0.1:8443"])
def test_requests_are_signed_as_botocore_signs_them(
    monkeypatch: pytest.MonkeyPatch, token: str | None, host: str
) -> None:
    frozen = Credentials("AKID", "secret", token).get_frozen_credentials()
    moment = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
    path = quote("/vectors/databases/db/deltas/a=b.jsonl")
    monkeypatch.setattr("botocore.auth.get_current_datetime", lambda: moment)
    theirs = AWSRequest("GET", f"https://{host}{path}")
    theirs.headers["X-Amz-Content-SHA256"] = hashlib.sha256().hexdigest()
    monkeypatch.setattr(S3SigV4Auth, "payload", lambda *_: hashlib.sha256().hexdigest())
    S3SigV4Auth(frozen, "s3", "eu-west-1").add_auth(theirs)
    ours = sign(frozen, "eu-west-1", host, path, moment.timestamp())
    assert ours["authorization"] == theirs.headers["Authorization"]
    assert ours.get("x-amz-security-token") == token


@pytest.mark.parametrize(
    ("signs", "proxy", "quick"), [(True, "", True), (False, "", False), (True, "http://p:1", False)]
)
def test_a_bucket_is_read_directly_where_that_is_the_same(
    storage: Storage, monkeypatch: pytest.MonkeyPatch, signs: bool, proxy: str, quick: bool
) -> None:
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("https_proxy", proxy)
    config = Config() if signs else Config(signature_version=UNSIGNED)
    keys: dict[str, Any] = {"aws_access_key_id": "A", "aws_secret_access_key": "s"} if signs else {}
    made = boto3.client("s3", region_name="eu-west-1", config=config, **keys)
    assert (_quick(open_storage("s3://bucket/prefix", client=made)) is not None) is quick
    assert _quick(storage) is None


class Connection:
    """A connection of http.client: one object is there whole, one in part, one fails."""

    made: ClassVar[list[tuple[str, str]]] = []

    def __init__(self, host: str, **more: Any) -> None:
        self.made.append((type(self).__name__, host))
        assert ("context" in more) is isinstance(self, Secure)
        self.path = ""

    def request(self, method: str, path: str, headers: dict[str, str]) -> None:
        assert (method, headers["host"]) == ("GET", self.made[-1][1])
        self.path = path

    def getresponse(self) -> Any:
        name = self.path.rpartition("/")[2]
        if name == "fails":
            raise http.client.RemoteDisconnected("cut")
        status = {"there": 200, "part": 206}.get(name, 404)
        return SimpleNamespace(status=status, read=f"quick {self.path}".encode)

    def close(self) -> None:
        """Keep nothing."""


class Secure(Connection):
    """The same by TLS."""


@pytest.mark.parametrize(
    ("endpoint", "kind", "host"),
    [
        ("http://localhost:9000", "Connection", "localhost:9000"),
        ("https://localhost:9000", "Secure", "localhost:9000"),
    ],
)
def test_what_is_not_a_whole_object_is_left_to_the_stores_own_client(
    monkeypatch: pytest.MonkeyPatch, endpoint: str, kind: str, host: str
) -> None:
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    Connection.made.clear()
    monkeypatch.setattr(http.client, "HTTPConnection", Connection)
    monkeypatch.setattr(http.client, "HTTPSConnection", Secure)
    client = boto3.client(
        "s3", region_name="eu-west-1", endpoint_url=endpoint,
        aws_access_key_id="A", aws_secret_access_key="s",
    )  # fmt: skip
    bucket = open_storage("s3://bucket/prefix", client=client)
    monkeypatch.setattr(type(bucket), "get", lambda *_: SimpleNamespace(data=b"own client"))
    read = reader(bucket)
    assert read("there") == b"quick /bucket/prefix/there"
    assert [read(key) for key in ("part", "gone", "fails")] == [b"own client"] * 3
    assert Connection.made == [(kind, host)]


def test_what_is_set_aside_is_listed_and_discarded_by_its_delta(storage: Storage) -> None:
    one, two = new_id(), new_id()
    quarantine.keep(storage, "db", [quarantine.unreadable(one, b"?", "cut short")])
    quarantine.keep(storage, "db", [quarantine.refused(two, SPEC, [(b"{}", "no id")] * 2)])
    assert sorted(quarantine.listed(storage, "db"), key=lambda entry: entry.delta) == [
        quarantine.QuarantineEntry(one, None, None, ("cut short",)),
        quarantine.QuarantineEntry(two, SPEC.name, 2, ("no id", "no id")),
    ]
    assert quarantine.discard(storage, "db", one) == 2
    assert [entry.delta for entry in quarantine.listed(storage, "db")] == [two]
    assert quarantine.discard(storage, "db", one) == 0


def test_counts_must_come_out() -> None:
    holds = [CollectionInfo("a", 2, 1), CollectionInfo("b", 2, 0)]
    check_counts(holds, {"a": 1}, what="t")
    check_counts(holds, {"a": 1, "b": 0}, what="t", complete=True)
    for expected, complete in (({"a": 2}, False), ({"a": 1}, True), ({"c": 0}, False)):
        with pytest.raises(Damaged, match="t says"):
            check_counts(holds, expected, what="t", complete=complete)


# The server.


class Answer:
    def __init__(self, status: int, data: bytes = b"{}") -> None:
        self.status = status
        self.data = data


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, BadRequest),
        (401, Unauthorized),
        (403, Unauthorized),
        (404, NotFound),
        (409, Conflict),
        (413, PayloadTooLarge),
        (422, BadRequest),
        (429, TooManyRequests),
        (418, Unavailable),
        (500, Unavailable),
        (503, Unavailable),
    ],
)
def test_every_status_has_its_error(
    status: int, kind: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    server = ChromaHttp("http://127.0.0.1:1")
    monkeypatch.setattr(server._http, "request", lambda *_, **__: Answer(status, b"why"))
    with pytest.raises(kind, match=f"{status} for GET /x: why") as raised:
        server._call("GET", "/x")
    assert type(raised.value) is kind


def test_what_is_below_four_hundred_is_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    server = ChromaHttp("http://127.0.0.1:1")
    monkeypatch.setattr(server._http, "request", lambda *_, **__: Answer(399, b'{"a": 1}'))
    assert server._call("GET", "/x") == {"a": 1}
    assert client._PAGE == 500


def test_an_update_sends_the_parts_that_the_records_have(monkeypatch: pytest.MonkeyPatch) -> None:
    server = ChromaHttp("http://127.0.0.1:1")
    sent: list[Any] = []
    monkeypatch.setattr(server, "_call", lambda *call: sent.append(call[2]))
    server.update("c", [VectorRecord("update", "a", array("f", [1.0]), None, "text")])
    server.update("c", [VectorRecord("update", "a", None, {"k": 1}, None)])
    assert sent == [
        {"ids": ["a"], "embeddings": ["AACAPw=="], "documents": ["text"]},
        {"ids": ["a"], "metadatas": [{"k": 1}]},
    ]


@pytest.mark.parametrize(("count", "pages"), [(499, 1), (500, 2), (501, 2)])
def test_collections_are_listed_five_hundred_at_a_time(
    monkeypatch: pytest.MonkeyPatch, count: int, pages: int
) -> None:
    server = ChromaHttp("http://127.0.0.1:1")
    asked: list[str] = []

    def call(_: str, path: str, body: object = None) -> Any:
        assert body is None
        if path.endswith("/count"):
            return 7
        asked.append(path)
        query = dict(part.split("=") for part in path.partition("?")[2].split("&"))
        start = int(query["offset"])
        numbers = range(start, min(count, start + int(query["limit"])))
        return [{"id": str(n), "name": f"c{n}", "dimension": 2} for n in numbers]

    monkeypatch.setattr(server, "_call", call)
    assert len(server.collections()) == count
    assert len(asked) == pages


def test_the_version_is_that_of_the_image_if_it_states_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CHROMA_VERSION", "9.8.7")
    assert versions.running_version() == "9.8.7"
    monkeypatch.setenv("CHROMA_VERSION", "")
    assert versions.running_version() == "1.5.9"


def test_an_answer_is_quoted_up_to_five_hundred_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    server = ChromaHttp("http://127.0.0.1:1")
    monkeypatch.setattr(server._http, "request", lambda *_, **__: Answer(500, b"x" * 501))
    with pytest.raises(Unavailable) as raised:
        server._call("GET", "/y")
    assert str(raised.value).count("x") == 500


def test_what_is_dropped_is_remembered_for_a_day(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert store.REMEMBER_SECONDS == 86_400
    monkeypatch.setattr(time, "time", lambda: 200_000)
    young, old, there = new_id(), new_id(), new_id()
    storage.put(delta_key("db", there), b"x")
    consumed = {young: 200_000 - 86_399, old: 200_000 - 86_400, there: 1}
    former = SnapshotManifest(new_id(), "db", None, "now", "1.5.9", consumed=consumed)
    kept = store.still_consumed(storage, "db", former, ["new"])
    assert kept == {young: 200_000 - 86_399, there: 1, "new": 200_000}


def test_a_call_is_repeated_until_it_says_no() -> None:
    calls: list[None] = []

    def call() -> bool:
        calls.append(None)
        return len(calls) < 3

    periodic = Periodic(call, 0.001, "test")
    periodic.start()
    periodic._thread.join(10)
    assert len(calls) == 3
    periodic.stop()


def test_a_call_is_not_repeated_once_it_was_stopped() -> None:
    calls: list[None] = []

    def call() -> bool:
        calls.append(None)
        return True

    periodic = Periodic(call, 600, "test")
    periodic.start()
    periodic.stop()
    assert not periodic._thread.is_alive()
    assert len(calls) <= 1


def test_a_first_call_can_wait_for_its_interval() -> None:
    calls: list[None] = []
    ended = threading.Event()

    def call() -> bool:
        calls.append(None)
        ended.set()
        return False

    slow = Periodic(call, 600, "test", at_once=False)
    slow.start()
    slow.stop()
    assert calls == []
    quick = Periodic(call, 0.001, "test", at_once=False)
    quick.start()
    assert ended.wait(10)
    assert calls == [None]

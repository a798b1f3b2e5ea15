"""No event and no answer leads to an error without a name."""

from __future__ import annotations

import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import chromadb.errors
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from vector_common import chroma, errors
from vector_common.events import MAX_ANSWER_BYTES, entrypoint
from vector_common.search import neighbours
from vector_common.stores.session import SessionStore

Load = Callable[[str], Any]

FUNCTIONS = [
    "vector_search",
    "label_validation",
    "merchant_match",
    "session_work",
    "delta_writer",
    "compaction_trigger",
]
FIELDS = [
    "collection", "collections", "database", "databases", "documents", "embedding", "event",
    "function", "idempotencyKey", "items", "key", "label", "limit", "minSimilarity", "records",
    "session", "text", "where",
]  # fmt: skip
scalars = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8), st.just("abc")
)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.sampled_from(FIELDS), inner, max_size=4)
    ),
    max_leaves=12,
)
bodies = st.dictionaries(st.sampled_from(FIELDS) | st.text(max_size=5), values, max_size=8)
requests = st.fixed_dictionaries(
    {"requestContext": values, "body": values | bodies.map(json.dumps) | st.text(max_size=9)},
    optional={"isBase64Encoded": values},
)


@pytest.fixture(autouse=True)
def lambda_without_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "fuzzed")
    for name in ("CHROMA_URL", "STORAGE_URL", "EMBEDDER"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("function", FUNCTIONS)
@given(event=st.one_of(bodies, requests, values))
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
def test_every_event_gets_an_answer_or_a_named_error(load: Load, function: str, event: Any) -> None:
    is_http = isinstance(event, dict) and "requestContext" in event
    try:
        answer = load(function).handler(event, None)
    except errors.VectorError as error:
        assert not is_http
        assert error.status >= 400
    else:
        assert not is_http or 200 <= answer["statusCode"] < 600


ODD_ADDRESSES = [
    "http://host:notaport", "http://host:99999", "http://host:0", "http://[::1", "http://a b",
    "http://host/path", "http://u:p@host", "http://host?x=1", "http://host#x", "ftp://host", "",
    "http://", "http://\ud800", "http://ho\nst", "//host", "http://host:-1",
]  # fmt: skip


@pytest.mark.parametrize("address", ODD_ADDRESSES, ids=range(len(ODD_ADDRESSES)))
def test_an_odd_address_is_a_bad_request(load: Load, address: str) -> None:
    event = {"collection": "abc", "embedding": [1.0], "session": {"address": address}}
    with pytest.raises(errors.BadRequest, match=r"session\.address"):
        load("vector_search").handler(event, None)


@pytest.mark.parametrize("text", ["http://10.0.0.1:8080", "https://h.example/", "http://[::1]:1"])
def test_what_a_session_announces_is_an_address(text: str) -> None:
    assert chroma.is_address(text)


def raising(_: Any) -> Any:
    raise RuntimeError("out of memory")


ANSWERS: dict[str, Any] = {
    "raises": raising,
    "none": lambda _: [],
    "text": lambda _: ["vector"],
    "not finite": lambda _: [[float("nan")]],
    "nothing": lambda _: None,
}


@pytest.mark.parametrize("kind", [*ANSWERS, "missing"])
def test_a_fault_of_the_embedder_is_not_the_events(
    load: Load, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setenv("EMBEDDER", f"{kind.replace(' ', '_')}:embed")
    monkeypatch.setattr("importlib.import_module", lambda name: _module(name, kind))
    monkeypatch.setattr(load("vector_search"), "open_store", lambda *_: None)
    with pytest.raises(errors.EmbedderFailed, match="embedder"):
        load("vector_search").handler({"collection": "abc", "text": "x"}, None)


def _module(name: str, kind: str) -> Any:
    if kind == "missing":
        raise ModuleNotFoundError(name)
    return SimpleNamespace(embed=ANSWERS[kind])


class Collection:
    def __init__(self, answer: Any) -> None:
        self.configuration_json: dict[str, Any] = {}
        self._answer = answer

    def query(self, **_: Any) -> Any:
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (chromadb.errors.InternalError("no"), errors.ChromaFailed),
        (Exception("<html>"), errors.ChromaFailed),
        (json.JSONDecodeError("no", "x", 0), errors.ChromaFailed),
        (KeyError("ids"), errors.ChromaFailed),
        (ValueError("Expected where"), errors.BadRequest),
        (errors.StorageFull("full"), errors.StorageFull),
        ({"ids": [["a"]], "distances": [[None]], "metadatas": [[None]]}, errors.BadRequest),
    ],
)
def test_every_answer_of_chroma_has_a_name(answer: Any, kind: type[Exception]) -> None:
    client: Any = SimpleNamespace(get_collection=lambda *_, **__: Collection(answer))
    with pytest.raises(kind) as raised:
        neighbours.find_neighbours(SessionStore(client), "abc", [1.0], 1)  # type: ignore[arg-type]
    assert type(raised.value) is kind


def test_the_limit_counts_the_quotes_of_an_http_answer() -> None:
    # In JSON the body's own quotes are escaped once more.
    quoted = {"results": ['"' * (MAX_ANSWER_BYTES // 3)]}
    handler = entrypoint(lambda _: quoted)
    assert handler({}, None) == quoted
    assert handler({"requestContext": {}, "body": "{}"}, None)["statusCode"] == 413

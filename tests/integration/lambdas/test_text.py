"""Texts from a function to the server and back, with every embedder that is part of this."""

from __future__ import annotations

import json
import re
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest
from chroma_store.deltas.log import DeltaLog
from chroma_store.deltas.parquet import export_collection, import_collection
from chroma_store.server.client import ChromaHttp
from chroma_store.server.process import ChromaProcess
from chroma_store.storage import open_storage
from vector_common import chroma, embedding, errors
from vector_common.embedding import bedrock
from vector_common.embedding.writing import with_vectors
from vector_common.records import CollectionSpec, EmbeddingModel

from tests.integration.lambdas.test_functions import handler
from tests.support import tiny_onnx
from tests.support.servers import serving

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Answer = Callable[[str, Any], tuple[int, Any]]

TEXTS = {"tea": "green tea from Assam", "bread": "rye bread", "fuel": "petrol for the car"}


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No embedder and no client of another test."""
    for name in ("EMBEDDER_MODEL", "EMBEDDER_DIMENSION", "EMBEDDER_VERSION"):
        monkeypatch.delenv(name, raising=False)
    embedding.forget()
    bedrock._client.cache_clear()
    yield
    embedding.forget()
    bedrock._client.cache_clear()
    chroma.forget()


@contextmanager
def answering(answer: Answer) -> Iterator[tuple[str, list[Any]]]:
    """A server on loopback that answers POSTs; yields its URL and what it was sent."""
    seen: list[Any] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            seen.append((self.path, body, self.headers.get("Authorization")))
            status, said = answer(self.path, body)
            data = json.dumps(said).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            if isinstance(said, dict) and "__type" in said:
                self.send_header("x-amzn-ErrorType", said["__type"])
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    with serving(server):
        yield f"http://127.0.0.1:{server.server_port}", seen


def write(store: Path, **collection: Any) -> None:
    records = [{"id": name, "text": text} for name, text in TEXTS.items()]
    event = {
        "database": "db",
        "collection": {"name": "receipts", **collection},
        "records": records,
    }
    assert handler("delta_writer")(event, None)["records"] == len(TEXTS)


def search(url: str, text: str) -> list[str]:
    event = {"collection": "receipts", "text": text, "session": {"address": url}, "limit": 3}
    return [found["id"] for found in handler("vector_search")(event, None)["results"]]


def test_texts_are_written_and_found_and_another_model_is_refused_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STORAGE_URL", (tmp_path / "store").as_uri())
    monkeypatch.setenv("EMBEDDER", "hashing")
    write(tmp_path)
    log = DeltaLog(open_storage((tmp_path / "store").as_uri()), "db")
    (tmp_path / "data").mkdir()
    with ChromaProcess(tmp_path / "data") as server:
        log.replay(server.base_url)
        assert search(server.base_url, "Assam tea")[0] == "tea"
        assert search(server.base_url, "bread of rye")[0] == "bread"
        embedding.forget()
        monkeypatch.setenv("EMBEDDER_DIMENSION", "64")
        with pytest.raises(errors.ModelMismatch, match=r"has 256 dimensions.* gives 64"):
            search(server.base_url, "tea")
        monkeypatch.setattr(
            "vector_common.embedding.hashing.Hashing.model", EmbeddingModel("hashing", "9")
        )
        for function, more in (
            ("vector_search", {"collection": "receipts"}),
            ("label_validation", {"collection": "receipts", "label": "x"}),
            ("merchant_match", {"collections": ["receipts"]}),
        ):
            event = {"text": "tea", "session": {"address": server.base_url}, **more}
            with pytest.raises(errors.ModelMismatch, match="from the model hashing 1, these from"):
                handler(function)(event, None)


def test_the_model_goes_with_a_collection_and_deltas_of_another_one_are_set_aside(
    tmp_path: Path,
) -> None:
    titan, other = EmbeddingModel("titan", "2"), EmbeddingModel("other")
    storage = open_storage((tmp_path / "store").as_uri())
    log, late = DeltaLog(storage, "db"), DeltaLog(storage, "late")
    record = {"id": "a", "embedding": [1.0, 0.0]}
    log.append([record], CollectionSpec("receipts", 2))
    log.append([{**record, "id": "b"}], CollectionSpec("receipts", 2, model=titan))
    log.append([{**record, "id": "a", "document": "x"}], CollectionSpec("receipts", 2))
    late.append([{**record, "id": "c"}], CollectionSpec("receipts", 2, model=other))
    (tmp_path / "data").mkdir()
    with ChromaProcess(tmp_path / "data") as server:
        client = ChromaHttp(server.base_url)
        assert log.replay(server.base_url).set_aside == ()
        assert client.model("receipts") == titan
        assert client.count(client.find("receipts")) == 2
        [aside] = late.replay(server.base_url).set_aside
        assert "from the model titan 2, these from other" in aside.reasons[0]
        export_collection(server.base_url, "receipts", tmp_path / "out.parquet")
    again = DeltaLog(storage, "again")
    import_collection(again, "receipts", tmp_path / "out.parquet")
    [info] = again.pending()
    assert again.read(info.id).spec.model == titan


def test_documents_of_a_file_are_embedded_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = open_storage((tmp_path / "store").as_uri())
    log, file = DeltaLog(storage, "old"), tmp_path / "out.parquet"
    old = CollectionSpec("receipts", 2, "l2", EmbeddingModel("old"))
    records: list[dict[str, Any]] = [
        {"id": name, "embedding": [1.0, 0.0], "document": text, "metadata": {"n": 1}}
        for name, text in TEXTS.items()
    ]
    log.append(records, old)
    (tmp_path / "data").mkdir()
    with ChromaProcess(tmp_path / "data") as server:
        log.replay(server.base_url)
        export_collection(server.base_url, "receipts", file)
        monkeypatch.setenv("EMBEDDER", "hashing")
        with pytest.raises(errors.ModelMismatch, match=r"has 2 dimensions|model old"):
            import_collection(log, "receipts", file, space="l2", embed=True)
        new = DeltaLog(storage, "new")
        assert import_collection(new, "receipts", file, embed=True) == 3
        [info] = new.pending()
        delta = new.read(info.id)
    assert (delta.spec.model, delta.spec.space) == (EmbeddingModel("hashing", "1"), "l2")
    assert {r.id: (r.document, r.metadata) for r in delta.records} == {
        name: (text, {"n": 1}) for name, text in TEXTS.items()
    }
    log.append([{"id": "z", "embedding": [1.0, 1.0]}], old)
    with ChromaProcess(tmp_path / "data") as server:
        log.replay(server.base_url)
        export_collection(server.base_url, "receipts", file)
    with pytest.raises(errors.BadRequest, match="record z: has no document to embed"):
        import_collection(DeltaLog(storage, "none"), "receipts", file, embed=True)


VECTOR = [0.25, -0.5, 1.0]


def bedrock_says(path: str, body: Any) -> tuple[int, Any]:
    if "titan" in path:
        assert set(body) == {"inputText", "dimensions", "normalize"}
        return 200, {"embedding": [len(body["inputText"]), *VECTOR[1:]], "inputTextTokenCount": 1}
    vectors = [[len(text), *VECTOR[1:]] for text in body["texts"]]
    if "v4" in path:
        assert body["embedding_types"] == ["float"]
        return 200, {"embeddings": {"float": vectors}, "response_type": "embeddings_by_type"}
    return 200, {"embeddings": vectors, "response_type": "embeddings_floats"}


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    monkeypatch.setenv("EMBEDDER", "bedrock")


@pytest.mark.usefixtures("aws")
@pytest.mark.parametrize(
    ("model", "kinds"),
    [
        ("amazon.titan-embed-text-v2:0", []),
        ("cohere.embed-multilingual-v3", ["search_document", "search_query"]),
        ("eu.cohere.embed-v4:0", ["search_document", "search_query"]),
    ],
)
def test_bedrock_gets_the_bodies_of_its_models(
    monkeypatch: pytest.MonkeyPatch, model: str, kinds: list[str]
) -> None:
    monkeypatch.setenv("EMBEDDER_MODEL", model)
    if "v3" not in model:
        monkeypatch.setenv("EMBEDDER_DIMENSION", "3")
    else:
        monkeypatch.setitem(bedrock._DIMENSIONS, "cohere3", 3)
    with answering(bedrock_says) as (url, seen):
        monkeypatch.setenv("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", url)
        embedder = embedding.configured()
        assert embedder
        texts = ["x" * n for n in range(1, 101)]
        vectors = embedding.embed(embedder, texts, "document")
        embedding.embed(embedder, ["tea"], "query")
    assert [vector[0] for vector in vectors] == list(range(1, 101))
    assert {path for path, *_ in seen} == {f"/model/{model.replace(':', '%3A')}/invoke"}
    assert list(dict.fromkeys(b["input_type"] for _, b, _ in seen if "input_type" in b)) == kinds
    assert max(len(body.get("texts", [0])) for _, body, _ in seen) <= 96


@pytest.mark.usefixtures("aws")
@pytest.mark.parametrize(
    ("status", "code", "error"),
    [
        (429, "ThrottlingException", errors.Unavailable),
        (400, "ValidationException", errors.EmbedderFailed),
        (403, "AccessDeniedException", errors.EmbedderFailed),
    ],
)
def test_faults_of_bedrock_are_retried_where_they_may_pass(
    monkeypatch: pytest.MonkeyPatch, status: int, code: str, error: type[errors.VectorError]
) -> None:
    monkeypatch.setenv("EMBEDDER_MODEL", "cohere.embed-v4:0")
    monkeypatch.setitem(bedrock._CONFIG, "retries", {"total_max_attempts": 1})
    with answering(lambda *_: (status, {"__type": code, "message": "no"})) as (url, _):
        monkeypatch.setenv("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", url)
        embedder = embedding.configured()
        assert embedder
        with pytest.raises(error, match=code) as caught:
            embedding.embed(embedder, ["tea"], "query")
    assert caught.value.retryable is (error is errors.Unavailable)


TOO_LONG = [
    "Malformed input request: #/texts/0: expected maxLength: 2048, actual: 2449",
    "400 Bad Request: Too many input tokens. Max input tokens: 8192, request input token count: 9",
    "This model's maximum context length is 512 tokens. However, you requested 900 tokens",
    "Input validation error: `inputs` must have less than 512 tokens. Given: 900",
]


@pytest.mark.usefixtures("aws")
@pytest.mark.parametrize("said", TOO_LONG)
@pytest.mark.parametrize("kind", ["bedrock", "endpoint"])
def test_a_text_that_the_model_finds_too_long_is_the_events_fault(
    monkeypatch: pytest.MonkeyPatch, kind: str, said: str
) -> None:
    monkeypatch.setenv("EMBEDDER", kind)
    monkeypatch.setenv("EMBEDDER_MODEL", "amazon.titan-embed-text-v2:0")
    answer = {"__type": "ValidationException", "message": said}
    with answering(lambda *_: (400, answer)) as (url, _):
        monkeypatch.setenv("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", url)
        monkeypatch.setenv("EMBEDDER_URL", url)
        embedder = embedding.configured()
        assert embedder
        with pytest.raises(errors.PayloadTooLarge, match=re.escape(said[:20])) as caught:
            embedding.embed(embedder, ["tea"], "query")
    assert not caught.value.retryable


@pytest.mark.usefixtures("aws")
def test_what_is_too_long_for_cohere_3_is_named_before_anything_is_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("EMBEDDER_MODEL", "cohere.embed-english-v3")
    monkeypatch.setitem(bedrock._DIMENSIONS, "cohere3", 3)
    with answering(bedrock_says) as (url, seen):
        monkeypatch.setenv("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", url)
        embedder = embedding.configured()
        assert embedder
        records = [{"id": "a", "text": "x" * 2048}, {"id": "b", "text": "x" * 2049}]
        spec = {"name": "letters", "space": "cosine"}
        problem = "must be a string of 1 to 2048 characters for cohere.embed-english-v3"
        with pytest.raises(errors.BadRequest, match=re.escape(f"records[1].text: {problem}")):
            with_vectors(records, spec)
        with pytest.raises(errors.BadRequest, match=f"^text: {problem}"):
            embedding.embed(embedder, ["x" * 2049], "query")
        assert seen == []
        changes, _ = with_vectors(records[:1], spec)
    assert changes[0]["embedding"][0] == 2048
    assert [body["truncate"] for _, body, _ in seen] == ["END"]


def endpoint_says(path: str, body: Any) -> tuple[int, Any]:
    items = [{"index": n, "embedding": [len(t), 1.0]} for n, t in enumerate(body["input"])]
    return 200, {"object": "list", "data": items[::-1], "model": body["model"]}


def test_an_endpoint_with_a_key_and_prefixes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "key").write_text("secret-key\n")
    with answering(endpoint_says) as (url, seen):
        monkeypatch.setenv("EMBEDDER", "endpoint")
        monkeypatch.setenv("EMBEDDER_URL", f"{url}/v1/embeddings")
        monkeypatch.setenv("EMBEDDER_MODEL", "e5-small")
        monkeypatch.setenv("EMBEDDER_KEY_REFERENCE", (tmp_path / "key").as_uri())
        monkeypatch.setenv("EMBEDDER_QUERY_PREFIX", "query: ")
        embedder = embedding.configured()
        assert embedder
        vectors = embedding.embed(embedder, ["x" * n for n in range(1, 41)], "document")
        [asked] = embedding.embed(embedder, ["x"], "query")
    assert [vector[0] for vector in vectors] == list(range(1, 41))
    assert list(asked) == [len("query: x"), 1]
    assert [len(body["input"]) for _, body, _ in seen] == [32, 8, 1]
    assert {key for *_, key in seen} == {"Bearer secret-key"}


@pytest.mark.parametrize(
    ("status", "said", "error"),
    [
        (503, {}, errors.Unavailable),
        (401, {"error": "no"}, errors.EmbedderFailed),
        (200, {"data": [{"embedding": ["x"]}]}, errors.EmbedderFailed),
        (200, {"data": []}, errors.EmbedderFailed),
        (200, [], errors.EmbedderFailed),
    ],
)
def test_what_an_endpoint_answers_otherwise_has_a_name(
    monkeypatch: pytest.MonkeyPatch, status: int, said: Any, error: type[Exception]
) -> None:
    with answering(lambda *_: (status, said)) as (url, _):
        monkeypatch.setenv("EMBEDDER", "endpoint")
        monkeypatch.setenv("EMBEDDER_URL", url)
        monkeypatch.setenv("EMBEDDER_MODEL", "e5-small")
        embedder = embedding.configured()
        assert embedder
        with pytest.raises(error, match="embedder e5-small"):
            embedding.embed(embedder, ["tea"], "query")


def test_a_model_in_onnx_format(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "tiny"
    tiny_onnx.write(folder, {"tea": [1, 0, 0], "green": [0, 1, 0], "car": [0, 0, 2]})
    monkeypatch.setenv("EMBEDDER", "onnx")
    monkeypatch.setenv("EMBEDDER_PATH", str(folder))
    embedder = embedding.configured()
    assert embedder
    assert embedder.dimension == 3
    assert (embedder.model.name, len(embedder.model.version)) == ("tiny", 12)
    # Padding does not count: the mean is that of a text's own tokens.
    tea, both, car = embedding.embed(embedder, ["Tea", "green tea", "car"], "query")
    assert list(tea) == pytest.approx([1, 0, 0])
    assert list(both) == pytest.approx([0.5**0.5, 0.5**0.5, 0], abs=1e-6)
    assert list(car) == pytest.approx([0, 0, 1])
    tiny_onnx.write(folder, {"tea": [1, 0, 0], "green": [0, 1, 0], "car": [0, 0, 3]})
    embedding.forget()
    other = embedding.configured()
    assert other
    assert other.model != embedder.model
    (folder / "model.onnx").unlink()
    embedding.forget()
    with pytest.raises(errors.EmbedderFailed, match=r"has no model\.onnx and tokenizer\.json"):
        embedding.configured()

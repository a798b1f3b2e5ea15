"""A pytest plugin for tests of handlers that search vectors and write deltas.

Installed with layersmith or vector-common, pytest finds it by itself. The database is a real Chroma
server on loopback with a store in a folder; it starts with the first test that asks for it.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from vector_common.deltas import Delta
    from vector_common.records import VectorRecord

DIMENSION = 256
"""Of the vectors of the embedder for tests."""


@dataclass(frozen=True, slots=True)
class LambdaContext:
    """What Lambda passes beside the event, under Lambda's own names."""

    function_name: str = "function-under-test"
    function_version: str = "$LATEST"
    memory_limit_in_mb: int = 512
    aws_request_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    log_group_name: str = "/aws/lambda/function-under-test"
    log_stream_name: str = "2026/01/01/[$LATEST]0123456789abcdef0123456789abcdef"
    remaining_ms: int = 60_000

    @property
    def invoked_function_arn(self) -> str:
        """An ARN of the account of AWS's examples."""
        return f"arn:aws:lambda:eu-west-1:123456789012:function:{self.function_name}"

    def get_remaining_time_in_millis(self) -> int:
        """What is left of the timeout; it does not run down."""
        return self.remaining_ms


class VectorDatabase:
    """A database for one test: a store for deltas, and a server that answers searches.

    Attributes:
        name: For the ``database`` of events.
        url: Of the server; ``session`` is the same as an event has it.
        storage_url: Of the store, which STORAGE_URL names.
    """

    def __init__(self, url: str, storage_url: str, name: str = "test") -> None:
        from chroma_store.deltas.log import DeltaLog  # noqa: PLC0415 -- pytest loads this always

        from vector_common.storage import open_storage  # noqa: PLC0415

        self.name, self.url, self.storage_url = name, url, storage_url
        self._log = DeltaLog(open_storage(storage_url), name)

    @property
    def session(self) -> dict[str, str]:
        """What an event's ``session`` may be; CHROMA_URL says the same."""
        return {"address": self.url}

    def add(self, collection: str, records: Sequence[Mapping[str, Any]], **settings: Any) -> None:
        """Put records into a collection, as delta_writer and a replay would.

        Args:
            collection: Its name.
            records: As delta_writer takes them, with ``embedding`` or ``text``.
            settings: ``dimension``, ``space`` and ``model`` of the collection; the dimension is
                that of the first embedding, or the embedder's.

        Raises:
            BadRequest: What delta_writer would refuse, which includes what Chroma does.
        """
        from vector_common.embedding.writing import with_vectors  # noqa: PLC0415

        lengths = [len(item["embedding"]) for item in records if item.get("embedding")]
        spec = {"name": collection, **({"dimension": lengths[0]} if lengths else {}), **settings}
        self._log.append(*with_vectors(records, spec))
        self.apply()

    def deltas(self) -> list[Delta]:
        """The deltas that were written and not applied, in order."""
        return [self._log.read(info.id) for info in self._log.pending()]

    def written(self, collection: str | None = None) -> list[VectorRecord]:
        """The changes in them, of one collection or of all, in order."""
        return [
            record
            for delta in self.deltas()
            if collection in {None, delta.spec.name}
            for record in delta.records
        ]

    def apply(self) -> int:
        """Apply the deltas to the server, as the next session or compaction would.

        Returns:
            The number of changes.

        Raises:
            AssertionError: Chroma does not take one of them.
        """
        report = self._log.replay(self.url)
        assert not report.set_aside, [item.summary for item in report.set_aside]
        self._log.drop(report.applied)
        return report.records


@pytest.fixture
def lambda_context() -> LambdaContext:
    """The second argument of a handler."""
    return LambdaContext()


@pytest.fixture
def embedder(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The embedder for tests, set by EMBEDDER; texts that share words are near to each other."""
    from vector_common import embedding  # noqa: PLC0415 -- pytest loads this module always

    monkeypatch.setenv("EMBEDDER", "hashing")
    monkeypatch.setenv("EMBEDDER_DIMENSION", str(DIMENSION))
    for name in ("EMBEDDER_MODEL", "EMBEDDER_VERSION"):
        monkeypatch.delenv(name, raising=False)
    embedding.forget()
    yield embedding.configured()
    embedding.forget()


@pytest.fixture(scope="session")
def vector_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a Chroma server, which all tests of a process share."""
    try:
        from chroma_store.server.process import ChromaProcess  # noqa: PLC0415
    except ImportError as missing:
        pytest.fail(f"{missing}: install layersmith[vectors], which has the Chroma server")
    folder = tmp_path_factory.mktemp("vectors") / "data"
    folder.mkdir()
    with ChromaProcess(folder) as server:
        yield server.base_url


@pytest.fixture
def vector_database(
    vector_server: str,
    embedder: Any,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[VectorDatabase]:
    """An empty database; CHROMA_URL and STORAGE_URL name it, and `embedder` embeds its texts."""
    from chroma_store.server.client import ChromaHttp  # noqa: PLC0415

    from vector_common import chroma  # noqa: PLC0415

    del embedder
    store = tmp_path_factory.mktemp("store")
    monkeypatch.setenv("CHROMA_URL", vector_server)
    monkeypatch.delenv("CHROMA_TOKEN_REFERENCE", raising=False)
    monkeypatch.setenv("STORAGE_URL", store.as_uri())
    chroma.forget()
    yield VectorDatabase(vector_server, store.as_uri())
    chroma.forget()
    server = ChromaHttp(vector_server)
    for collection in server.collections():
        server.drop(collection.name)

"""The few calls of Chroma's HTTP API that replay and compaction need.

chromadb's own client would cost the image 90 MB and numpy; this needs urllib3, which botocore has.
"""

from __future__ import annotations

import array
import base64
import json
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import urllib3
from vector_common.errors import (
    REFUSALS,
    BadRequest,
    Conflict,
    NotFound,
    TooManyRequests,
    Unavailable,
    VectorError,
)
from vector_common.records import model_metadata, model_of, pack_floats, require_same_model

from chroma_store.snapshots.manifest import CollectionInfo

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from vector_common.records import CollectionSpec, EmbeddingModel, VectorRecord

DEFAULT = ("default_tenant", "default_database")
"""Tenant and database of every client that names none, and of deltas."""

_PAGE = 500
_WHOLE = ("embeddings", "metadatas", "documents", "uris")
Parts = tuple[set[str], bool]
"""Of a record: its metadata keys, and whether it has a document."""

_ERRORS: dict[int, type[VectorError]] = {
    **REFUSALS,
    400: BadRequest,
    404: NotFound,
    409: Conflict,
    422: BadRequest,
    429: TooManyRequests,
}


class ChromaHttp:
    """A Chroma server at an address.

    Args:
        base_url: ``http://127.0.0.1:8000``.
        headers: Sent with every request, such as Authorization.
        timeout: Seconds that one answer may take.
        place: Chroma's tenant and database, whose collections are meant.
    """

    def __init__(
        self,
        base_url: str,
        *,
        headers: Mapping[str, str] | None = None,
        timeout: float = 60,
        place: tuple[str, str] = DEFAULT,
    ) -> None:
        self._base = base_url.rstrip("/")
        self._place = place
        tenant, database = (quote(part, safe="") for part in place)
        self._api = f"/api/v2/tenants/{tenant}/databases/{database}/collections"
        self._headers = {**(headers or {}), "Content-Type": "application/json"}
        self._http = urllib3.PoolManager(
            timeout=urllib3.Timeout(connect=2, read=timeout),
            # Every call here may be repeated; a request that the server began is not, because
            # it may still be at work on it.
            retries=urllib3.Retry(connect=5, read=0, redirect=0, status=0, backoff_factor=0.1),
        )

    def heartbeat(self) -> None:
        """Return if the server answers.

        Raises:
            Unavailable: It does not.
        """
        self._call("GET", "/api/v2/heartbeat")

    def collections(self) -> list[CollectionInfo]:
        """Every collection with its dimension and count, sorted by name.

        Outside of Chroma's default tenant and database, the names begin with these.
        """
        before = "" if self._place == DEFAULT else "/".join((*self._place, ""))
        found: list[CollectionInfo] = []
        while True:
            page = self._call("GET", f"{self._api}?limit={_PAGE}&offset={len(found)}")
            found += [
                CollectionInfo(
                    before + item["name"],
                    item["dimension"],
                    int(self._call("GET", f"{self._api}/{item['id']}/count")),
                    _space(item),
                )
                for item in page
            ]
            if len(page) < _PAGE:
                return sorted(found, key=lambda info: info.name)

    def ensure(self, spec: CollectionSpec) -> tuple[str, str | None]:
        """The id and the space of a collection, which is made if it is missing.

        One without records that has other settings is made anew: somebody who only asked for it,
        or recreated it, settled them by Chroma's defaults.

        Raises:
            BadRequest: The server does not take its name.
            Conflict: It has records of another dimension.
            ModelMismatch: Its metadata names another embedding model.
        """
        item = self._create(spec)
        fits = item["dimension"] in {None, spec.dimension} and _space(item) == spec.space
        if not fits and not self.count(item["id"]):
            self.drop(spec.name)
            item = self._create(spec, item.get("metadata"))
        if item["dimension"] not in {None, spec.dimension}:
            raise Conflict(
                f"collection {spec.name}: the server has records of {item['dimension']} "
                f"dimensions, its delta has {spec.dimension}"
            )
        self._name_model(item, spec)
        return str(item["id"]), _space(item)

    def _name_model(self, item: Mapping[str, Any], spec: CollectionSpec) -> None:
        """Write the model into the collection's metadata, where those who search find it."""
        metadata = item.get("metadata") or {}
        if spec.model is None or (known := model_of(metadata)) == spec.model:
            return
        require_same_model(spec.name, known, spec.model)
        body = {"new_metadata": {**metadata, **model_metadata(spec.model)}}
        self._call("PUT", f"{self._api}/{item['id']}", body)

    def model(self, name: str) -> EmbeddingModel | None:
        """The model that a collection's metadata names.

        Raises:
            NotFound: There is no collection of that name.
        """
        return model_of(self._call("GET", f"{self._api}/{name}").get("metadata") or {})

    def _create(self, spec: CollectionSpec, metadata: object = None) -> Any:
        configuration = {"hnsw": {"space": spec.space}}
        body = {"name": spec.name, "get_or_create": True, "configuration": configuration}
        return self._call(
            "POST", self._api, body if metadata is None else {**body, "metadata": metadata}
        )

    def count(self, collection: str) -> int:
        """How many records a collection has; given by its id."""
        return int(self._call("GET", f"{self._api}/{collection}/count"))

    def parts(self, collection: str, ids: Sequence[str]) -> dict[str, Parts]:
        """Of the records that exist: their metadata keys, and whether they have a document."""
        body = {"ids": list(ids), "include": ["metadatas", "documents"]}
        answer = self._call("POST", f"{self._api}/{collection}/get", body)
        found = zip(answer["ids"], answer["metadatas"], answer["documents"], strict=True)
        return {i: (set(metadata or ()), document is not None) for i, metadata, document in found}

    def page(
        self, collection: str, offset: int, limit: int, *, include: Sequence[str] = _WHOLE
    ) -> dict[str, list[Any]]:
        """Records in Chroma's order: lists ids, embeddings, metadatas, documents, uris."""
        return self._get(collection, {"offset": offset, "limit": limit, "include": [*include]})

    def records(self, collection: str, ids: Sequence[str]) -> dict[str, list[Any]]:
        """Whole records by their ids, as `page` gives them, in any order."""
        return self._get(collection, {"ids": list(ids), "include": [*_WHOLE]})

    def _get(self, collection: str, body: Mapping[str, Any]) -> dict[str, list[Any]]:
        answer: dict[str, list[Any]] = self._call("POST", f"{self._api}/{collection}/get", body)
        return answer

    def nearest(
        self, collection: str, vectors: Sequence[Sequence[float]], count: int
    ) -> list[list[tuple[str, float | None]]]:
        """For each vector its nearest records, as id and distance, nearest first.

        A distance that is not finite in 32 bits is None.
        """
        body = {
            "query_embeddings": [list(vector) for vector in vectors],
            "n_results": count,
            "include": ["distances"],
        }
        answer = self._call("POST", f"{self._api}/{collection}/query", body)
        rows = zip(answer["ids"], answer["distances"], strict=True)
        return [list(zip(ids, distances, strict=True)) for ids, distances in rows]

    def add(self, collection: str, page: Mapping[str, Sequence[Any]]) -> None:
        """Write records as `page` gives them, whatever the rules for deltas are."""
        vectors = [_base64(array.array("f", vector)) for vector in page["embeddings"]]
        rest = {key: page[key] for key in ("ids", "metadatas", "documents", "uris")}
        self._call("POST", f"{self._api}/{collection}/add", {**rest, "embeddings": vectors})

    def create_like(self, name: str, new: str, space: str) -> str:
        """Make a collection with the configuration and metadata of another, but this space.

        Returns:
            Its id.
        """
        item = self._call("GET", f"{self._api}/{name}")
        configuration = item["configuration_json"]
        metadata = item.get("metadata")
        if metadata and "hnsw:space" in metadata:
            # How older clients set it; it would contradict the configuration.
            metadata = {**metadata, "hnsw:space": space}
        body = {
            "name": new,
            "metadata": metadata,
            "configuration": {
                **configuration,
                "hnsw": {**(configuration.get("hnsw") or {}), "space": space},
            },
        }
        return str(self._call("POST", self._api, body)["id"])

    def rename(self, collection: str, name: str) -> None:
        """Rename a collection, given by its id."""
        self._call("PUT", f"{self._api}/{collection}", {"new_name": name})

    def drop(self, name: str) -> None:
        """Delete a collection."""
        self._call("DELETE", f"{self._api}/{quote(name, safe='')}")

    def find(self, name: str) -> str:
        """The id of a collection.

        Raises:
            NotFound: There is none of that name.
        """
        return str(self._call("GET", f"{self._api}/{name}")["id"])

    def upsert(
        self,
        collection: str,
        records: Sequence[VectorRecord],
        metadatas: Sequence[Mapping[str, Any] | None],
    ) -> None:
        """Write records whole, with the metadata given beside them."""
        body: dict[str, Any] = {
            "ids": [record.id for record in records],
            "embeddings": [_base64(r.embedding) for r in records if r.embedding is not None],
            "metadatas": list(metadatas),
            "documents": [record.document for record in records],
        }
        self._call("POST", f"{self._api}/{collection}/upsert", body)

    def update(self, collection: str, records: Sequence[VectorRecord]) -> None:
        """Change the parts that the records have; all must have the same parts."""
        body: dict[str, Any] = {"ids": [record.id for record in records]}
        if records[0].embedding is not None:
            body["embeddings"] = [_base64(r.embedding) for r in records if r.embedding is not None]
        if records[0].metadata is not None:
            body["metadatas"] = [dict(record.metadata or {}) for record in records]
        if records[0].document is not None:
            body["documents"] = [record.document for record in records]
        self._call("POST", f"{self._api}/{collection}/update", body)

    def delete(self, collection: str, ids: Sequence[str]) -> None:
        """Delete records."""
        self._call("POST", f"{self._api}/{collection}/delete", {"ids": list(ids)})

    def _call(self, method: str, path: str, body: object = None) -> Any:
        data = None
        if body is not None:
            # UTF-8 takes half of the bytes that escapes take.
            data = json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode()
        try:
            answer = self._http.request(method, self._base + path, body=data, headers=self._headers)
        except urllib3.exceptions.HTTPError as error:
            raise Unavailable(f"Chroma at {self._base}: {type(error).__name__}: {error}") from error
        if answer.status >= 400:
            text = answer.data[:500].decode(errors="replace")
            kind = _ERRORS.get(answer.status, Unavailable)
            raise kind(f"Chroma at {self._base}: {answer.status} for {method} {path}: {text}")
        return json.loads(answer.data)


def _space(item: Mapping[str, Any]) -> str | None:
    hnsw = (item.get("configuration_json") or {}).get("hnsw") or {}
    return hnsw.get("space")


def _base64(vector: array.array[float]) -> str:
    return base64.b64encode(pack_floats(vector)).decode()

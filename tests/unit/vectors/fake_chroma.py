"""Chroma's HTTP API in memory: what `ChromaHttp` asks, answered by exact search."""

from __future__ import annotations

import array
import base64
import json
import math
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from chroma_store.server.client import ChromaHttp

COLUMNS = ("embeddings", "metadatas", "documents", "uris")


@dataclass
class Answer:
    """As urllib3 gives it."""

    status: int
    data: bytes


def floats(text: str) -> list[float]:
    return array.array("f", base64.b64decode(text)).tolist()


def distance(one: list[float], other: list[float], space: str) -> float:
    dot = sum(a * b for a, b in zip(one, other, strict=True))
    if space == "l2":
        return sum((a - b) ** 2 for a, b in zip(one, other, strict=True))
    return 1 - (dot if space == "ip" else dot / (math.hypot(*one) * math.hypot(*other)))


class FakeChroma:
    """Collections by name, and every request that was sent.

    Attributes:
        collections: As Chroma describes them, each with its ``records`` beside.
        asked: Method and path of every request.
        lost: Ids that a search does not find.
        largest: Records that one request may write.
    """

    def __init__(self) -> None:
        self.collections: dict[str, dict[str, Any]] = {}
        self.asked: list[tuple[str, str]] = []
        self.lost: set[str] = set()
        self.largest = 1000
        self.http = ChromaHttp("http://chroma")
        self.http._http.request = self.request  # type: ignore[method-assign,assignment]

    def put(self, name: str, vectors: dict[str, list[float]], **more: Any) -> dict[str, Any]:
        """Make a collection; ``metadatas`` are by id."""
        made = self._create({"name": name, "configuration": {"hnsw": {"space": "cosine"}}} | more)
        for identifier, vector in vectors.items():
            metadata = more.get("metadatas", {}).get(identifier)
            made["records"][identifier] = [vector, metadata, None, None]
            made["dimension"] = len(vector)
        return made

    def request(self, method: str, url: str, body: bytes | None, headers: object) -> Answer:
        at = urlsplit(url)
        _, _, path = at.path.partition("/collections")
        self.asked.append((method, path))
        said = json.loads(body) if body else {}
        name, _, what = path.lstrip("/").partition("/")
        if method == "POST" and not name:
            return self._said(self._create(said))
        if not name:
            (start,), (most,) = parse_qs(at.query)["offset"], parse_qs(at.query)["limit"]
            return self._said([*self.collections.values()][int(start) : int(start) + int(most)])
        known = self.collections.values()
        found = next((one for one in known if unquote(name) in {one["id"], one["name"]}), None)
        if found is None:
            return Answer(404, b"no such collection")
        if what in {"add", "upsert"} and len(said["ids"]) > self.largest:
            return Answer(413, b"too large")
        return self._said(getattr(self, f"_{what or method.lower()}")(found, said))

    def _said(self, value: object) -> Answer:
        return Answer(200, json.dumps(value).encode())

    def _create(self, said: dict[str, Any]) -> dict[str, Any]:
        settled = {"configuration_json": said["configuration"], "metadata": said.get("metadata")}
        made = {"id": f"id-{len(self.asked)}-{said['name']}", "name": said["name"], **settled}
        made |= {"dimension": None, "records": {}}
        return self.collections.setdefault(said["name"], made)

    def _get(self, found: dict[str, Any], said: dict[str, Any]) -> dict[str, Any]:
        if not said:
            return found
        held = found["records"]
        chosen = [one for one in said.get("ids", held) if one in held]
        if "offset" in said:
            chosen = chosen[said["offset"] : said["offset"] + said["limit"]]
        columns = zip(COLUMNS, range(4), strict=True)
        return {"ids": chosen} | {name: [held[one][n] for one in chosen] for name, n in columns}

    def _query(self, found: dict[str, Any], said: dict[str, Any]) -> dict[str, Any]:
        space = found["configuration_json"]["hnsw"]["space"]
        ids, distances = [], []
        for vector in said["query_embeddings"]:
            reached = [one for one in found["records"].items() if one[0] not in self.lost]
            near = sorted((distance(vector, row[0], space), one) for one, row in reached)
            near = near[: said["n_results"]]
            ids.append([one for _, one in near])
            distances.append([far for far, _ in near])
        return {"ids": ids, "distances": distances}

    def _count(self, found: dict[str, Any], _: object) -> int:
        return len(found["records"])

    def _add(self, found: dict[str, Any], said: dict[str, Any]) -> None:
        rows = zip(map(floats, said["embeddings"]), *(said[n] for n in COLUMNS[1:]), strict=True)
        for identifier, row in zip(said["ids"], rows, strict=True):
            found["records"][identifier] = [*row]
            found["dimension"] = len(row[0])

    def _put(self, found: dict[str, Any], said: dict[str, Any]) -> None:
        if "new_metadata" in said:
            found["metadata"] = said["new_metadata"]
        if "new_name" in said:
            del self.collections[found["name"]]
            found["name"] = said["new_name"]
            self.collections[found["name"]] = found

    def _delete(self, found: dict[str, Any], _: object) -> None:
        del self.collections[found["name"]]

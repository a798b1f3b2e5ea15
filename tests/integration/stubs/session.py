"""Everything a user of the client does, written down as JSON: run with and without stubs.

Arguments: host and port of a Chroma server, and a port where nobody listens.
"""

import asyncio
import inspect
import json
import re
import sys
from typing import Any

import chromadb
from chromadb.utils.embedding_functions.schemas import validate_config_schema

HOST, PORT, NOBODY = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
IDS = [f"id-{number}" for number in range(12)]
VECTORS = [[float(number), 1.0, number / 3] for number in range(12)]
METADATA = [{"number": number, "even": number % 2 == 0} for number in range(12)]
DOCUMENTS = [f"document {number}" for number in range(12)]
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def plain(value: Any) -> Any:
    """Return a result as JSON can hold it, without what differs from run to run."""
    if isinstance(value, dict):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(one) for one in value]
    if hasattr(value, "tolist"):
        return [type(value).__name__, str(value.dtype), value.tolist()]
    if isinstance(value, (str, int, float, bool, type(None))):
        return UUID.sub("<uuid>", value) if isinstance(value, str) else value
    name = getattr(value, "name", "")
    return f"{type(value).__module__}.{type(value).__qualname__}:{name}"


STEPS: dict[str, Any] = {
    "upsert": lambda c: c.upsert(
        ids=IDS, embeddings=VECTORS, metadatas=METADATA, documents=DOCUMENTS
    ),
    "count": lambda c: c.count(),
    "query": lambda c: c.query(query_embeddings=[VECTORS[3], VECTORS[7]], n_results=3),
    "query where": lambda c: c.query(
        query_embeddings=[VECTORS[3]], n_results=3, where={"even": True}, include=["embeddings"]
    ),
    "get": lambda c: c.get(ids=["id-2"], include=["embeddings", "metadatas", "documents"]),
    "get where document": lambda c: c.get(where_document={"$contains": "1"}),
    "peek": lambda c: c.peek(2),
    "update": lambda c: c.update(ids=["id-1"], metadatas=[{"number": 100}]),
    "add again": lambda c: c.add(ids=["id-1"], embeddings=[VECTORS[1]]),
    "delete": lambda c: c.delete(ids=["id-0"]),
    "modify": lambda c: c.modify(metadata={"colour": "red"}),
    "wrong dimension": lambda c: c.query(query_embeddings=[[1.0]], n_results=1),
    "wrong where": lambda c: c.get(where={"$what": 1}),
    "wrong include": lambda c: c.get(include=["nothing"]),
    "wrong embeddings": lambda c: c.add(ids=["x"], embeddings="text"),
    "two of one id": lambda c: c.add(ids=["x", "x"], embeddings=[VECTORS[0], VECTORS[1]]),
    "no embedding function": lambda c: c.query(query_texts=["text"]),
}

CLIENT_STEPS: dict[str, Any] = {
    "version": lambda c: c.get_version(),
    "limit": lambda c: c.get_max_batch_size(),
    "missing": lambda c: c.get_collection("there-is-none"),
    "short name": lambda c: c.create_collection("a"),
    "twice": lambda c: c.create_collection("words"),
    "list": lambda c: c.list_collections(),
    "reset": lambda c: c.reset(),
    "other tenant": lambda c: c.set_tenant("nobody"),
}


async def outcome(step: Any, subject: Any) -> Any:
    """Return what a step returns, awaited where it is asynchronous, or what it raises."""
    try:
        found = step(subject)
        return plain(await found if inspect.isawaitable(found) else found)
    except Exception as problem:
        kinds = [f"{kind.__module__}.{kind.__qualname__}" for kind in type(problem).__mro__]
        # Errors are a base class further from the stub than from the real one, by its place alone.
        kinds = [kind for kind in kinds if not kind.endswith("EnforceOverrides")]
        return {"raised": kinds, "message": plain(str(problem))}


async def session(make: Any) -> dict[str, Any]:
    """Run every step with one kind of client."""
    found: dict[str, Any] = {}
    client = make(PORT)
    client = await client if inspect.isawaitable(client) else client
    made = client.get_or_create_collection(
        "words", embedding_function=None, configuration={"hnsw": {"space": "cosine"}}
    )
    made = await made if inspect.isawaitable(made) else made
    for name, step in STEPS.items():
        found[name] = await outcome(step, made)
    for name, step in CLIENT_STEPS.items():
        found[name] = await outcome(step, client)
    found["delete collection"] = await outcome(lambda c: c.delete_collection("words"), client)
    found["nobody answers"] = await outcome(make, NOBODY)
    return found


async def both() -> None:
    answers = {
        "sync": await session(lambda port: chromadb.HttpClient(host=HOST, port=port)),
        "async": await session(lambda port: chromadb.AsyncHttpClient(host=HOST, port=port)),
        "schema": await outcome(lambda _: validate_config_schema({}, "openai"), None),
    }
    print(json.dumps(answers))


asyncio.run(both())

"""A vector session with the layer's own client against a real Chroma server.

Run inside the runtime. What the server answers is compared with distances that are computed here
in plain Python, so that neither client, server nor numpy checks itself.
"""

import asyncio
import math
import os
import random
import uuid

import chromadb
import pytest
from chromadb.errors import NotFoundError

SERVICES = ("chroma",)

DIMENSIONS = 32
COUNT = 60

rng = random.Random(20)
VECTORS = [[rng.gauss(0, 1) for _ in range(DIMENSIONS)] for _ in range(COUNT)]
IDS = [f"id-{number:03d}" for number in range(COUNT)]
METADATA = [{"number": number, "even": number % 2 == 0} for number in range(COUNT)]
DOCUMENTS = [
    f"document {number} about {'layers' if number % 3 else 'vectors'}" for number in range(COUNT)
]
ADDRESS = {"host": os.environ["CHROMA_HOST"], "port": int(os.environ["CHROMA_PORT"])}


def squared_distance(a, b):
    return math.fsum((x - y) ** 2 for x, y in zip(a, b, strict=True))


def cosine_distance(a, b):
    product = math.fsum(x * y for x, y in zip(a, b, strict=True))
    return 1 - product / math.sqrt(math.fsum(x * x for x in a) * math.fsum(y * y for y in b))


def nearest(query, count, distance=squared_distance, among=range(COUNT)):
    """Return ids and exact distances of the nearest vectors, nearest first."""
    ranked = sorted((distance(query, VECTORS[n]), IDS[n]) for n in among)[:count]
    return [name for _, name in ranked], [measured for measured, _ in ranked]


def check(found, expected):
    ids, distances = expected
    assert found["ids"][0] == ids
    # The server computes in single precision.
    assert found["distances"][0] == pytest.approx(distances, rel=1e-4, abs=1e-4)


@pytest.fixture(scope="module")
def client():
    return chromadb.HttpClient(**ADDRESS)


@pytest.fixture
def collection(client):
    name = f"session-{uuid.uuid4().hex}"
    made = client.create_collection(name, embedding_function=None)
    made.upsert(ids=IDS, embeddings=VECTORS, metadatas=METADATA, documents=DOCUMENTS)
    yield made
    client.delete_collection(name)


def test_heartbeat_and_version(client):
    assert client.heartbeat() > 1_600_000_000 * 10**9
    assert client.get_version()


def test_query_agrees_with_exact_distances(collection):
    query = [0.1 * number for number in range(DIMENSIONS)]
    check(collection.query(query_embeddings=[query], n_results=7), nearest(query, 7))


def test_cosine_space(client):
    name = f"cosine-{uuid.uuid4().hex}"
    made = client.create_collection(
        name, embedding_function=None, configuration={"hnsw": {"space": "cosine"}}
    )
    made.add(ids=IDS, embeddings=VECTORS)
    check(
        made.query(query_embeddings=[VECTORS[5]], n_results=4),
        nearest(VECTORS[5], 4, cosine_distance),
    )
    client.delete_collection(name)


def test_where_filters_before_the_search(collection):
    found = collection.query(query_embeddings=[VECTORS[1]], n_results=5, where={"even": True})
    check(found, nearest(VECTORS[1], 5, among=range(0, COUNT, 2)))


def test_where_document_filters_before_the_search(collection):
    found = collection.query(
        query_embeddings=[VECTORS[1]], n_results=5, where_document={"$contains": "vectors"}
    )
    check(found, nearest(VECTORS[1], 5, among=range(0, COUNT, 3)))


def test_get_returns_what_was_stored(collection):
    found = collection.get(ids=["id-007"], include=["embeddings", "metadatas", "documents"])
    assert found["embeddings"][0] == pytest.approx(VECTORS[7], rel=1e-6)
    assert found["metadatas"] == [METADATA[7]]
    assert found["documents"] == [DOCUMENTS[7]]


def test_get_with_a_range(collection):
    found = collection.get(where={"number": {"$gte": 55}})
    assert sorted(found["ids"]) == IDS[55:]


def test_update_moves_a_vector(collection):
    target = [9.0] * DIMENSIONS
    collection.update(ids=["id-003"], embeddings=[target], metadatas=[{"number": 333}])
    found = collection.query(query_embeddings=[target], n_results=1)
    assert found["ids"][0] == ["id-003"]
    assert found["distances"][0][0] == pytest.approx(0, abs=1e-5)
    assert collection.get(ids=["id-003"])["metadatas"][0]["number"] == 333


def test_upsert_again_changes_nothing_in_number(collection):
    collection.upsert(ids=IDS[:5], embeddings=VECTORS[:5])
    assert collection.count() == COUNT


def test_delete(collection):
    collection.delete(ids=IDS[:10])
    assert collection.count() == COUNT - 10
    assert collection.get(ids=["id-000"])["ids"] == []


def test_list_and_peek(client, collection):
    assert collection.name in [one.name for one in client.list_collections()]
    assert len(collection.peek(3)["ids"]) == 3


def test_wrong_dimension_is_refused(collection):
    with pytest.raises(Exception, match="dimension"):
        collection.query(query_embeddings=[[1.0, 2.0]], n_results=1)


def test_missing_collection(client):
    with pytest.raises(NotFoundError):
        client.get_collection("there-is-none-of-this-name")


def test_async_session():
    async def session():
        client = await chromadb.AsyncHttpClient(**ADDRESS)
        name = f"async-{uuid.uuid4().hex}"
        made = await client.create_collection(name, embedding_function=None)
        await made.upsert(ids=IDS, embeddings=VECTORS, metadatas=METADATA)
        found = await made.query(query_embeddings=[VECTORS[9]], n_results=5)
        counted = await made.count()
        await client.delete_collection(name)
        return found, counted

    found, counted = asyncio.run(session())
    check(found, nearest(VECTORS[9], 5))
    assert counted == COUNT

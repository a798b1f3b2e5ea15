"""What `coldstart` times for the layer: import the client, connect, and query once."""

import os

import chromadb

SERVICES = ("chroma",)
NAME = "coldstart"
VECTOR = [0.25] * 32


def handler(event, _context):
    client = chromadb.HttpClient(
        host=os.environ["CHROMA_HOST"], port=int(os.environ["CHROMA_PORT"])
    )
    if event["prepare"]:
        made = client.get_or_create_collection(NAME, embedding_function=None)
        made.upsert(ids=["one", "two"], embeddings=[VECTOR, [0.5] * 32])
    found = client.get_collection(NAME, embedding_function=None).query(
        query_embeddings=[VECTOR], n_results=1
    )
    return found["ids"]

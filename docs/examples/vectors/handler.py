"""Finds receipts like this one, and remembers it."""

import os

from vector_common.chroma import chroma_client
from vector_common.deltas import DeltaWriter
from vector_common.embedding.writing import with_vectors
from vector_common.errors import NotFound
from vector_common.events import Fields, entrypoint
from vector_common.search.embedder import read_embedding
from vector_common.search.neighbours import find_neighbours
from vector_common.storage import open_storage

COLLECTION = "receipts"


@entrypoint
def handler(event):
    fields = Fields(event)
    identifier, text = fields.text("id"), fields.text("text", limit=8192)
    session = fields.mapping("session")  # of a deployed server; else CHROMA_URL
    question = read_embedding(fields)
    fields.check()  # every problem at once, as BadRequest
    records, spec = with_vectors([{"id": identifier, "text": text}], {"name": COLLECTION})
    try:
        client = chroma_client(session)
        similar = find_neighbours(
            client, COLLECTION, question(), 3, documents=True, model=question.model
        )
    except NotFound:  # nothing was remembered yet
        similar = []
    storage = open_storage(os.environ["STORAGE_URL"])
    DeltaWriter(storage, os.environ["DATABASE"]).append(records, spec)
    return {
        "id": identifier,
        "similar": [{"id": n.id, "similarity": n.similarity, "text": n.document} for n in similar],
    }

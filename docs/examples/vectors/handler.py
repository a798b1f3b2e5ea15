"""Finds receipts like this one, and remembers it."""

import os

from vector_common.deltas import DeltaWriter
from vector_common.embedding.writing import with_vectors
from vector_common.errors import NotFound
from vector_common.events import Fields, entrypoint
from vector_common.search.embedder import read_embedding
from vector_common.search.neighbours import find_neighbours
from vector_common.storage import open_storage
from vector_common.stores import open_store

COLLECTION = "receipts"


@entrypoint
def handler(event):
    fields = Fields(event)
    identifier, text = fields.text("id"), fields.text("text", limit=8192)
    # A session's server, a database in VECTOR_STORES, or the server in CHROMA_URL.
    session, database = fields.mapping("session"), fields.text("database", "")
    question = read_embedding(fields)
    fields.check()  # every problem at once, as BadRequest
    records, spec = with_vectors([{"id": identifier, "text": text}], {"name": COLLECTION})
    try:
        store = open_store(session, database)
        similar = find_neighbours(
            store, COLLECTION, question(), 3, documents=True, model=question.model
        )
    except NotFound:  # nothing was remembered yet
        similar = []
    storage = open_storage(os.environ["STORAGE_URL"])
    DeltaWriter(storage, os.environ["DATABASE"]).append(records, spec)
    return {
        "id": identifier,
        "similar": [{"id": n.id, "similarity": n.similarity, "text": n.document} for n in similar],
    }

"""Chroma's own client on what `vectors serve` serves."""

import json
import os
import sys
from pathlib import Path
from urllib.parse import urlsplit

import chromadb

address = urlsplit(os.environ["CHROMA_URL"])
token = json.loads(Path("token.json").read_text())["token"]
client = chromadb.HttpClient(
    host=address.hostname, port=address.port, headers={"Authorization": f"Bearer {token}"}
)
found = client.get_collection("receipts", embedding_function=None).get()
sys.stdout.write(f"{found['ids']}\n{found['documents']}\n")

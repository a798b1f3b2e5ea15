"""`vectors serve` and `vectors show`, as a developer types them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from vector_common import chroma, tokens
from vector_common.chroma import chroma_client
from vector_common.deltas import DeltaWriter
from vector_common.records import CollectionSpec
from vector_common.storage import open_storage

from tests.support import clocks
from tests.support.envelopes import data_of

if TYPE_CHECKING:
    from collections.abc import Iterator

LAYERS = Path(__file__).parents[3] / "build" / "layers.py"
SPEC = CollectionSpec("receipts", 2)


def verb(action: str, store: Path, *options: str, code: int = 0) -> Any:
    command = [sys.executable, str(LAYERS), "vectors", action, str(store), "--database", "db"]
    done = subprocess.run(
        [*command, "--json", *options], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == code, done.stderr
    return data_of(done.stdout) if code == 0 else done.stderr


class Served:
    """`vectors serve` as a child process, until Ctrl-C."""

    def __init__(self, folder: Path, store: Path, *options: str) -> None:
        self.token_file, self.log = folder / "token.json", folder / "serve.log"
        command = [sys.executable, str(LAYERS), "vectors", "serve", "--store", str(store)]
        command += ["--database", "db", "--token-file", str(self.token_file), *options]
        with self.log.open("wb") as log:
            # A terminal sends Ctrl-C to the whole group.
            self.process = subprocess.Popen(command, stdout=log, stderr=log, process_group=0)
        clocks.wait(
            lambda: "Ctrl-C saves it" in self.said or self.process.poll() is not None,
            lambda: self.said,
        )

    @property
    def said(self) -> str:
        return self.log.read_text("utf-8")

    @property
    def session(self) -> dict[str, str]:
        [address] = [line[5:] for line in self.said.splitlines() if line.startswith("url: ")]
        return {"address": address, "tokenReference": self.token_file.as_uri()}

    def press_ctrl_c(self) -> int:
        os.killpg(self.process.pid, signal.SIGINT)
        return self.process.wait(clocks.seconds(clocks.BOUND))

    def ids(self) -> list[str]:
        collection = chroma_client(self.session).get_collection("receipts")
        return sorted(collection.get(include=[])["ids"])


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[DeltaWriter]:
    yield DeltaWriter(open_storage((tmp_path / "store").as_uri()), "db")
    chroma.forget()


def test_from_a_delta_to_a_server_and_back_into_the_store(
    tmp_path: Path, writer: DeltaWriter
) -> None:
    store = tmp_path / "store"
    [first] = writer.append([{"id": "a", "embedding": [1, 0], "document": "tea"}], SPEC)
    shown = verb("show", store)
    assert shown["delta"] == first
    assert shown["changes"] == [
        {"op": "upsert", "id": "a", "dimension": 2, "metadata": None, "document": "tea"}
    ]
    served = Served(tmp_path, store, "--port", "0")
    assert served.ids() == ["a"]
    # Nobody without the token; nothing of it is lost that comes meanwhile, by either way.
    url = served.session["address"]
    assert httpx.get(f"{url}/api/v2/version", trust_env=False).status_code == 401
    assert tokens.read_token(served.session["tokenReference"]).value in served.said
    collection = chroma_client(served.session).get_collection("receipts")
    vectors: Any = [[0.0, 1.0]]
    collection.upsert(ids=["c"], embeddings=vectors)
    writer.append([{"id": "b", "embedding": [1, 1]}], SPEC)
    clocks.wait(lambda: served.ids() == ["a", "b", "c"], lambda: served.said)
    assert served.press_ctrl_c() == 0
    assert "saved: True" in served.said
    assert "collections: {'receipts': 3}" in served.said
    assert not served.token_file.exists()
    assert verb("deltas", store)["pending"] == 0
    [snapshot] = verb("list", store)["snapshots"]
    assert snapshot["records"] == 3
    assert "a snapshot holds its changes already" in verb("show", store, "--delta", first, code=2)


def test_what_keeps_it_from_serving_is_said(tmp_path: Path, writer: DeltaWriter) -> None:
    writer.append([{"id": "a", "embedding": [1, 0]}], SPEC)
    served = Served(tmp_path, tmp_path / "store", "--port", "0")
    port = served.session["address"].rpartition(":")[2]
    other = Served(tmp_path / "..", tmp_path / "other", "--port", port, "--json")
    assert other.process.wait(clocks.seconds(clocks.BOUND)) == 9
    assert "The proxy cannot listen" in other.said
    assert (
        "--port chooses another port"
        in json.loads(other.said[other.said.index("{\n") :])["errors"][0]["next"]
    )
    assert served.press_ctrl_c() == 0

"""AWS's image by its digest: pinned, fetched, and told apart from the stand-in.

The registry is a small one of the test's own, on loopback, which engines speak plain HTTP to.
"""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import io
import json
import shutil
import tarfile
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, cast

import docker
import pytest
from layersmith.base import runtimes
from layersmith.engine.client import Engine
from layersmith.errors import ProofError
from layersmith.prove import base_images
from layersmith.prove.base_images import standin

from tests.support import servers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.docker

MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"


@dataclass
class Registry:
    """What the registry holds: path -> (content type, content)."""

    files: dict[str, tuple[str, bytes]]
    address: str = ""

    def add(self, repository: str, tag: str, architecture: str) -> str:
        """Put an image of one empty file in, and return its digest."""
        stream = io.BytesIO()
        with tarfile.open(fileobj=stream, mode="w") as tar:
            tar.addfile(tarfile.TarInfo(f"made-for-{architecture}"))
        raw = stream.getvalue()
        config = {
            "architecture": architecture,
            "os": "linux",
            "config": {},
            "rootfs": {"type": "layers", "diff_ids": [digest(raw)]},
        }
        parts = {
            "config": self._blob(repository, json.dumps(config).encode(), "container.image.v1"),
            "layer": self._blob(repository, gzip.compress(raw, mtime=0), "image.rootfs.diff.tar"),
        }
        manifest = json.dumps(
            {
                "schemaVersion": 2,
                "mediaType": MANIFEST,
                "config": parts["config"],
                "layers": [parts["layer"]],
            }
        ).encode()
        for name in (tag, digest(manifest)):
            self.files[f"/v2/{repository}/manifests/{name}"] = (MANIFEST, manifest)
        return digest(manifest)

    def _blob(self, repository: str, content: bytes, kind: str) -> dict[str, object]:
        path = f"/v2/{repository}/blobs/{digest(content)}"
        self.files[path] = ("application/octet-stream", content)
        suffix = "+json" if "container" in kind else ".gzip"
        return {
            "mediaType": f"application/vnd.docker.{kind}{suffix}",
            "size": len(content),
            "digest": digest(content),
        }


def digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


@pytest.fixture
def registry() -> Iterator[Registry]:
    held = Registry({"/v2/": ("application/json", b"{}")})

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            kind, content = held.files.get(self.path, ("application/json", b""))
            self.send_response(200 if self.path in held.files else 404)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            self.send_header("Docker-Content-Digest", digest(content))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(content)

        def do_HEAD(self) -> None:
            self.do_GET()

        def log_message(self, *args: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    held.address = f"127.0.0.1:{server.server_address[1]}"
    with servers.serving(server):
        yield held


@dataclass(frozen=True)
class Elsewhere:
    """A runtime whose image lies in the test's registry."""

    name: str
    image: str


@pytest.fixture
def runtime(registry: Registry) -> runtimes.Runtime:
    made = Elsewhere("python3.13", f"{registry.address}/lambda/python:3.13")
    return cast("runtimes.Runtime", made)


@pytest.fixture
def data_file(tmp_path: Path) -> Path:
    source = Path(base_images.__file__).with_name("images.json")
    return Path(shutil.copy(source, tmp_path))


def test_the_digests_of_both_architectures_are_written(
    registry: Registry, runtime: runtimes.Runtime, data_file: Path
) -> None:
    arm = registry.add("lambda/python", "3.13-arm64", "arm64")
    x86 = registry.add("lambda/python", "3.13-x86_64", "amd64")
    before = json.loads(data_file.read_text())
    found = base_images.pin(Engine("tests"), [runtime], data_file)
    assert found == {"python3.13": {"arm64": arm, "x86_64": x86}}
    after = json.loads(data_file.read_text())
    assert after["aws"].pop("python3.13") == found["python3.13"]
    assert before["aws"].pop("python3.13", None) != found["python3.13"]
    assert after == before


def test_an_image_for_the_wrong_platform_is_not_pinned(
    registry: Registry, runtime: runtimes.Runtime, data_file: Path
) -> None:
    registry.add("lambda/python", "3.13-arm64", "amd64")
    before = data_file.read_text()
    with pytest.raises(ProofError, match="is not available for linux/arm64"):
        base_images.pin(Engine("tests"), [runtime], data_file)
    assert data_file.read_text() == before


def test_a_registry_without_the_image(runtime: runtimes.Runtime, data_file: Path) -> None:
    with pytest.raises(ProofError, match="the registry gave no answer"):
        base_images.pin(Engine("tests"), [runtime], data_file)


def test_a_pinned_image_is_fetched_and_preferred(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    pinned = f"{registry.address}/lambda/python@{registry.add('lambda/python', 'x', 'arm64')}"
    monkeypatch.delenv(base_images.VARIABLE, raising=False)
    monkeypatch.setattr(base_images, "pinned", lambda runtime, architecture: pinned)
    try:
        choice = base_images.choose(Engine("tests"), runtimes.get("python3.13"), "arm64")
        assert choice.kind == "aws"
        assert choice.facts.digest == pinned.partition("@")[2]
        assert choice.described.startswith("AWS's base image")
        # Once it is here, no registry is asked.
        registry.files.clear()
        again = base_images.choose(Engine("tests"), runtimes.get("python3.13"), "arm64")
        assert again == choice
    finally:
        docker.from_env().images.remove(pinned, force=True)


def test_where_the_pinned_image_cannot_be_had_the_stand_in_is_taken(
    registry: Registry,
    load: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    made = load({"lambda-entrypoint.sh": b"#!/bin/sh\n"})
    monkeypatch.delenv(base_images.VARIABLE, raising=False)
    monkeypatch.setattr(standin, "tag", lambda runtime, architecture: made)
    absent = f"{registry.address}/lambda/python@sha256:{'0' * 64}"
    monkeypatch.setattr(base_images, "pinned", lambda runtime, architecture: absent)
    choice = base_images.choose(Engine("tests"), runtimes.get("python3.13"), "arm64")
    assert (choice.kind, choice.facts.name) == ("stand-in", made)


def test_without_a_digest_and_a_stand_in_the_tag_is_taken_and_said(
    registry: Registry,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    registry.add("lambda/python", "3.13-arm64", "arm64")
    here = dataclasses.replace(
        runtimes.get("python3.13"), image=f"{registry.address}/lambda/python:3.13"
    )
    monkeypatch.delenv(base_images.VARIABLE, raising=False)
    monkeypatch.setattr(standin, "tag", lambda runtime, architecture: "layersmith/none:here")
    monkeypatch.setattr(base_images, "pinned", lambda runtime, architecture: None)
    try:
        choice = base_images.choose(Engine("tests"), here, "arm64")
        assert choice.kind == "aws-tag"
        assert choice.described.startswith("by its tag, not pinned: AWS's base image")
        said = " ".join(capsys.readouterr().err.split())
        assert "images.json has no digest for it (`image --pin`)" in said
    finally:
        docker.from_env().images.remove(f"{here.image}-arm64", force=True)

"""The files on disk: what is taken from the store, and how what it lacks gets in."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from layersmith import process
from layersmith.base import routes
from layersmith.errors import BuildError
from layersmith.lock import wheelstore
from layersmith.lock.wheelstore import Download

if TYPE_CHECKING:
    from pathlib import Path

CONTENT = b"an sdist"
SHA256 = hashlib.sha256(CONTENT).hexdigest()
NAME = "x-1.0.tar.gz"


def test_a_stored_file_is_taken_only_while_it_is_whole() -> None:
    assert wheelstore.verified(SHA256, NAME) is None
    path = wheelstore.admit(SHA256, NAME, CONTENT)
    assert wheelstore.verified(SHA256, NAME) == path == wheelstore.path_of(SHA256, NAME)
    path.write_bytes(b"damaged")
    assert wheelstore.verified(SHA256, NAME) is None
    assert not path.exists()


@pytest.fixture
def index(monkeypatch: pytest.MonkeyPatch) -> None:
    """An index that has one file and has lost all others."""

    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200 if request.url.path == f"/{NAME}" else 404, content=CONTENT)

    def client(*_: Any, **__: Any) -> httpx.Client:
        return httpx.Client(transport=httpx.MockTransport(answer))

    monkeypatch.setattr(routes, "client", client)


HERE = Download(SHA256, f"https://index.test/{NAME}", NAME)
GONE = Download("0" * 64, "https://index.test/gone.tar.gz", "gone.tar.gz")


@pytest.mark.usefixtures("index")
def test_one_download_that_fails_stops_no_other() -> None:
    through: list[Download] = []
    failed = wheelstore.fetch([GONE, HERE], done=through.append)
    assert list(failed) == [GONE.sha256]
    assert "gone.tar.gz could not be downloaded: " in failed[GONE.sha256].message
    assert sorted(through) == sorted([GONE, HERE])
    assert wheelstore.verified(SHA256, NAME) is not None
    assert wheelstore.fetch([HERE]) == {}


@pytest.mark.usefixtures("index")
def test_one_file_is_returned_or_its_failure_is_raised() -> None:
    assert wheelstore.fetch_one(HERE).read_bytes() == CONTENT
    with pytest.raises(BuildError, match=r"gone\.tar\.gz could not be downloaded"):
        wheelstore.fetch_one(GONE)


@pytest.mark.usefixtures("index")
def test_an_index_in_a_folder_and_a_repository_are_not_asked_over_http(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "a b" / NAME
    path.parent.mkdir()
    path.write_bytes(CONTENT)
    local = Download(SHA256, path.as_uri(), NAME)
    assert wheelstore.fetch_one(local).read_bytes() == CONTENT
    path.unlink()
    with pytest.raises(BuildError) as gone:
        wheelstore.fetch_one(local)
    assert gone.value.cause == "the index is a folder, and the file was removed from it"
    packed: list[tuple[str, str]] = []

    def pack(url: str, stem: str) -> bytes:
        packed.append((url, stem))
        return CONTENT

    monkeypatch.setattr(wheelstore, "pack_commit", pack)
    url = "git+https://git.test/x@c0ffee"
    assert wheelstore.fetch_one(Download(SHA256, url, "x-1.0.tar")).read_bytes() == CONTENT
    assert packed == [(url, "x-1.0")]


@pytest.mark.parametrize("modules", [True, False])
@pytest.mark.parametrize("by_hash", [True, False])
def test_a_commit_is_fetched_with_its_submodules_where_it_has_any(
    *, modules: bool, by_hash: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    address, commit = "https://git.test/x", "c0ffee"
    called: list[list[str]] = []

    def run(argv: list[Any], **_: Any) -> None:
        words = [str(word) for word in argv if word in {"fetch", "checkout", "submodule", commit}]
        called.append(words)
        if words == ["fetch", commit] and not by_hash:
            raise process.CommandFailed(process.Completed(tuple(argv), 128, "", "not our ref"))
        if "checkout" in words and modules:
            (tmp_path / ".gitmodules").touch()

    monkeypatch.setattr(process, "run", run)
    wheelstore._check_out(tmp_path, address, commit)
    everything = [] if by_hash else [["fetch"]]
    submodules = [["submodule"]] if modules else []
    assert called == [
        [], ["fetch", commit], *everything, ["checkout", commit], *submodules
    ]  # fmt: skip

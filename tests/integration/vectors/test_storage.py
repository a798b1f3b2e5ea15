"""The same tests for S3 and for a folder."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from chroma_store.deltas.fetching import reader
from chroma_store.storage import Blob, Storage, open_storage
from vector_common.errors import BadRequest, Damaged, NotFound, PreconditionFailed, StoreError

Faults = Callable[..., None]


def test_what_was_put_is_read_listed_and_deleted(storage: Storage) -> None:
    storage.put("a/b/1", b"one")
    etag = storage.put("a/b/2", b"two")
    storage.put("a/c/3", b"three")
    assert storage.get("a/b/2").data == b"two"
    assert storage.get("a/b/2").etag == etag
    assert [(i.key, i.size) for i in storage.list("a/b/")] == [("a/b/1", 3), ("a/b/2", 3)]
    assert [i.key for i in storage.list("a/")] == ["a/b/1", "a/b/2", "a/c/3"]
    assert list(storage.list("nothing/")) == []
    assert storage.folders("a/") == ("b", "c")
    assert storage.folders("nothing/") == ()
    storage.delete(["a/b/1", "a/b/1", "gone"])
    with pytest.raises(NotFound):
        storage.get("a/b/1")


def test_a_folder_lists_files_alone_and_looks_at_no_more_than_are_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = open_storage(tmp_path.as_uri())
    for number in range(20):
        storage.put(f"a/{number:02}", b"x")
    (tmp_path / "a/link").symlink_to(tmp_path / "a/01")
    os.mkfifo(tmp_path / "a/pipe")
    looks: list[Path] = []

    def look(self: Path, look: Callable[..., os.stat_result] = Path.lstat) -> os.stat_result:
        looks.append(self)
        return look(self)

    monkeypatch.setattr(Path, "lstat", look)
    assert next(iter(storage.list("a/"))).key == "a/00"
    assert looks == [tmp_path / "a/00"]
    assert [info.key for info in storage.list("a/")] == [f"a/{number:02}" for number in range(20)]


def test_ranges(storage: Storage) -> None:
    storage.put("r", bytes(range(100)))
    assert storage.get_range("r", 10, 5) == bytes(range(10, 15))
    assert storage.get_range("r", 95, 5) == bytes(range(95, 100))
    with pytest.raises(Damaged):
        storage.get_range("r", 95, 6)
    with pytest.raises(Damaged):
        storage.get_range("r", 200, 6)
    with pytest.raises(NotFound):
        storage.get_range("gone", 0, 1)


def test_many_reads_find_what_a_read_finds(storage: Storage, faults: Faults) -> None:
    storage.put("many/1", b"one")
    storage.put("many/2=", bytes(100_000))
    read = reader(storage)
    assert [read("many/1"), read("many/2="), read("many/1")] == [b"one", bytes(100_000), b"one"]
    with pytest.raises(NotFound):
        read("many/3")
    for action in ("error", "cut"):
        faults({"method": "GET", "path": "/many/", "times": 1, "action": action})
        assert read("many/2=") == bytes(100_000)


def test_many_reads_of_s3_do_without_botocore(
    s3_storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    s3_storage.put("many/1", b"one")
    read = reader(s3_storage)
    monkeypatch.setattr(s3_storage, "get", lambda _: pytest.fail("botocore was asked"))
    assert read("many/1") == b"one"
    monkeypatch.undo()
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    behind = reader(s3_storage)
    monkeypatch.setattr(s3_storage, "get", lambda _: Blob(b"by way of the proxy", ""))
    assert behind("many/1") == b"by way of the proxy"


def test_if_none_match_lets_one_writer_win(storage: Storage) -> None:
    storage.put("k", b"first", if_none_match=True)
    with pytest.raises(PreconditionFailed):
        storage.put("k", b"second", if_none_match=True)
    assert storage.get("k").data == b"first"


def test_if_match_lets_one_writer_win(storage: Storage) -> None:
    first = storage.put("k", b"first")
    storage.put("k", b"second", if_match=first)
    with pytest.raises(PreconditionFailed):
        storage.put("k", b"third", if_match=first)
    assert storage.get("k").data == b"second"
    with pytest.raises((PreconditionFailed, NotFound)):
        storage.put("gone", b"x", if_match=first)


def test_the_same_write_again_has_won_before(storage: Storage) -> None:
    first = storage.put("k", b"first")
    second = storage.put("k", b"second", if_match=first)
    assert storage.put("k", b"second", if_match=first) == second
    assert storage.put("k", b"second", if_none_match=True) == second


def test_of_many_racing_writers_exactly_one_wins(storage: Storage) -> None:
    etag = storage.put("k", b"start")
    won: list[int] = []
    barrier = threading.Barrier(8)

    def race(number: int) -> None:
        barrier.wait()
        try:
            storage.put("k", b"%d" % number, if_match=etag)
        except PreconditionFailed:
            return
        won.append(number)

    threads = [threading.Thread(target=race, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    assert storage.get("k").data == b"%d" % won[0]


def test_a_listing_of_more_than_a_page(s3: Any, s3_storage: Storage) -> None:
    def small(params: dict[str, Any], **_: Any) -> dict[str, Any]:
        return {**params, "MaxKeys": 10}

    keys = [f"p{n % 3}/{n:04d}" for n in range(35)]
    for key in keys:
        s3_storage.put(key, b"")
    s3.meta.events.register("provide-client-params.s3.ListObjectsV2", small)
    try:
        assert [i.key for i in s3_storage.list("p")] == sorted(keys)
        assert s3_storage.folders("") == ("p0", "p1", "p2")
    finally:
        s3.meta.events.unregister("provide-client-params.s3.ListObjectsV2", small)


@pytest.mark.parametrize(
    "key",
    ["", "/etc/passwd", "a/../b", "a//b", ".hidden", "a/.scratch/b", "a\0b", "a\\b", "x" * 2000],
)
def test_no_key_leaves_the_store(storage: Storage, key: str) -> None:
    for attempt in (
        lambda: storage.put(key, b""),
        lambda: storage.get(key),
        lambda: storage.get_range(key, 0, 1),
        lambda: storage.delete([key]),
    ):
        with pytest.raises(BadRequest):
            attempt()


@pytest.mark.parametrize(
    "url", ["", "http://x/y", "s3://", "file://host/x", "file:x", "s3://b/p?x"]
)
def test_urls_that_are_no_store(url: str) -> None:
    with pytest.raises(BadRequest):
        open_storage(url)


def test_a_body_that_breaks_off_is_read_again(s3_storage: Storage, faults: Faults) -> None:
    data = bytes(100_000)
    s3_storage.put("k", data)
    faults({"method": "GET", "path": "/k$", "times": 2, "action": "cut"})
    assert s3_storage.get("k").data == data


@pytest.mark.usefixtures("impatient")
def test_a_body_that_always_breaks_off_is_an_error(s3_storage: Storage, faults: Faults) -> None:
    s3_storage.put("k", bytes(100_000))
    faults({"method": "GET", "path": "/k$", "times": 99, "action": "cut"})
    with pytest.raises(StoreError):
        s3_storage.get("k")


def test_a_lost_answer_to_a_conditional_write_does_not_lose_it(
    s3_storage: Storage, faults: Faults
) -> None:
    first = s3_storage.put("k", b"first")
    faults({"method": "PUT", "path": "/k$", "times": 1, "action": "lost"})
    s3_storage.put("k", b"second", if_match=first)
    assert s3_storage.get("k").data == b"second"


def test_a_store_that_is_not_there(tmp_path: Path, s3: Any) -> None:
    # Not NotFound: a wrong bucket must never look like a database without a snapshot.
    with pytest.raises(StoreError):
        open_storage("s3://no-such-bucket-here/p", client=s3).get("k")
    blocked = tmp_path / "a-file"
    blocked.write_text("x")
    with pytest.raises(StoreError):
        open_storage(blocked.as_uri()).put("k", b"x")

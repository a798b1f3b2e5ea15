"""Whether an index finds what its collection holds, and what makes it anew."""

from __future__ import annotations

from typing import Any

import pytest
from chroma_store.server import index
from chroma_store.server.index import Recall, measure, repair, replace_by_copy
from chroma_store.snapshots.manifest import CollectionInfo
from vector_common.errors import BadRequest, Conflict, Damaged, PayloadTooLarge, Unavailable

from tests.unit.vectors.fake_chroma import FakeChroma

ROUND = {f"r{n:02}": [1.0, n / 16] for n in range(40)}
"""Records of which each has another direction."""


def info(chroma: FakeChroma, name: str = "c") -> CollectionInfo:
    return next(one for one in chroma.http.collections() if one.name == name)


@pytest.mark.parametrize(
    ("recall", "low"),
    [
        (Recall("c", 500, 500, 499), False),
        (Recall("c", 500, 500, 498), True),
        (Recall("c", 9, 9, 8), True),
        (Recall("c", 9, 9, 9), False),
        (Recall("c", 9, 9, 9, problem="why"), False),
        (Recall("c", 9, 0, 0), False),
        (Recall("c", 9, 0, 0, problem="why"), True),
    ],
)
def test_one_of_five_hundred_may_be_missing(recall: Recall, low: bool) -> None:
    assert recall.low is low


def test_a_report_says_what_was_found_and_why_it_was_not_mended() -> None:
    silent = Recall("c", 9, 0, 0, problem="busy")
    assert silent.summary == "collection c: its index does not answer: busy"
    found = Recall("c", 9, 9, 8)
    assert found.summary == "collection c: its index finds 8 of 9 records by their own vector"
    kept = Recall("c", 9, 9, 8, problem="why")
    assert kept.summary == f"{found.summary}; it could not be rebuilt: why"
    mended = Recall("c", 9, 9, 9, rebuilt=True, before=7)
    assert mended.summary.endswith("finds 9 of 9 records by their own vector; it was rebuilt, and"
                                   " found 7")  # fmt: skip
    assert [one.document()["foundBefore"] for one in (mended, found)] == [7, 8]


def test_all_records_are_searched_for_or_pages_at_even_distances(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    chroma = FakeChroma()
    chroma.put("c", ROUND)
    assert measure(chroma.http, info(chroma)) == Recall("c", 40, 40, 40)
    pages: list[int] = []
    page = chroma.http.page

    def told(collection: str, offset: int, limit: int) -> dict[str, list[Any]]:
        pages.append(offset)
        return page(collection, offset, limit)

    monkeypatch.setattr(chroma.http, "page", told)
    assert measure(chroma.http, info(chroma), 39).sampled == 25 + 20
    assert pages == [0, 20]
    pages.clear()
    assert measure(chroma.http, info(chroma), 40).sampled == 40
    assert pages == [0, 25]
    chroma.put("empty", {})
    assert measure(chroma.http, info(chroma, "empty")) == Recall("empty", 0, 0, 0)
    gone = CollectionInfo("c", 2, 100, "cosine")  # as before some were deleted
    assert measure(chroma.http, gone).sampled == 40


@pytest.mark.parametrize(
    ("answer", "space", "vector", "found"),
    [
        ([("a", 0.5), ("me", 0.6)], "l2", [3.0, 4.0], True),
        ([("a", 0.5), ("b", None)], "l2", [3.0, 4.0], True),
        ([("a", 0.0), ("b", 0.0)], "l2", [3.0, 4.0], True),
        ([("a", 0.0)], "l2", [3.0, 4.0], False),
        ([("a", 0.0), ("b", 1e-6)], "l2", [3.0, 4.0], False),
        ([("a", 0.0), ("b", 1e-6)], "cosine", [3.0, 4.0], True),
        ([("a", 0.0), ("b", 1e-4)], "cosine", [3.0, 4.0], False),
        ([("a", 0.0), ("b", 1e-4)], "cosine", [0.0, 0.0], True),
        ([("a", 0.0), ("b", 1e-4)], "cosine", [1e-18, 0.0], False),
        ([("a", 0.0), ("b", 1e-4)], "l2", [0.0, 0.0], False),
        ([("a", -24.0), ("b", -24.0)], "ip", [3.0, 4.0], True),
        ([("a", -24.0), ("b", -23.9999)], "ip", [3.0, 4.0], True),
        ([("a", -24.0), ("b", -23.0)], "ip", [3.0, 4.0], False),
    ],
)
def test_a_record_is_found_or_others_are_as_near(
    answer: list[tuple[str, float | None]], space: str, vector: list[float], found: bool
) -> None:
    assert index._is_found("me", vector, answer, 2, space) is found


def test_an_index_that_finds_too_little_is_made_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    chroma = FakeChroma()
    chroma.put("c", ROUND, metadata={"a": 1, "hnsw:space": "cosine"})
    assert repair(chroma.http, info(chroma)) == Recall("c", 40, 40, 40)
    chroma.lost = {"r07", "r09"}
    create = chroma.http.create_like

    def mended(*said: Any) -> str:
        chroma.lost.clear()
        return create(*said)

    monkeypatch.setattr(chroma.http, "create_like", mended)
    assert repair(chroma.http, info(chroma)) == Recall("c", 40, 40, 40, rebuilt=True, before=38)
    (copy,) = chroma.collections.values()
    assert (copy["name"], len(copy["records"]), copy["metadata"]["a"]) == ("c", 40, 1)


def test_an_index_is_left_alone_where_it_is_large_or_of_no_known_space() -> None:
    chroma = FakeChroma()
    chroma.put("c", ROUND)
    chroma.lost = {"r07"}
    before = Recall("c", 40, 40, 39)
    assert repair(chroma.http, CollectionInfo("c", 2, 40, None)) == before
    large = CollectionInfo("c", 2, index.REBUILD_RECORDS + 1, "cosine")
    found = repair(chroma.http, large)
    assert (found.rebuilt, found.problem, found.low) == (False, None, True)
    assert [*chroma.collections] == ["c"]
    most = CollectionInfo("c", 2, index.REBUILD_RECORDS, "cosine")
    assert repair(chroma.http, most).rebuilt


def test_what_keeps_an_index_from_being_measured_or_mended_is_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def failing(problem: Exception) -> Any:
        def fail(*_: Any) -> Any:
            raise problem

        return fail

    chroma = FakeChroma()
    chroma.put("c", ROUND)
    chroma.lost = {"r07"}
    with monkeypatch.context() as patch:
        patch.setattr(chroma.http, "create_like", failing(Conflict("taken")))
        assert repair(chroma.http, info(chroma)) == Recall("c", 40, 40, 39, problem="taken")
        patch.setattr(chroma.http, "nearest", failing(Unavailable("busy")))
        assert repair(chroma.http, info(chroma)) == Recall("c", 40, 0, 0, problem="busy")


def test_a_copy_may_calculate_another_space_where_vectors_have_a_length() -> None:
    chroma = FakeChroma()
    l2 = {"configuration": {"hnsw": {"space": "l2"}}}
    chroma.put("c", ROUND | {"none": [0.0, 0.0]}, **l2)
    with pytest.raises(BadRequest, match="1 of these have none, the first of them 'none'"):
        replace_by_copy(chroma.http, info(chroma), "cosine")
    assert [*chroma.collections] == ["c"]
    replace_by_copy(chroma.http, info(chroma), "ip")
    assert info(chroma).space == "ip"
    chroma.put("d", ROUND | {"none": [0.0, 0.0]})
    replace_by_copy(chroma.http, info(chroma, "d"), "cosine")
    assert info(chroma, "d").count == 41


def test_a_page_that_is_too_large_goes_in_halves() -> None:
    chroma = FakeChroma()
    chroma.put("c", ROUND)
    chroma.largest = 1
    replace_by_copy(chroma.http, info(chroma), "l2")
    assert info(chroma).count == 40
    chroma.largest = 0
    with pytest.raises(PayloadTooLarge):
        replace_by_copy(chroma.http, info(chroma), "cosine")
    assert [*chroma.collections] == ["c"]


def test_a_page_holds_fewer_records_of_many_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    chroma = FakeChroma()
    chroma.put("c", ROUND)
    monkeypatch.setattr(index, "_PAGE_NUMBERS", 20)
    chroma.largest = 10
    replace_by_copy(chroma.http, info(chroma), "l2")
    writes = [path for method, path in chroma.asked if path.endswith("/add")]
    assert len(writes) == 4


def test_a_copy_that_is_not_alike_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    chroma = FakeChroma()
    chroma.put("c", ROUND)
    records, count = chroma.http.records, chroma.http.count
    with monkeypatch.context() as patch:
        patch.setattr(chroma.http, "records", lambda one, ids: records(one, ids[1:]))
        with pytest.raises(Damaged, match="the copy differs"):
            replace_by_copy(chroma.http, info(chroma), "l2")
    with monkeypatch.context() as patch:
        counts = iter((40, 39))
        patch.setattr(chroma.http, "count", lambda _: next(counts))
        with pytest.raises(Damaged, match="another count"):
            replace_by_copy(chroma.http, info(chroma), "l2")
    assert count(chroma.collections["c"]["id"]) == 40
    assert [*chroma.collections] == ["c"]


def rows(vector: list[float], metadata: Any = None, document: str | None = None) -> dict[str, Any]:
    return {
        "ids": ["a"],
        "embeddings": [vector],
        "metadatas": [metadata],
        "documents": [document],
        "uris": [None],
    }


@pytest.mark.parametrize(
    ("other", "space", "alike"),
    [
        (rows([3.0, 4.0], {"k": None}), "l2", True),
        (rows([0.6, 0.8]), "cosine", True),
        (rows([0.6, 0.8]), "l2", False),
        (rows([0.6, 0.801]), "cosine", False),
        (rows([0.6, 0.8, 0.0]), "cosine", False),
        (rows([3.0, 4.0], {"k": 1}), "l2", False),
        (rows([3.0, 4.0], None, "text"), "cosine", False),
        (rows([3.0, 4.0]) | {"ids": ["b"]}, "l2", False),
    ],
)
def test_records_are_alike(other: dict[str, Any], space: str, alike: bool) -> None:
    assert index._alike(rows([3.0, 4.0]), other, space) is alike

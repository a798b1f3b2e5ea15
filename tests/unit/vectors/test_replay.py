"""Folding changes, against a plain dict."""

from __future__ import annotations

import array
from typing import Any

from chroma_store.deltas.replay import fold
from hypothesis import given
from hypothesis import strategies as st
from vector_common.records import VectorRecord

State = tuple[tuple[float, ...], dict[str, Any], str | None]

ids = st.sampled_from("abc")
vectors = st.tuples(st.integers(0, 5).map(float))
metadata = st.none() | st.dictionaries(st.sampled_from("xyz"), st.integers(0, 5), min_size=1)
documents = st.none() | st.sampled_from(["one", "two"])


def _array(vector: tuple[float, ...] | None) -> array.array[float] | None:
    return None if vector is None else array.array("f", vector)


records = st.one_of(
    st.builds(
        lambda i, v, m, d: VectorRecord("upsert", i, _array(v), m, d),
        ids,
        vectors,
        metadata,
        documents,
    ),
    st.builds(
        lambda i, v, m, d: VectorRecord("update", i, _array(v), m, d),
        ids,
        st.none() | vectors,
        metadata,
        documents,
    ),
    st.builds(lambda i: VectorRecord("delete", i), ids),
)
states = st.dictionaries(ids, st.tuples(vectors, metadata.map(lambda m: m or {}), documents))


def apply(state: dict[str, State], changes: list[VectorRecord]) -> dict[str, State]:
    """What the changes mean, one after the other."""
    after = dict(state)
    for change in changes:
        before = after.get(change.id)
        if change.op == "delete":
            after.pop(change.id, None)
        elif change.op == "upsert":
            after[change.id] = (
                tuple(change.embedding or ()),
                dict(change.metadata or {}),
                change.document,
            )
        elif before is not None:
            after[change.id] = (
                before[0] if change.embedding is None else tuple(change.embedding),
                {**before[1], **(change.metadata or {})},
                before[2] if change.document is None else change.document,
            )
    return after


@given(states, st.lists(records, max_size=12))
def test_folded_changes_mean_the_same(state: dict[str, State], changes: list[VectorRecord]) -> None:
    folded = list(fold(changes).values())
    assert len({record.id for record in folded}) == len(folded)
    assert apply(state, folded) == apply(state, changes)


@given(states, st.lists(records, max_size=12))
def test_changes_may_be_replayed_again(
    state: dict[str, State], changes: list[VectorRecord]
) -> None:
    once = apply(state, changes)
    assert apply(once, list(fold(changes).values())) == once
    assert apply(once, changes) == once


@given(states, st.lists(records, max_size=12), st.integers(0, 12))
def test_a_replay_that_broke_off_may_begin_again(
    state: dict[str, State], changes: list[VectorRecord], done: int
) -> None:
    partly = apply(state, list(fold(changes).values())[:done])
    assert apply(partly, list(fold(changes).values())) == apply(state, changes)

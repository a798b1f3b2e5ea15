from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from vector_common.deltas import Delta, decode, encode
from vector_common.errors import BadRequest, Damaged, Refused
from vector_common.ids import is_id, made_at, new_id
from vector_common.records import CollectionSpec, parse_embedding, parse_records, parse_spec

SPEC = CollectionSpec("receipts", 2)

floats = st.floats(-1e9, 1e9, width=32)
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30)
scalars = st.one_of(
    texts,
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
)
metadata = st.none() | st.dictionaries(
    texts.filter(lambda key: key and not key.startswith(("chroma:", "#", "$"))), scalars, max_size=4
)
vectors = st.lists(floats, min_size=2, max_size=2).filter(lambda vector: math.hypot(*vector) > 1e-9)


@st.composite
def raw_changes(draw: st.DrawFn) -> dict[str, Any]:
    op = draw(st.sampled_from(["upsert", "update", "delete"]))
    change: dict[str, Any] = {"op": op, "id": draw(texts.filter(bool))}
    if op == "delete":
        return change
    if op == "upsert" or draw(st.booleans()):
        change["embedding"] = draw(vectors)
    change["metadata"] = draw(metadata)
    change["document"] = draw(st.none() | texts)
    return change


@given(st.lists(raw_changes(), min_size=1, max_size=5))
def test_a_delta_is_read_as_it_was_written(raw: list[dict[str, Any]]) -> None:
    delta = Delta(new_id(), SPEC, parse_records(raw, SPEC))
    data = encode(delta)
    assert decode(data, delta.id) == delta
    assert encode(decode(data, delta.id)) == data


@given(st.lists(raw_changes(), min_size=1, max_size=3), st.data())
def test_no_damage_goes_unnoticed(raw: list[dict[str, Any]], data: st.DataObject) -> None:
    delta = Delta(new_id(), SPEC, parse_records(raw, SPEC))
    written = bytearray(encode(delta))
    place = data.draw(st.integers(0, len(written) - 1))
    written[place] ^= data.draw(st.integers(1, 255))
    try:
        read = decode(bytes(written), delta.id)
    except (Damaged, Refused):
        return
    # What is left to change unnoticed is white space in the header.
    assert read == delta


@pytest.mark.parametrize("cut", [0, 1, 40, -1])
def test_a_delta_that_was_cut_off(cut: int) -> None:
    delta = Delta(new_id(), SPEC, parse_records([{"id": "a", "embedding": [1, 2]}], SPEC))
    with pytest.raises(Damaged):
        decode(encode(delta)[:cut], delta.id)


def test_a_delta_under_another_name() -> None:
    delta = Delta(new_id(), SPEC, parse_records([{"id": "a", "embedding": [1, 2]}], SPEC))
    with pytest.raises(Damaged, match="id does not fit"):
        decode(encode(delta), new_id())


def test_a_delta_of_a_later_format() -> None:
    with pytest.raises(Refused, match="format 2"):
        decode(b'{"format":2}\n', new_id())


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"id": "a"}, "records[0].embedding: is missing"),
        ({"id": "a", "embedding": [1, 2, 3]}, "has 3 dimensions, its collection has 2"),
        ({"id": "a", "embedding": [1, math.nan]}, "records[0].embedding[1]: is not a finite"),
        ({"id": "a", "embedding": [math.inf, 1]}, "records[0].embedding[0]: is not a finite"),
        ({"id": "a", "embedding": [1, 1e39]}, "records[0].embedding[1]: is not a finite"),
        ({"id": "a", "embedding": [1, 10**400]}, "32-bit floats"),
        ({"id": "a", "embedding": [0, 0]}, "all zeros"),
        ({"id": "a", "embedding": [1, True]}, "array of numbers"),
        ({"id": "a", "embedding": [1, "2"]}, "array of numbers"),
        ({"id": "a", "embedding": "ab"}, "array of numbers"),
        ({"id": "", "embedding": [1, 2]}, "records[0].id: must be a string of 1"),
        ({"id": 7, "embedding": [1, 2]}, "records[0].id: must be a string"),
        ({"id": "x" * 513, "embedding": [1, 2]}, "records[0].id"),
        ({"id": "a\0", "embedding": [1, 2]}, "cannot be stored"),
        ({"id": "\ud800", "embedding": [1, 2]}, "cannot be stored"),
        ({"op": "insert", "id": "a"}, "records[0].op: must be one of"),
        ({"op": "delete", "id": "a", "document": "x"}, "a delete takes an id and nothing else"),
        ({"id": "a", "embedding": [1, 2], "vector": 1}, "unknown keys vector"),
        ({"id": "a", "embedding": [1, 2], "metadata": {"k": None}}, "records[0].metadata.k"),
        ({"id": "a", "embedding": [1, 2], "metadata": {"k": math.nan}}, "records[0].metadata.k"),
        ({"id": "a", "embedding": [1, 2], "metadata": {"k": 2**63}}, "records[0].metadata.k"),
        ({"id": "a", "embedding": [1, 2], "metadata": {"k": [1]}}, "records[0].metadata.k"),
        ({"id": "a", "embedding": [1, 2], "metadata": {"chroma:x": 1}}, "reserved by Chroma"),
        ({"id": "a", "embedding": [1, 2], "metadata": 3}, "records[0].metadata: must be"),
        ({"id": "a", "embedding": [1, 2], "document": "x" * 65_537}, "records[0].document"),
        (7, "records[0]: must be an object"),
    ],
)
def test_what_the_schema_refuses(change: Any, problem: str) -> None:
    with pytest.raises(BadRequest) as caught:
        parse_records([change], SPEC)
    assert problem in str(caught.value)


def test_all_problems_come_together_and_not_more_than_ten() -> None:
    with pytest.raises(BadRequest) as caught:
        parse_records([{"id": ""}] * 50, SPEC)
    assert len(caught.value.problems) == 10


@pytest.mark.parametrize(
    "raw",
    [
        None,
        {},
        {"name": "receipts", "dimension": 0},
        {"name": "receipts", "dimension": True},
        {"name": "receipts", "dimension": 2.0},
        {"name": "receipts", "dimension": 99_999},
        {"name": "../x", "dimension": 2},
        {"name": "a..b", "dimension": 2},
        {"name": "ab", "dimension": 2},
        {"name": "receipts", "dimension": 2, "space": "manhattan"},
    ],
)
def test_collections_that_are_refused(raw: Any) -> None:
    with pytest.raises(BadRequest):
        parse_spec(raw)


def test_numbers_are_rounded_to_32_bits() -> None:
    assert list(parse_embedding([0.1, 2], None)) == [0.10000000149011612, 2.0]


@given(st.integers(0, 2**48 - 1))
def test_ids_carry_their_time(milliseconds: int) -> None:
    identifier = new_id(milliseconds)
    assert is_id(identifier)
    if milliseconds < 253_402_300_800_000:  # the end of datetime's year 9999
        assert abs(made_at(identifier).timestamp() * 1000 - milliseconds) < 1


def test_ids_of_a_process_sort_in_the_order_of_their_making() -> None:
    new_id(2**48 - 1)  # of another time, which is not the clock's
    made = [new_id() for _ in range(20_000)]
    assert made == sorted(set(made))

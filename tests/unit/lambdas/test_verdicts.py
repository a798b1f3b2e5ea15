"""Verdicts of label_validation and merchant_match: thresholds, ties, reasons."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from vector_common.errors import Conflict
from vector_common.search.labels import LabelRule, judge_label, normalised
from vector_common.search.merchants import MatchRule, match_merchant
from vector_common.search.neighbours import MOST, Neighbour, require_cosine, similarity, widened

if TYPE_CHECKING:
    import random

LABELS = LabelRule(min_similarity=0.5, min_neighbours=3, accept=0.6, margin=0.1)
MERCHANTS = MatchRule(match=0.9, candidate=0.7, margin=0.02, most=3)


def near(name: str | None, score: float, key: str = "label", number: int = 0) -> Neighbour:
    metadata = {} if name is None else {key: name}
    return Neighbour(f"{name}-{score}-{number}", 1 - score, score, metadata)


@pytest.mark.parametrize(
    ("neighbours", "verdict", "reasons", "suggestion", "score"),
    [
        ([], "review", ("no_neighbours",), None, 0),
        ([("a", 0.49)] * 9, "review", ("no_neighbours",), None, 0),
        ([(None, 0.9)] * 9, "review", ("no_neighbours",), None, 0),
        ([("a", 0.9)] * 2, "review", ("few_neighbours", "label_leads"), None, 1),
        ([("b", 0.9)] * 2, "review", ("few_neighbours", "other_label_leads"), "b", 0),
        ([("a", 0.9), ("b", 0.9)], "review", ("few_neighbours", "tie"), None, 0.5),
        ([("a", 0.9)] * 3, "accept", ("label_leads",), None, 1),
        ([("a", 0.5)] * 3, "accept", ("label_leads",), None, 1),
        ([("b", 0.9)] * 3, "reject", ("other_label_leads", "label_absent"), "b", 0),
        ([("b", 0.8)] * 4 + [("a", 0.8)], "reject", ("other_label_leads",), "b", 0.2),
        ([("a", 0.9)] * 2 + [("b", 0.9)] * 2, "review", ("tie",), None, 0.5),
        ([("a", 0.8)] * 5 + [("b", 0.8)] * 5, "review", ("tie",), None, 0.5),
        ([("a", 0.8)] * 6 + [("b", 0.8)] * 4, "accept", ("label_leads",), None, 0.6),
        (
            [("a", 0.8)] * 5 + [("b", 0.8)] * 3 + [("c", 0.8)] * 2,
            "review",
            ("weak_majority",),
            None,
            0.5,
        ),
        (
            [("b", 0.8)] * 5 + [("a", 0.8)] * 3 + [("c", 0.8)] * 2,
            "review",
            ("weak_majority", "other_label_leads"),
            "b",
            0.3,
        ),
        # One near neighbour outweighs one that just counts.
        ([("a", 1.0), ("a", 1.0), ("b", 0.5), ("b", 0.5)], "accept", ("label_leads",), None, 2 / 3),
    ],
)
def test_label_verdicts(
    neighbours: list[tuple[str | None, float]],
    verdict: str,
    reasons: tuple[str, ...],
    suggestion: str | None,
    score: float,
) -> None:
    found = judge_label("a", (near(n, s) for n, s in neighbours), "label", LABELS)
    assert (found.verdict, found.reasons, found.suggestion) == (verdict, reasons, suggestion)
    assert found.score == pytest.approx(score)


@given(
    st.lists(st.tuples(st.sampled_from(["a", "b", "c", None]), st.floats(-1, 1)), max_size=15),
    st.randoms(use_true_random=False),
)
def test_a_label_verdict_holds_for_any_order(
    neighbours: list[tuple[str | None, float]], rng: random.Random
) -> None:
    items = [near(n, s) for n, s in neighbours]
    first = judge_label("a", items, "label", LABELS)
    assert 0 <= first.score <= 1
    assert sum(share for _, share in first.shares) == pytest.approx(1 if first.votes else 0)
    if first.verdict == "accept":
        assert first.score >= LABELS.accept
        assert first.suggestion is None
    rng.shuffle(items)
    again = judge_label("a", items, "label", LABELS)
    assert (again.verdict, again.reasons) == (first.verdict, first.reasons)


@pytest.mark.parametrize(
    ("found", "outcome", "merchant", "reasons", "candidates"),
    [
        ([], "no_match", None, ("none_near_enough",), []),
        ([("m1", 0.69)], "no_match", None, ("none_near_enough",), []),
        ([(None, 0.99)], "no_match", None, ("none_near_enough",), []),
        ([("m1", 0.9)], "match", "m1", ("clear_best",), ["m1"]),
        ([("m1", 0.95), ("m2", 0.92)], "match", "m1", ("clear_best",), ["m1", "m2"]),
        ([("m2", 0.95), ("m1", 0.94)], "ambiguous", None, ("tie",), ["m2", "m1"]),
        ([("m2", 0.95), ("m1", 0.95)], "ambiguous", None, ("tie",), ["m1", "m2"]),
        ([("m1", 0.95), ("m1", 0.94)], "match", "m1", ("clear_best",), ["m1"]),
        ([("m1", 0.89)], "candidates", None, ("best_below_match",), ["m1"]),
        (
            [("m1", 0.8), ("m2", 0.79)],
            "candidates",
            None,
            ("best_below_match", "tie"),
            ["m1", "m2"],
        ),
        (
            [("m1", 0.95), ("m2", 0.8), ("m3", 0.79), ("m4", 0.78)],
            "match",
            "m1",
            ("clear_best",),
            ["m1", "m2", "m3"],
        ),
        # As near as another and seen more often comes first; the tie stays a tie.
        ([("m1", 0.95), ("m2", 0.95), ("m2", 0.9)], "ambiguous", None, ("tie",), ["m2", "m1"]),
    ],
)
def test_merchant_outcomes(
    found: list[tuple[str | None, float]],
    outcome: str,
    merchant: str | None,
    reasons: tuple[str, ...],
    candidates: list[str],
) -> None:
    neighbours = [("c", near(n, s, "merchant", i)) for i, (n, s) in enumerate(found)]
    result = match_merchant(neighbours, "merchant", MERCHANTS)
    assert (result.outcome, result.merchant, result.reasons) == (outcome, merchant, reasons)
    assert [candidate.merchant for candidate in result.candidates] == candidates


def test_a_candidate_names_its_nearest_record_and_its_support() -> None:
    found = [
        ("old", near("m1", 0.8, "merchant")),
        ("new", near("m1", 0.95, "merchant")),
        ("old", near("m1", 0.6, "merchant")),
    ]
    candidate = match_merchant(found, "merchant", MERCHANTS).candidates[0]
    assert (candidate.collection, candidate.record, candidate.support) == ("new", "m1-0.95-0", 2)


@pytest.mark.parametrize(
    ("space", "distance", "expected"),
    [("cosine", 0, 1), ("cosine", 2, -1), ("ip", 0.25, 0.75), ("l2", 0, 1), ("l2", 3, 0.25)],
)
def test_similarity(space: str, distance: float, expected: float) -> None:
    assert similarity(distance, space) == expected


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("Fast_Food", "  fast-food ", True),
        ("Caf\u00e9", "cafe\u0301", True),
        ("\uff26\uff55\uff45\uff4c", "fuel", True),
        ("STRASSE", "stra\u00dfe", True),
        ("a  b", "a b", True),
        ("fast food", "fastfood", False),
        ("c", "c++", False),
        ("-", "_", False),
    ],
)
def test_labels_are_the_same_by_a_rule(one: str, other: str, same: bool) -> None:
    assert (normalised(one) == normalised(other)) is same
    found = judge_label(one, [near(other, 0.9, number=n) for n in range(3)], "label", LABELS)
    assert found.verdict == ("accept" if same else "reject")
    exactly = replace(LABELS, exact=True)
    assert judge_label(one, [near(other, 0.9)] * 3, "label", exactly).verdict == "reject"


def test_a_suggestion_has_the_most_frequent_spelling() -> None:
    names = ["Fuel", "fuel", "fuel", "FUEL"]
    found = judge_label("toys", [near(n, 0.9) for n in names], "label", LABELS)
    assert (found.suggestion, found.shares) == ("fuel", (("fuel", 1.0),))


@pytest.mark.parametrize(
    ("distances", "count", "expected"),
    [
        ([0.1, 0.2, 0.3], 2, 2),
        ([0.1, 0.2, 0.2, 0.2, 0.2, 0.2, 0.3], 2, 6),
        ([0.1, 0.2, 0.2], 2, 3),
        ([0.1, 0.2, 0.2], 3, 3),
        ([0.1], 5, 1),
        ([0.2] * 50 + [0.3], 3, 50),
        ([0.2] * 1000, 3, MOST),
        ([0.1] * 299 + [0.2, 0.2], MOST, MOST),
        ([], 1, 0),
    ],
)
def test_a_tie_at_the_cut_widens_it(distances: list[float], count: int, expected: int) -> None:
    all_of_them = [Neighbour(str(n), d, 1 - d, {}) for n, d in enumerate(distances)]
    assert len(widened(lambda most: all_of_them[:most], count)) == expected


def test_no_threshold_is_applied_to_what_is_no_cosine() -> None:
    cosine, product = near("a", 0.9), replace(near("a", 0.9), space="ip")
    require_cosine("minSimilarity", [("one", cosine)])
    with pytest.raises(Conflict, match=r"minSimilarity: .* two calculates ip; .*rebuild"):
        require_cosine("minSimilarity", [("one", cosine), ("two", product)])

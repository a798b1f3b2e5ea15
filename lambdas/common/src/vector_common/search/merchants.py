"""Which merchant is it? Candidates from one or more merchant collections."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable

    from vector_common.search.neighbours import Neighbour

Outcome = Literal["match", "ambiguous", "candidates", "no_match"]


@dataclass(frozen=True)
class MatchRule:
    """When a candidate is the merchant.

    Attributes:
        match: Similarity from which the best candidate is taken.
        candidate: Similarity below which nothing is a candidate.
        margin: A second merchant this near to the best makes a tie.
        most: Candidates returned at most.
    """

    match: float = 0.9
    candidate: float = 0.7
    margin: float = 0.02
    most: int = 5


@dataclass(frozen=True, slots=True)
class MerchantCandidate:
    """A merchant that it may be.

    Attributes:
        merchant: Its id, from the metadata.
        similarity: Of its nearest record.
        support: How many of its records were near enough.
        collection: Where its nearest record lies.
        record: That record's id.
    """

    merchant: str
    similarity: float
    support: int
    collection: str
    record: str


@dataclass(frozen=True, slots=True)
class MatchResult:
    """What was found: the merchant if there is one, all candidates, and the reasons."""

    outcome: Outcome
    merchant: str | None
    candidates: tuple[MerchantCandidate, ...]
    reasons: tuple[str, ...]


def match_merchant(
    found: Iterable[tuple[str, Neighbour]], key: str, rule: MatchRule
) -> MatchResult:
    """Choose a merchant among neighbours.

    Args:
        found: Collection and neighbour, in any order.
        key: Metadata key that holds the merchant's id; records without it are passed over.
        rule: When one is chosen.

    Returns:
        ``match`` with the merchant; ``ambiguous`` if others are as near within the margin;
        ``candidates`` if the best is not near enough; ``no_match`` if there is none. Merchants
        of equal similarity come in order of support, then of id, so that the answer is the same
        every time.
    """
    best: dict[str, MerchantCandidate] = {}
    for collection, neighbour in found:
        merchant = neighbour.metadata.get(key)
        if merchant is None or neighbour.similarity < rule.candidate:
            continue
        name = str(merchant)
        known = best.get(name)
        support = known.support + 1 if known else 1
        nearer = known is None or neighbour.similarity > known.similarity
        source = (
            (neighbour.similarity, collection, neighbour.id)
            if nearer or known is None
            else (known.similarity, known.collection, known.record)
        )
        best[name] = MerchantCandidate(name, source[0], support, source[1], source[2])
    ranked = sorted(best.values(), key=lambda c: (-c.similarity, -c.support, c.merchant))
    return _decide(ranked, rule)


def _decide(ranked: list[MerchantCandidate], rule: MatchRule) -> MatchResult:
    shown = tuple(ranked[: rule.most])
    if not ranked:
        return MatchResult("no_match", None, (), ("none_near_enough",))
    first = ranked[0]
    tied = [c for c in ranked[1:] if first.similarity - c.similarity <= rule.margin]
    if first.similarity < rule.match:
        reasons = ("best_below_match", *(("tie",) if tied else ()))
        return MatchResult("candidates", None, shown, reasons)
    if tied:
        return MatchResult("ambiguous", None, shown, ("tie",))
    return MatchResult("match", first.merchant, shown, ("clear_best",))

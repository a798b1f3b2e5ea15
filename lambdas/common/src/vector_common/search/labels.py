"""Is a label right? What the nearest labelled records say."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from vector_common.search.neighbours import Neighbour

_BLANKS = re.compile(r"[\s_-]+")

LabelVerdict = Literal["accept", "review", "reject"]


@dataclass(frozen=True)
class LabelRule:
    """When neighbours decide.

    Attributes:
        min_similarity: Neighbours below do not vote.
        min_neighbours: Fewer votes decide nothing.
        accept: Share of the votes from which a label is settled.
        margin: Two labels whose shares differ by no more are tied.
        exact: Labels are the same only letter by letter, not by `normalised`.
    """

    min_similarity: float = 0.7
    min_neighbours: int = 3
    accept: float = 0.6
    margin: float = 0.1
    exact: bool = False


@dataclass(frozen=True, slots=True)
class LabelJudgement:
    """What the neighbours say of a label.

    Attributes:
        verdict: accept, reject, or review by a person.
        score: The label's share of the votes, 0 to 1.
        reasons: Codes, the one that decided first.
        suggestion: The label with most votes if it is another one, as its neighbours spell it.
        shares: Of every label that got votes, largest first, as its neighbours spell it most.
        votes: How many neighbours voted.
    """

    verdict: LabelVerdict
    score: float
    reasons: tuple[str, ...]
    suggestion: str | None
    shares: tuple[tuple[str, float], ...]
    votes: int


def judge_label(
    label: str, neighbours: Iterable[Neighbour], key: str, rule: LabelRule
) -> LabelJudgement:
    """Judge a label by its nearest labelled records.

    Each neighbour votes for its own label with its similarity, so that a near one counts for
    more than a far one.

    Args:
        label: The label in question.
        neighbours: Records near the vector in question.
        key: Metadata key that holds a record's label; records without it do not vote.
        rule: When the votes decide.
    """
    weights: dict[str, float] = defaultdict(float)
    spellings: dict[str, Counter[str]] = defaultdict(Counter)
    votes = 0
    same = str if rule.exact else normalised
    for neighbour in neighbours:
        theirs = neighbour.metadata.get(key)
        if theirs is not None and neighbour.similarity >= max(rule.min_similarity, 0):
            name = same(str(theirs))
            weights[name] += neighbour.similarity
            spellings[name][str(theirs)] += 1
            votes += 1
    total = sum(weights.values())
    ranked = sorted(
        ((name, weight / total if total else 0.0) for name, weight in weights.items()),
        key=lambda item: (-item[1], item[0]),
    )
    asked = same(label)
    score = dict(ranked).get(asked, 0.0)
    verdict, reasons = _decide(asked, score, ranked, votes, rule)
    # The most frequent spelling; of equally frequent ones the first, so that order is no matter.
    spelt = {name: min(found, key=lambda s: (-found[s], s)) for name, found in spellings.items()}
    shares = tuple((spelt[name], share) for name, share in ranked)
    other = spelt[ranked[0][0]] if ranked and ranked[0][0] != asked else None
    return LabelJudgement(verdict, score, reasons, other, shares, votes)


def normalised(label: str) -> str:
    """A label without what makes no difference: case, width, blanks, hyphens and underscores.

    Unicode's NFKC, case folding, then each run of blanks, ``-`` and ``_`` as one blank:
    ``Fast_Food`` and `` fast-food`` are both ``fast food``. One of nothing else stays as it is.
    """
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", label).casefold())
    return _BLANKS.sub(" ", folded).strip() or label


def _decide(
    label: str, score: float, shares: Sequence[tuple[str, float]], votes: int, rule: LabelRule
) -> tuple[LabelVerdict, tuple[str, ...]]:
    if not votes:
        return "review", ("no_neighbours",)
    few = ("few_neighbours",) if votes < rule.min_neighbours else ()
    top, best = shares[0]
    if len(shares) > 1 and best - shares[1][1] <= rule.margin:
        return "review", (*few, "tie")
    if few:
        return "review", (*few, "label_leads" if top == label else "other_label_leads")
    if top == label:
        settled = score >= rule.accept
        return ("accept", ("label_leads",)) if settled else ("review", ("weak_majority",))
    absent = ("label_absent",) if not score else ()
    if best >= rule.accept:
        return "reject", ("other_label_leads", *absent)
    return "review", ("weak_majority", "other_label_leads", *absent)

"""Thresholds for verdicts, from labelled records: how often right, how often decided.

Each record of a sample is judged by its neighbours as if it were not there, with the rules that
the functions use (`vector_common.search`), for every threshold of a grid.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from vector_common.errors import BadRequest, Conflict
from vector_common.search.labels import LabelRule, judge_label, normalised
from vector_common.search.merchants import MatchRule, match_merchant
from vector_common.search.neighbours import MOST, Neighbour, similarity, widened

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from chroma_store.server.client import ChromaHttp

    Rows = list[tuple[str, float | None]]

Kind = Literal["labels", "merchants"]

GRID = tuple(n / 100 for n in range(30, 100, 5))
"""Similarities that are tried: `minSimilarity` of labels, `match` of merchants."""

SHARES = (0.5, 0.6, 0.7, 0.8, 0.9)
"""What is tried for `accept` of labels."""

LEAST = 20
"""Records that must be decided before a share of them says something."""

_PAGE = 1000
_QUERIES = 50
_NORMAL = 1.96
"""Of a two-sided interval of 95 %."""


@dataclass(frozen=True, slots=True)
class Point:
    """What one choice of thresholds leads to.

    Attributes:
        threshold: `minSimilarity`, or `match`.
        accept: `accept` for labels, else None.
        decided: Records for which the rule settles on a label or merchant.
        right: Those of them for which it is the record's own.
        asked: All of the sample.
    """

    threshold: float
    accept: float | None
    decided: int
    right: int
    asked: int

    @property
    def precision(self) -> float:
        """Share of the decisions that are right."""
        return self.right / self.decided if self.decided else 0.0

    @property
    def coverage(self) -> float:
        """Share of the records that are decided, and not left to a person."""
        return self.decided / self.asked

    @property
    def at_least(self) -> float:
        """Lower end of the 95 % interval of the precision (Wilson's score)."""
        if not self.decided:
            return 0.0
        n, p, z = self.decided, self.precision, _NORMAL
        middle = p + z * z / (2 * n)
        return (middle - z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))) / (1 + z * z / n)

    def document(self) -> dict[str, object]:
        """As `vectors calibrate` prints it."""
        return {
            "threshold": self.threshold,
            **({} if self.accept is None else {"accept": self.accept}),
            "precision": round(self.precision, 4),
            "precisionAtLeast": round(self.at_least, 4),
            "coverage": round(self.coverage, 4),
            "right": self.right,
            "decided": self.decided,
        }


@dataclass(frozen=True, slots=True)
class TrialReport:
    """What the sample says of thresholds.

    Attributes:
        kind: Of which function they are.
        labelled: Records of the collection that have a label.
        names: Different labels, or merchants, among them.
        points: All choices that were tried.
        proposal: The one with most coverage among those of the wanted precision; None if no choice
            reaches it.
    """

    kind: Kind
    labelled: int
    names: int
    points: tuple[Point, ...]
    proposal: Point | None

    def curve(self) -> tuple[Point, ...]:
        """The points of the proposal's `accept`, by threshold; without one, of the rule's own."""
        accept = self.proposal.accept if self.proposal else LabelRule.accept
        return tuple(p for p in self.points if p.accept is None or p.accept == accept)


def calibrate(
    server: ChromaHttp,
    collection: str,
    kind: Kind,
    key: str,
    *,
    precision: float,
    neighbours: int,
    sample: int,
) -> TrialReport:
    """Try thresholds on labelled records of a collection.

    Args:
        server: Where it is.
        collection: Its name.
        kind: For which function.
        key: Metadata key that holds a record's label or merchant.
        precision: That decisions shall have.
        neighbours: As the function is asked for.
        sample: How many records to judge; chosen by a seed, so that it is the same every time.

    Raises:
        NotFound: There is no such collection.
        Conflict: Its space is not cosine.
        BadRequest: It has no two records with such a key.
    """
    identifier = server.find(collection)
    info = next(info for info in server.collections() if info.name == collection)
    if info.space != "cosine":
        raise Conflict(
            f"collection {collection}: calculates {info.space}, where thresholds mean nothing; "
            "`vectors rebuild --space cosine` changes it"
        )
    metadatas = dict(_metadatas(server, identifier))
    labels = {i: str(m[key]) for i, m in metadatas.items() if m.get(key) is not None}
    if len(labels) < 2:
        raise BadRequest(f"collection {collection}: no two records have the metadata key {key!r}")
    chosen = random.Random(0).sample(sorted(labels), min(sample, len(labels)))
    around = _Collection(server, identifier, metadatas).neighbours(chosen, neighbours)
    judged = [(labels[record], found) for record, found in around]
    points = tuple(_labels(judged, key) if kind == "labels" else _merchants(judged, key))
    same = normalised if kind == "labels" else str
    return TrialReport(
        kind, len(labels), len({same(n) for n in labels.values()}), points, _best(points, precision)
    )


def _metadatas(server: ChromaHttp, collection: str) -> Iterator[tuple[str, Mapping[str, object]]]:
    offset = 0
    while (page := server.page(collection, offset, _PAGE, include=("metadatas",)))["ids"]:
        for record, metadata in zip(page["ids"], page["metadatas"], strict=True):
            yield record, metadata or {}
        offset += len(page["ids"])


@dataclass(frozen=True)
class _Collection:
    """A collection, and how the functions would find a record's neighbours in it."""

    server: ChromaHttp
    id: str
    metadatas: Mapping[str, Mapping[str, object]]

    def neighbours(self, chosen: list[str], count: int) -> Iterator[tuple[str, list[Neighbour]]]:
        """Each record's neighbours, without itself."""
        for start in range(0, len(chosen), _QUERIES):
            page = self.server.records(self.id, chosen[start : start + _QUERIES])
            answers = self.server.nearest(self.id, page["embeddings"], min(count + 2, MOST))
            for record, vector, rows in zip(page["ids"], page["embeddings"], answers, strict=True):
                yield record, self._of(record, vector, rows, count)

    def _of(self, record: str, vector: list[float], first: Rows, count: int) -> list[Neighbour]:
        def find(most: int) -> list[Neighbour]:
            # One more than asked for: the record itself is among them.
            enough = most + 1 <= len(first)
            rows = first if enough else self.server.nearest(self.id, [vector], most + 1)[0]
            found = [
                Neighbour(other, far, similarity(far, "cosine"), self.metadatas.get(other, {}))
                for other, far in rows
                if other != record and far is not None
            ]
            return sorted(found, key=lambda n: (n.distance, n.id))[:most]

        return widened(find, count)


def _labels(judged: list[tuple[str, list[Neighbour]]], key: str) -> Iterator[Point]:
    for threshold in GRID:
        for accept in SHARES:
            rule = replace(LabelRule(), min_similarity=threshold, accept=accept)
            decided = right = 0
            for label, found in judged:
                verdict = judge_label(label, found, key, rule).verdict
                # A rejected label is a decision for another one.
                decided += verdict != "review"
                right += verdict == "accept"
            yield Point(threshold, accept, decided, right, len(judged))


def _merchants(judged: list[tuple[str, list[Neighbour]]], key: str) -> Iterator[Point]:
    for threshold in GRID:
        rule = replace(MatchRule(), match=threshold, candidate=min(MatchRule.candidate, threshold))
        merchants = [
            (own, match_merchant((("", n) for n in found), key, rule).merchant)
            for own, found in judged
        ]
        decided = sum(merchant is not None for _, merchant in merchants)
        right = sum(own == merchant for own, merchant in merchants)
        yield Point(threshold, None, decided, right, len(judged))


def _best(points: tuple[Point, ...], precision: float) -> Point | None:
    good = [p for p in points if p.decided >= LEAST and p.precision >= precision]
    # Of equal coverage the strictest: it costs nothing here, and is safer elsewhere.
    return max(good, key=lambda p: (p.decided, p.threshold, p.accept or 0), default=None)

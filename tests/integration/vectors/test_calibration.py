"""Thresholds from labelled records of a real Chroma, compared with exact search."""

from __future__ import annotations

import math
import random
from typing import TYPE_CHECKING

import pytest
from chroma_store.calibration import calibrate
from chroma_store.server.client import ChromaHttp
from chroma_store.server.process import ChromaProcess
from vector_common.errors import BadRequest, Conflict
from vector_common.records import CollectionSpec, parse_records

if TYPE_CHECKING:
    from pathlib import Path

SPEC = CollectionSpec("labels", 8, "cosine")


def test_each_record_is_judged_by_the_others(tmp_path: Path) -> None:
    """Merchants by the nearest other record, which an exact search finds as well."""
    rng = random.Random(3)
    centres = [[rng.gauss(0, 1) for _ in range(8)] for _ in range(6)]
    vectors, names = {}, {}
    for number in range(150):
        near = [x + rng.gauss(0, 0.6) for x in centres[number % 6]]
        vectors[f"r{number}"], names[f"r{number}"] = near, f"shop{number % 6}"
    records = [
        {"id": i, "embedding": v, "metadata": {"merchant": names[i]}} for i, v in vectors.items()
    ]
    (tmp_path / "data").mkdir()
    with ChromaProcess(tmp_path / "data") as server:
        http = ChromaHttp(server.base_url)
        collection, _ = http.ensure(SPEC)
        parsed = parse_records(records, SPEC)
        http.upsert(collection, parsed, [record.metadata for record in parsed])
        found = calibrate(
            http, "labels", "merchants", "merchant", precision=0.8, neighbours=20, sample=150
        )
        with pytest.raises(BadRequest, match="no two records have the metadata key 'label'"):
            calibrate(http, "labels", "labels", "label", precision=0.8, neighbours=5, sample=9)
        http.ensure(CollectionSpec("other", 8, "l2"))
        with pytest.raises(Conflict, match="calculates l2"):
            calibrate(http, "other", "labels", "label", precision=0.8, neighbours=5, sample=9)
    assert (found.labelled, found.names) == (150, 6)
    for point in found.points:
        decided = right = 0
        for own, vector in vectors.items():
            best: dict[str, float] = {}
            for other, there in vectors.items():
                if other != own:
                    best[names[other]] = max(best.get(names[other], -1), cosine(vector, there))
            (first, score), (_, second) = sorted(best.items(), key=lambda one: -one[1])[:2]
            if score >= point.threshold and score - second > 0.02:
                decided += 1
                right += first == names[own]
        assert (point.decided, point.right) == (decided, right), point.threshold
    good = [p for p in found.points if p.decided >= 20 and p.precision >= 0.8]
    assert found.proposal in good
    assert found.proposal.coverage == max(p.coverage for p in good)
    assert found.proposal.at_least < found.proposal.precision < 1


def cosine(a: list[float], b: list[float]) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True)) / (math.hypot(*a) * math.hypot(*b))

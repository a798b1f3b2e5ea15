"""Thresholds from labelled records, with an exact search in memory."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pytest
from chroma_store import calibration
from chroma_store.calibration import LEAST, Point, TrialReport, calibrate
from vector_common.errors import BadRequest, Conflict

from tests.unit.vectors.fake_chroma import FakeChroma

if TYPE_CHECKING:
    from chroma_store.calibration import Kind


def point(**changes: Any) -> Point:
    settled: dict[str, Any] = {"threshold": 0.7, "accept": 0.6, "decided": 40, "right": 30}
    return Point(**(settled | {"asked": 80} | changes))


def direction(degrees: float) -> list[float]:
    return [math.cos(math.radians(degrees)), math.sin(math.radians(degrees))]


def shops(count: int) -> FakeChroma:
    """Return pairs of near records: of one shop each, but for the first pair, which is of two."""
    chroma = FakeChroma()
    names = {f"r{n:02}": f"shop{n // 2 if n > 1 else n + 100}" for n in range(count)}
    chroma.put(
        "c",
        {one: direction(14 * (n // 2) + n % 2) for n, one in enumerate(names)},
        metadatas={one: {"shop": name} for one, name in names.items()},
    )
    return chroma


def trial(chroma: FakeChroma, kind: Kind = "merchants", **changes: Any) -> TrialReport:
    settled: dict[str, Any] = {"precision": 0.8, "neighbours": 3, "sample": 100}
    return calibrate(chroma.http, "c", kind, "shop", **(settled | changes))


def test_a_choice_is_told_with_the_lower_end_of_its_interval() -> None:
    assert (point().precision, point().coverage) == (0.75, 0.5)
    assert point().at_least == pytest.approx(0.598, abs=0.001)
    assert point().document() == {
        "threshold": 0.7,
        "accept": 0.6,
        "precision": 0.75,
        "precisionAtLeast": 0.5981,
        "coverage": 0.5,
        "right": 30,
        "decided": 40,
    }
    none = point(accept=None, decided=0, right=0)
    assert (none.precision, none.at_least, none.coverage) == (0.0, 0.0, 0.0)
    assert "accept" not in none.document()


def test_the_choice_with_most_coverage_of_those_precise_enough_is_proposed() -> None:
    few = point(decided=LEAST - 1, right=LEAST - 1)
    least = point(decided=LEAST, right=LEAST)
    exact, wrong = point(right=32), point(decided=60, right=47)
    assert calibration._best((few, wrong), 0.8) is None
    assert calibration._best((few, least, wrong), 0.8) == least
    assert calibration._best((least, exact, wrong), 0.8) == exact
    strict, stricter = point(right=32, threshold=0.9), point(right=32, threshold=0.9, accept=0.7)
    assert calibration._best((stricter, strict, exact), 0.8) == stricter
    assert calibration._best((strict, stricter), 0.8) == stricter
    loose, own = point(right=32, accept=None), point(right=32, accept=None, threshold=0.8)
    assert calibration._best((own, loose), 0.8) == own


def test_the_curve_is_of_the_proposal_or_of_the_rule() -> None:
    six, seven = point(accept=0.6), point(accept=0.7)
    assert TrialReport("labels", 9, 2, (six, seven), seven).curve() == (seven,)
    assert TrialReport("labels", 9, 2, (six, seven), None).curve() == (six,)
    without = point(accept=None)
    assert TrialReport("merchants", 9, 2, (without,), without).curve() == (without,)


@pytest.mark.parametrize("sample", [50, 22])
def test_merchants_are_found_by_their_nearest_other_record(sample: int) -> None:
    report = trial(shops(50), sample=sample)
    assert (report.kind, report.labelled, report.names) == ("merchants", 50, 26)
    assert {one.asked for one in report.points} == {sample}
    strictest = report.points[-1]
    assert strictest.decided == sample
    assert strictest.right >= sample - 2
    assert report.proposal == strictest
    if sample == 50:
        assert strictest.right == 48


def test_labels_are_judged_by_every_threshold_and_share() -> None:
    chroma = FakeChroma()
    names = {f"r{n:02}": ("Red", "red ", "blue")[n % 3] for n in range(30)}
    chroma.put(
        "c",
        {one: direction(n % 3 // 2 * 80 + n / 100) for n, one in enumerate(names)},
        metadatas={one: {"shop": name} for one, name in names.items()} | {"r29": None},
    )
    report = trial(chroma, "labels", neighbours=4)
    assert (report.labelled, report.names) == (29, 2)
    assert len(report.points) == len(calibration.GRID) * len(calibration.SHARES)
    assert all(one.decided == one.right == 29 for one in report.points)


def test_records_whose_distance_is_not_finite_are_no_neighbours(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    chroma = shops(50)
    nearest = chroma.http.nearest

    def far(*said: Any) -> Any:
        return [[*row[:-1], (row[-1][0], None)] for row in nearest(*said)]

    monkeypatch.setattr(chroma.http, "nearest", far)
    assert trial(chroma).points[-1].right == 48


def test_a_search_is_widened_where_more_are_as_near_as_the_last(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    chroma = FakeChroma()
    chroma.put("c", {f"r{n:02}": [1.0, 0.0] for n in range(9)})
    identifier = chroma.collections["c"]["id"]
    around = calibration._Collection(chroma.http, identifier, {})
    widths: list[int] = []
    nearest = chroma.http.nearest

    def told(collection: str, vectors: Any, count: int) -> Any:
        widths.append(count)
        return nearest(collection, vectors, count)

    monkeypatch.setattr(chroma.http, "nearest", told)
    ((record, found),) = around.neighbours(["r03"], 2)
    assert (record, sorted(one.id for one in found)) == (
        "r03",
        [f"r{n:02}" for n in range(9) if n != 3],
    )
    assert widths[0] == 4
    assert widths[-1] > 8
    chroma.put("d", {f"r{n:02}": direction(9 * n) for n in range(9)})
    widths.clear()
    around = calibration._Collection(chroma.http, chroma.collections["d"]["id"], {})
    ((_, near),) = around.neighbours(["r00"], 1)
    assert widths == [3]
    assert [one.id for one in near] == ["r01"]


def test_what_cannot_be_calibrated_is_refused() -> None:
    chroma = shops(4)
    chroma.put("other", {"a": [1.0]}, configuration={"hnsw": {"space": "l2"}})
    with pytest.raises(Conflict, match="collection other: calculates l2"):
        calibrate(chroma.http, "other", "labels", "shop", precision=1, neighbours=2, sample=9)
    with pytest.raises(BadRequest, match="no two records have the metadata key 'size'"):
        calibrate(chroma.http, "c", "labels", "size", precision=1, neighbours=2, sample=9)
    one, two = FakeChroma(), FakeChroma()
    one.put("c", {"a": [1.0], "b": [1.0]}, metadatas={"a": {"shop": "x"}})
    with pytest.raises(BadRequest, match="no two records"):
        trial(one)
    two.put("c", {"a": [1.0], "b": [1.0]}, metadatas={"a": {"shop": "x"}, "b": {"shop": "x"}})
    assert trial(two).labelled == 2

"""Medians, percentiles and what a budget is compared with."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from layersmith.prove.cold import text
from layersmith.prove.cold.importtime import ImportTree
from layersmith.prove.cold.models import (
    BytecodeCost,
    Calibration,
    ColdStartReport,
    Kind,
    Sample,
    Spread,
    Variant,
    percentile,
)
from layersmith.prove.cold.run import over_budget
from layersmith.prove.models import RunnerFacts

TIMES = st.lists(st.floats(min_value=0, max_value=1e6), min_size=1, max_size=50)


@given(TIMES, st.floats(min_value=0.01, max_value=1))
def test_a_percentile_is_a_sample_and_enough_are_not_above_it(
    values: list[float], share: float
) -> None:
    found = percentile(values, share)
    assert found in values
    assert sum(value <= found for value in values) >= share * len(values) - 1e-9


@pytest.mark.parametrize(("count", "expected"), [(1, 1), (10, 9), (11, 10), (20, 18)])
def test_p90_is_the_nearest_rank(count: int, expected: int) -> None:
    assert percentile(list(range(1, count + 1)), 0.9) == expected


def test_spread() -> None:
    found = Spread.of([5.0, 1.0, 3.0])
    assert (found.median, found.p90, found.low, found.high) == (3.0, 5.0, 1.0, 5.0)


def samples(*totals: float) -> list[Sample]:
    return [Sample(init_ms=t - 10, import_ms=1, call_ms=10, peak_memory=int(t)) for t in totals]


def report(
    total: float,
    budget: float | None,
    *,
    kind: Kind = "measurement",
    factor: float | None = None,
) -> ColdStartReport:
    layer = Variant.of("layer", 1000, samples(total, total, total))
    return ColdStartReport(
        identifier="x-python3.13-arm64",
        runtime="python3.13",
        architecture="arm64",
        sha256="0" * 64,
        kind=kind,
        runner=RunnerFacts(kind="docker", runtime="python3.13", architecture="arm64"),
        starts=3,
        variants=[layer],
        calibration=Calibration(workload="w", emulated_ms=factor, native_ms=1, factor=factor)
        if factor
        else None,
        judged_ms=total / (factor or 1),
        budget_ms=budget,
    )


def test_total_is_init_and_first_call() -> None:
    found = Variant.of("layer", 0, samples(100, 300, 200))
    assert found.total.median == 200
    assert found.call.median == 10
    assert found.peak_memory == 300


def test_within_the_budget() -> None:
    assert over_budget(report(2999, 3000)) is None


def test_no_budget_is_never_exceeded() -> None:
    assert over_budget(report(1e9, None)) is None


def test_over_the_budget_is_exit_code_7_and_says_what_kind_of_number_it_is() -> None:
    error = over_budget(report(60_000, 3000, kind="estimate", factor=10))
    assert error is not None
    assert error.exit_code == 7
    assert "estimated from emulation" in str(error)
    assert "6,000 ms" in str(error)


def test_an_estimate_is_judged_after_division() -> None:
    assert over_budget(report(60_000, 3000, kind="estimate", factor=25)) is None


@pytest.mark.parametrize(
    ("gain", "words"),
    [
        (1234.4, "the layer starts 1,234 ms sooner than without"),
        (-5, "the layer starts 5 ms later than without"),
        (None, "its gain was not measured"),
    ],
)
def test_the_text_says_what_bytecode_takes_and_gives(
    gain: float | None, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    cost = BytecodeCost(zipped=1_200_000, unzipped=3_400_000, gain_ms=gain)
    made = report(100, None).model_copy(update={"bytecode": cost})
    tree = ImportTree(identifier="x", runner="y", total_us=0, by_distribution={}, roots=[])
    text.show(made, tree)
    said = " ".join(capsys.readouterr().out.split())
    assert f"bytecode: 1.20 MB of the zip, 3.40 MB unzipped; {words}" in said

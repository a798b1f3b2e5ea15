"""Medians, percentiles and what a budget is compared with."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from layersmith.prove.cold import bill, text
from layersmith.prove.cold.importtime import Import, ImportTree
from layersmith.prove.cold.models import (
    BytecodeCost,
    Calibration,
    ColdStartReport,
    InitPhases,
    Kind,
    Ratio,
    Sample,
    Spread,
    Variant,
    percentile,
)
from layersmith.prove.cold.run import over_budget, over_price
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


def test_a_ratio_is_that_of_starts_of_one_round() -> None:
    new = Variant.of("layer", 0, samples(60, 600, 90))
    old = Variant.of("before", 0, samples(50, 400, 100))
    found = Ratio.of(new, old)
    # A busy round makes both slower; the ratio of the medians would be 0.9.
    assert found.text == "1.20 (0.90-1.50)"
    assert found.init.high == 1.51


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


PRICE = bill.Price(0.00001, "USD", "2026-11-21")


@pytest.mark.parametrize(
    ("memory", "cpu_ms", "expected"),
    [
        (1769, 80, 100),  # as measured
        (10_240, 80, 100),  # one thread uses one processor
        (884.5, 80, 180),  # half a processor: 80 ms of work take 160
        (884.5, 0, 100),  # waiting takes no longer
        (884.5, None, 200),
        (884.5, 300, 200),  # threads that worked at once do not count more than the time itself
    ],
)
def test_less_memory_makes_work_slower_and_waiting_not(
    memory: float, cpu_ms: float | None, expected: float
) -> None:
    assert bill.at(100, cpu_ms, memory) == pytest.approx(expected)  # type: ignore[arg-type]


def test_a_million_cold_starts_are_billed_by_started_milliseconds_and_memory() -> None:
    sample = Sample(init_ms=99.2, import_ms=1, call_ms=0.9, init_cpu_ms=0, call_cpu_ms=0)
    variant = Variant.of("layer", 0, [sample, sample])
    found = bill.billed(variant, 512, PRICE)
    # 0.101 s x 0.5 GB x a million x 0.00001
    assert found.million.median == pytest.approx(0.51, abs=0.005)
    assert found.init_ms == 99.2
    assert bill.billed(variant, 512, PRICE, factor=10).million.median == pytest.approx(0.06, 0.1)


def node(module: str, self_us: int, *children: Import, of: str | None = None) -> Import:
    total = self_us + sum(child.cumulative_us for child in children)
    return Import(
        module=module,
        self_us=self_us,
        cumulative_us=total,
        distribution=of,
        children=list(children),
    )


def test_init_is_split_into_runtime_layer_and_the_function_itself() -> None:
    numpy = node("numpy", 300, node("numpy.core", 100, node("pickle", 50)), of="numpy")
    client = node("chroma.api", 200, node("ssl", 150), of="chroma")
    function = node(bill.FUNCTION, 50, node("json", 100, numpy), client, node("csv", 50))
    roots = [node("site", 500), node("layersmith_cold", 10, function)]
    samples = [Sample(init_ms=300, import_ms=200, call_ms=1)]
    found = bill.phases(Variant.of("layer", 0, samples), roots)
    assert found is not None
    # Of 1,000 us below the function numpy has 450 and chroma 350; 200 are the function's.
    assert found.modules == {"numpy": 90, "chroma": 70}
    assert (found.runtime_ms, found.layer_ms, found.own_ms) == (100, 160, 40)
    assert bill.phases(Variant.of("layer", 0, samples), [node("site", 1)]) is None


def test_a_price_over_its_budget_is_exit_code_7() -> None:
    dear = report(100, None).model_copy(update={"judged_price": 8.0, "currency": "USD"})
    assert over_price(dear) is None
    dear = dear.model_copy(update={"budget_price": 7.5})
    error = over_price(dear)
    assert error is not None
    assert error.exit_code == 7
    assert "8.00 USD at 1,769 MB" in error.message
    assert not dear.within
    assert over_price(dear.model_copy(update={"budget_price": 8.5})) is None


def test_the_text_has_phases_and_prices(capsys: pytest.CaptureFixture[str]) -> None:
    made = report(100, None)
    known = {
        "billed": [bill.billed(made.variants[0], 512, PRICE)],
        "phases": InitPhases(runtime_ms=5, layer_ms=80, own_ms=1, modules={"PIL": 80}),
        "currency": "USD",
        "priced": "2026-11-21",
    }
    tree = ImportTree(identifier="x", runner="y", total_us=0, by_distribution={}, roots=[])
    text.show(made.model_copy(update=known), tree)
    said = " ".join(capsys.readouterr().out.split())
    assert "the runtime 5, imports of the layer 80 (PIL 80), the function's own 1" in said
    assert "in USD at the prices of 2026-11-21, without requests" in said

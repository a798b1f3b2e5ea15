"""Which store fits a workload, and what a month of it costs."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, date, datetime
from itertools import pairwise

import pytest
from layersmith import cli
from layersmith.ship.cost import billing, vectors
from layersmith.ship.cost.vectors import Workload

from tests.support.envelopes import data_of, validator

SMALL = Workload(100_000, 384, 30_000)
PRICES = billing.load()


def test_an_index_costs_what_the_price_list_says() -> None:
    """AWS's own example: 40 indexes of 250,000 vectors of 1,024 dimensions, 1 million queries."""
    work = Workload(250_000, 1024, 1_000_000, record_bytes=1_198)
    [index] = [one for one in vectors.plan(work, PRICES) if one.store == "s3vectors"]
    costs = {one.key: one.cost for one in index.items}
    queries = sum(cost for key, cost in costs.items() if "query" in key or "processed" in key)
    assert queries == pytest.approx(5.87, abs=0.005)


def test_vectors_beyond_ten_millions_cost_a_fifth() -> None:
    def processed(count: int) -> float:
        work = Workload(count, 1024, 1_000_000, record_bytes=1_198)
        [index] = [one for one in vectors.plan(work, PRICES) if one.store == "s3vectors"]
        return sum(one.cost for one in index.items if "processed" in one.key)

    millions = [processed(number * 1_000_000) for number in (9, 10, 11, 12)]
    steps = [after - before for before, after in pairwise(millions)]
    assert steps[1:] == pytest.approx([steps[0] / 5] * 2)


@pytest.mark.parametrize(
    ("work", "best"),
    [
        (SMALL, "s3vectors"),
        (replace(SMALL, sessions=300), "file"),
        (replace(SMALL, vectors=10_000_000), "s3vectors"),
        (replace(SMALL, queries=100_000, sessions=10), "session"),
        (replace(SMALL, vectors=3_000_000, space="ip", sessions=300), "session"),
        (replace(SMALL, vectors=3_000_000, top=200, sessions=300), "session"),
        (replace(SMALL, latency=6, sessions=300), "session"),
        (replace(SMALL, latency=50), "file"),
        (replace(SMALL, vectors=1_000_000, dimensions=6000, sessions=300), "session"),
        (replace(SMALL, vectors=3_000_000, latency=20), None),
    ],
)
def test_the_store_that_fits_is_recommended(work: Workload, best: str | None) -> None:
    plans = vectors.plan(work, PRICES)
    assert {one.store for one in plans} == {"file", "s3vectors", "session"}
    assert (None if plans[0].misfits else plans[0].store) == best
    assert vectors.reason(work, plans)
    fitting = [one for one in plans if not one.misfits]
    assert plans[: len(fitting)] == fitting


def test_every_price_has_a_source_and_every_one_is_used() -> None:
    keys = {
        one.key
        for work in (SMALL, replace(SMALL, vectors=11_000_000, sessions=3))
        for plan in vectors.plan(work, PRICES)
        for one in plan.items
    }
    assert keys | {"s3vectors-put-gb"} >= {key for key in PRICES.table if "s3vectors" in key}


def test_every_time_has_a_source_and_a_date() -> None:
    known = json.loads(vectors.TIMES.read_text("utf-8"))["stores"]
    assert known.keys() == {one.store for one in vectors.plan(SMALL, PRICES)}
    for one in vectors.plan(SMALL, PRICES):
        times = known[one.store]
        assert (one.first_ms, one.warm_ms) == (times["first"]["ms"], times["warm"]["ms"])
        for time in times.values():
            assert date.fromisoformat(time["date"]) <= datetime.now(UTC).date()
            assert f"{time['source']}, {time['date']}" in vectors.times().sources


def test_a_bill_names_the_other_stores_unless_a_session_was_right() -> None:
    use = billing.Use(13, 60.0, 1.0, 4.0, 2, 1.0)
    said = vectors.elsewhere(use, 100, PRICES)
    assert said
    assert said.startswith("100 queries of 100,000 vectors without a session: 0.000")
    assert vectors.elsewhere(use, 5_000, PRICES) is None
    assert vectors.elsewhere(use, 0, PRICES) is None


def test_the_verb_prints_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    command = ["vectors", "plan", "--vectors", "100000", "--dimensions", "384"]
    assert cli.main([*command, "--queries", "30000"]) == 0
    said = capsys.readouterr()
    for word in ("file", "s3vectors", "session", PRICES.date, "recommended: s3vectors"):
        assert word in said.out
    assert "prices.json" in said.err
    assert cli.main([*command, "--queries", "30000", "--json"]) == 0
    data = data_of(capsys.readouterr().out)
    validator("vectors-plan").validate(data)
    assert data["recommended"] == "s3vectors"
    assert data["stores"][0]["items"][0]["key"] == "s3vectors-storage-gb-month"
    assert cli.main(command) == 2
    assert "--queries" in capsys.readouterr().err

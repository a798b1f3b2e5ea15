"""The factor of every bound on time in the tests, and their waits."""

from __future__ import annotations

import math

import pytest

from tests.support import clocks


@pytest.mark.parametrize(
    ("measured", "expected"),
    [
        ((0.5, 0.9), 1.0),
        ((1.0,), 1.0),
        ((2.5, 0.9), 2.5),
        ((0.9, 3.0), 3.0),
        ((1000.0, 1.0), clocks.LARGEST),
        ((math.inf,), clocks.LARGEST),
    ],
)
def test_the_factor_is_the_largest_of_what_was_measured_within_bounds(
    measured: tuple[float, ...], expected: float
) -> None:
    assert clocks.scale(*measured) == expected


def test_a_bound_is_scaled_and_never_shortened(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clocks, "factor", lambda: 2.1)
    assert clocks.seconds(10) == 21
    assert clocks.whole(3) == 7
    assert clocks.whole(3, most=5) == 5


def test_the_factor_is_that_of_what_is_slower(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clocks, "_work", lambda: 2 * clocks.QUIET_WORK_SECONDS)
    monkeypatch.setattr(clocks, "_start", lambda: 4 * clocks.QUIET_START_SECONDS)
    assert clocks.factor.__wrapped__() == 4


def test_a_wait_ends_with_its_event_or_says_what_did_not_happen(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(clocks, "factor", lambda: 1.0)
    answers = iter([False, False, True])
    clocks.wait(lambda: next(answers), "three answers")
    assert next(answers, None) is None
    with pytest.raises(AssertionError, match="not in 0 s: a miracle"):
        clocks.wait(lambda: False, lambda: "a miracle", 0.01)

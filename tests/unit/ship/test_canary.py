from __future__ import annotations

import pytest
from layersmith.ship.publish import canary, canary_handler, uploads

from tests.unit.ship.makers import want


@pytest.mark.parametrize(
    ("body", "failed", "passed", "said"),
    [
        (b'{"failures": [], "imported": 2, "tests": 1}', None, True, "2 modules, 1 tests"),
        (b'{"failures": ["import x: no"], "imported": 0, "tests": 0}', None, False, "import x"),
        (b'{"errorMessage": "Task timed out"}', "Unhandled", False, "Task timed out"),
        (b"<html>", None, False, "answered"),
        (b"null", None, False, "failed"),
    ],
)
def test_the_canary_is_judged_by_its_answer(
    body: bytes, failed: str | None, passed: bool, said: str
) -> None:
    verdict = canary.judge(body, failed)
    assert verdict.passed is passed
    assert said in verdict.detail


def test_the_handler_imports_and_says_what_failed() -> None:
    answer = canary_handler.handler({"modules": ["json", "not_there"], "smoke": False}, None)
    assert answer["imported"] == 1
    assert answer["failures"] == [
        "import not_there: ModuleNotFoundError: No module named 'not_there'"
    ]


def test_canary_names_fit_and_differ() -> None:
    long = [canary.function_name(want(name="x" * 100 + end)) for end in ("a", "b")]
    assert len(set(long)) == 2
    assert all(len(name) <= canary.FUNCTION_NAME_LIMIT for name in long)
    assert canary.function_zip(None) == canary.function_zip(None)
    assert uploads.placeholder_zip() == uploads.placeholder_zip()

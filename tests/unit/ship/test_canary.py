from __future__ import annotations

import io
import json
import sys
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import WaiterError
from layersmith.errors import ShipError
from layersmith.ship.aws.failures import AwsFailure
from layersmith.ship.publish import canary, canary_handler, uploads

from tests.unit.ship.fakes import FakeAws, refusal
from tests.unit.ship.makers import want

if TYPE_CHECKING:
    from pathlib import Path


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


def proven(aws: FakeAws, **changes: Any) -> canary.CanaryVerdict:
    double: Any = aws
    return canary.prove(double, "eu-west-1", want(modules=("alpha",), **changes), "arn:layer")


def said(body: bytes, **more: Any) -> list[Any]:
    return [{"Payload": io.BytesIO(body), **more}]


def test_the_function_is_made_invoked_once_and_removed() -> None:
    aws = FakeAws(
        invoke=said(b'{"failures": [], "imported": 1, "tests": 0, "skipped": "it needs pytest"}'),
        delete_function=[refusal("ResourceNotFoundException"), {}],
    )
    verdict = proven(aws)
    assert (verdict.passed, verdict.detail) == (
        True,
        "1 modules, 0 tests, smoke test skipped: it needs pytest",
    )
    assert aws.names() == [
        "delete_function",
        "create_function",
        "function_active_v2",
        "invoke",
        "delete_function",
    ]
    (made,) = aws.asked("create_function")
    assert made["Role"] == "arn:aws:iam::123456789012:role/layersmith-canary"
    assert (made["Layers"], made["Runtime"]) == (["arn:layer"], "python3.13")
    assert json.loads(aws.asked("invoke")[0]["Payload"]) == {"modules": ["alpha"], "smoke": False}


def test_layers_beside_lie_below_in_their_newest_version() -> None:
    arn = "arn:aws:lambda:eu-west-1:123456789012:layer:odbc:"
    pages = [{"LayerVersions": [{"Version": n, "LayerVersionArn": f"{arn}{n}"} for n in (9, 10)]}]
    passes = said(b'{"failures": [], "imported": 1, "tests": 0}')
    aws = FakeAws(invoke=passes, list_layer_versions=[pages])
    assert proven(aws, beside=("odbc", "arn:foreign")).passed
    (made,) = aws.asked("create_function")
    assert made["Layers"] == [f"{arn}10", "arn:foreign", "arn:layer"]

    with pytest.raises(ShipError, match="odbc is not published in eu-west-1"):
        proven(FakeAws(list_layer_versions=[[{"LayerVersions": []}]]), beside=("odbc",))


def test_the_function_goes_whatever_happens() -> None:
    for broken in (
        FakeAws(create_function=[refusal("InvalidParameterValueException", "other")]),
        FakeAws(invoke=[refusal("ServiceException")]),
    ):
        with pytest.raises(AwsFailure):
            proven(broken)
        assert broken.names()[-1] == "delete_function"
    late = FakeAws(function_active_v2=[WaiterError("function_active_v2", "late", {})])
    with pytest.raises(ShipError, match="never became active"):
        proven(late)
    assert late.names()[-1] == "delete_function"
    role = refusal("InvalidParameterValueException", "The role cannot be assumed by Lambda.")
    with pytest.raises(ShipError, match="cannot be assumed"):
        proven(FakeAws(create_function=[role]))
    with pytest.raises(AwsFailure):
        proven(FakeAws(delete_function=[refusal("AccessDeniedException")]))


def test_a_name_is_cut_only_where_it_is_too_long() -> None:
    fits = "x" * (canary.FUNCTION_NAME_LIMIT - len("canary-"))
    assert canary.function_name(want(name=fits)) == f"canary-{fits}"
    assert canary.function_name(want(name=f"{fits}x")) != f"canary-{fits}x"


def test_a_managed_layer_is_used_where_its_arn_is_of_the_region() -> None:
    here, there = (f"arn:aws:lambda:eu-{one}-1:336392948345:layer:P:5" for one in ("west", "south"))
    answer = b'{"failures": [], "imported": 1, "tests": 0}'
    aws = FakeAws(invoke=said(answer))
    assert proven(aws, managed=(here,)).detail == "1 modules, 0 tests"
    assert aws.asked("create_function")[0]["Layers"] == [here, "arn:layer"]
    aws = FakeAws(invoke=said(answer))
    verdict = proven(aws, managed=(here, there))
    assert verdict.detail.startswith(
        f"starts, and imports nothing: the ARN of {there} in eu-west-1"
    )
    assert json.loads(aws.asked("invoke")[0]["Payload"]) == {"modules": [], "smoke": False}


def test_the_handler_runs_the_functions_of_a_smoke_test_that_need_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "smoke_test.py").write_text(
        "test_data = 3\n"
        "def helper(): raise SystemExit('not a test')\n"
        "def test_fixture(tmp_path): raise SystemExit('needs pytest')\n"
        "def test_good(): assert True\n"
        "def test_bad(): raise ValueError('broken')\n",
        "utf-8",
    )
    answer = smoked(tmp_path, monkeypatch)
    assert (answer["tests"], answer["skipped"]) == (2, None)
    assert answer["failures"] == ["test_bad: ValueError: broken"]


@pytest.mark.parametrize(
    ("name", "failures", "skipped"),
    [
        ("pytest", [], "it needs pytest"),
        ("_pytest", [], "it needs pytest"),
        ("numpy", ["smoke test: ModuleNotFoundError: no"], None),
    ],
)
def test_only_a_missing_pytest_is_a_reason_to_skip(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    failures: list[str],
    skipped: str | None,
) -> None:
    text = f"raise ModuleNotFoundError('no', name={name!r})\n"
    (tmp_path / "smoke_test.py").write_text(text, "utf-8")
    answer = smoked(tmp_path, monkeypatch)
    assert (answer["failures"], answer["skipped"], answer["tests"]) == (failures, skipped, 0)


def smoked(folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Call the handler with a smoke test that lies in a folder."""
    monkeypatch.syspath_prepend(folder)
    monkeypatch.delitem(sys.modules, "smoke_test", raising=False)
    answer = canary_handler.handler({"modules": [], "smoke": True}, None)
    sys.modules.pop("smoke_test", None)
    return answer

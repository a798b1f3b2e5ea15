from __future__ import annotations

import base64
import json
import math
from typing import TYPE_CHECKING, Any

import pytest
from vector_common import errors
from vector_common.events import Fields, entrypoint

if TYPE_CHECKING:
    from collections.abc import Mapping


@entrypoint
def echo(event: Mapping[str, Any]) -> dict[str, Any]:
    """Answer with one checked field, or raise what is asked for."""
    fields = Fields(event)
    number, kind = fields.integer("number", 1, low=0, high=9), fields.text("raise", "")
    fields.check()
    if kind:
        raise getattr(errors, kind)("as asked")
    return {"number": number}


def http(body: str, *, encoded: bool = False) -> dict[str, Any]:
    return {"requestContext": {}, "body": body, "isBase64Encoded": encoded}


def test_a_direct_call_gets_the_result() -> None:
    assert echo({"number": 3}, None) == {"number": 3}


@pytest.mark.parametrize(
    ("raised", "named", "status"),
    [
        ("BadRequest", "BadRequest", 400),
        ("Unauthorized", "Unauthorized", 401),
        ("NotFound", "NotFound", 404),
        ("Conflict", "Conflict", 409),
        ("PreconditionFailed", "PreconditionFailed", 409),
        ("PayloadTooLarge", "PayloadTooLarge", 413),
        ("TooManyRequests", "ServerBusy", 503),
        ("Unavailable", "ServerBusy", 503),
        ("StoreError", "StorageBusy", 503),
        ("Damaged", "Damaged", 500),
    ],
)
def test_errors_have_the_names_that_state_machines_know(
    raised: str, named: str, status: int
) -> None:
    with pytest.raises(getattr(errors, named)) as caught:
        echo({"raise": raised}, None)
    assert type(caught.value).__name__ == named
    response = echo(http(json.dumps({"raise": raised})), None)
    assert response["statusCode"] == status
    assert json.loads(response["body"])["error"] == named
    assert ("Retry-After" in response["headers"]) == (status == 503)


def test_an_http_event_gets_a_response() -> None:
    response = echo(http('{"number": 3}'), None)
    assert (response["statusCode"], json.loads(response["body"])) == (200, {"number": 3})
    encoded = base64.b64encode(b'{"number": 4}').decode()
    assert json.loads(echo(http(encoded, encoded=True), None)["body"]) == {"number": 4}


@pytest.mark.parametrize("body", ["", "{", "[]", "null", '"x"'])
def test_an_http_body_that_is_no_object(body: str) -> None:
    assert echo(http(body), None)["statusCode"] == 400
    assert echo(http("%%%", encoded=True), None)["statusCode"] == 400


@pytest.mark.parametrize("event", [None, [], "x", 3])
def test_an_event_that_is_no_object(event: Any) -> None:
    with pytest.raises(errors.BadRequest):
        echo(event, None)


def test_all_problems_come_together() -> None:
    response = echo(http('{"number": 10, "raise": 7, "extra": 1}'), None)
    assert json.loads(response["body"])["problems"] == [
        "number: must be an integer of 0 to 9",
        "raise: must be a string of 1 to 512 characters",
        "extra: is not a field of this event",
    ]


@pytest.mark.parametrize("value", [True, "1", math.nan, math.inf, 1.5, -0.1, [], {}])
def test_what_is_no_number_within_bounds(value: Any) -> None:
    fields = Fields({"share": value})
    fields.number("share", low=0, high=1)
    with pytest.raises(errors.BadRequest):
        fields.check()


def test_a_field_that_is_missing_is_called_missing() -> None:
    fields = Fields({})
    fields.text("name")
    with pytest.raises(errors.BadRequest, match="name: is missing"):
        fields.check()


def test_an_answer_that_lambda_would_drop_is_an_error() -> None:
    """Lambda's limit is 6 MB; past it the caller would get an error that names no cause."""
    large = entrypoint(lambda _: {"data": "x" * 7_000_000})
    with pytest.raises(errors.PayloadTooLarge, match="7000012 bytes"):
        large({}, None)


def test_each_invocation_writes_one_metric_line(capsys: pytest.CaptureFixture[str]) -> None:
    echo({}, None)
    with pytest.raises(errors.Conflict):
        echo({"raise": "Conflict"}, None)
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(line["outcome"], line["Errors"]) for line in lines] == [("ok", 0), ("Conflict", 1)]
    for line in lines:
        metrics = line["_aws"]["CloudWatchMetrics"][0]
        assert all(isinstance(line[metric["Name"]], int | float) for metric in metrics["Metrics"])
        assert metrics["Dimensions"] == [["function"]]
        assert line["Duration"] >= 0


def test_an_error_of_the_code_is_not_hidden() -> None:
    broken = entrypoint(lambda _: 1 / 0)  # type: ignore[arg-type,return-value]
    with pytest.raises(ZeroDivisionError):
        broken({}, None)
    with pytest.raises(ZeroDivisionError):
        broken(http("{}"), None)

"""Single checks of a preflight: what they say, and what a denied read does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from layersmith.errors import ConfigError, ManyErrors, ShipError
from layersmith.ship.aws import failures, preflight
from layersmith.ship.aws.preflight import Findings

from tests.unit.ship.fakes import FakeAws, refusal

if TYPE_CHECKING:
    from collections.abc import Callable

REGION = "ap-east-1"
DENIED = [refusal("AccessDenied")]
QUOTA = {"Quota": {"QuotaName": "VPCs per Region", "Value": 5.0}}


def trust(service: str) -> list[Any]:
    statement = {"Effect": "Allow", "Principal": {"Service": [service]}}
    return [{"Role": {"AssumeRolePolicyDocument": {"Statement": [statement]}}}]


def role(report: Findings, aws: Any) -> None:
    preflight.check_role(report, aws, REGION, "r", service="lambda.amazonaws.com", hint="h")


def region(report: Findings, aws: Any) -> None:
    preflight.check_region(report, aws, REGION)


def quota(report: Findings, aws: Any) -> None:
    preflight.check_quota(report, aws, REGION, "vpc", "L-F678F1CE", needs=6)


@pytest.mark.parametrize(
    ("check", "answers", "said"),
    [
        (role, {"get_role": [refusal("NoSuchEntity")]}, "the role r does not exist"),
        (role, {"get_role": trust("states.amazonaws.com")}, "does not trust lambda.amazonaws.com"),
        (quota, {"get_service_quota": [QUOTA]}, "'VPCs per Region' is 5, and 6 are needed"),
        (
            region,
            {"describe_regions": [{"Regions": [{"OptInStatus": "not-opted-in"}]}]},
            "ap-east-1 is not enabled for this account",
        ),
    ],
)
def test_what_is_missing_is_a_problem(
    check: Callable[[Findings, Any], None], answers: dict[str, Any], said: str
) -> None:
    report = Findings()
    check(report, FakeAws(**answers))
    [problem] = report.problems
    assert said in str(problem)
    assert report.unread == []
    with pytest.raises(ShipError):
        report.refuse()


@pytest.mark.parametrize(
    ("check", "answers"),
    [
        (role, {"get_role": trust("lambda.amazonaws.com")}),
        (quota, {"get_service_quota": [{"Quota": {**QUOTA["Quota"], "Value": 6.0}}]}),
        (region, {"describe_regions": [{"Regions": [{"OptInStatus": "opted-in"}]}]}),
    ],
)
def test_what_is_there_is_none(
    check: Callable[[Findings, Any], None], answers: dict[str, Any]
) -> None:
    report = Findings()
    check(report, FakeAws(**answers))
    assert (report.problems, report.unread) == ([], [])


@pytest.mark.parametrize(
    ("check", "operation"),
    [(role, "get_role"), (quota, "get_service_quota"), (region, "describe_regions")],
)
def test_a_denied_read_is_said_and_stops_nothing(
    check: Callable[[Findings, Any], None], operation: str
) -> None:
    report = Findings()
    check(report, FakeAws(**{operation: DENIED}))
    assert report.problems == []
    [line] = report.unread
    assert "was not checked" in line
    report.refuse()


def test_expired_credentials_end_the_preflight() -> None:
    with pytest.raises(failures.AwsFailure):
        role(Findings(), FakeAws(get_role=[refusal("ExpiredToken")]))


@pytest.mark.parametrize("code", ["403", "AccessDenied"])
def test_a_bucket_that_may_belong_to_others_is_refused(code: str) -> None:
    """A denied read of it is no different from a bucket of others, so this one fails closed."""
    report = Findings()
    aws: Any = FakeAws(head_bucket=[refusal(code)])
    preflight.check_bucket(report, aws, REGION, "b")
    [problem] = report.problems
    assert "the bucket b cannot be used" in str(problem)
    assert aws.asked("head_bucket")[0]["ExpectedBucketOwner"] == "123456789012"


def test_a_bucket_that_is_missing_is_no_problem_by_itself() -> None:
    report = Findings()
    aws: Any = FakeAws(head_bucket=[refusal("404")])
    assert not preflight.check_bucket(report, aws, REGION, "b")
    assert report.problems == []


def test_several_problems_are_one_error() -> None:
    report = Findings([ConfigError("one"), ShipError("two")])
    with pytest.raises(ManyErrors) as raised:
        report.refuse()
    assert raised.value.code == ConfigError.exit_code
    assert "two" in str(raised.value)


@pytest.mark.parametrize(("needs", "fits"), [(1_000_000, True), (1_000_001, False)])
def test_zips_need_room_in_lambdas_code_storage(needs: int, fits: bool) -> None:
    said = {"AccountLimit": {"TotalCodeSize": 75_000_000}}
    used = {"AccountUsage": {"TotalCodeSize": 74_000_000}}
    aws: Any = FakeAws(get_account_settings=[said | used])
    report = Findings()
    preflight.check_code_storage(report, aws, REGION, needs=needs)
    assert (report.problems == []) is fits
    if not fits:
        assert "room for 1.0 MB, and 1.0 MB are needed" in str(report.problems[0])

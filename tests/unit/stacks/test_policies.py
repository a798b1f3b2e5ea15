"""Whether the tests' own judge of policies decides as IAM documents."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.policies import Call, Policies


def test_the_simulator_decides_as_iam_documents() -> None:
    allow = {"Effect": "Allow", "Action": "s3:Get*", "Resource": "arn:aws:s3:::b/*"}
    get = Call("s3:getobject", "arn:aws:s3:::b/k")
    assert Policies([allow]).allow(get)
    assert not Policies([allow]).allow(Call("s3:GetObject", "arn:aws:s3:::B/k"))
    assert not Policies([allow], []).allow(get)
    assert Policies([allow], [allow]).allow(get)
    deny = {"Effect": "Deny", "NotAction": "s3:PutObject", "Resource": "*"}
    assert not Policies([allow, deny]).allow(get)
    assert not Policies([allow], [allow, deny]).allow(get)
    others = {"Effect": "Deny", "Action": "*", "NotResource": "arn:aws:s3:::b/*"}
    assert Policies([allow, others]).allow(get)


@pytest.mark.parametrize(
    ("operator", "values", "context", "holds"),
    [
        ("StringEquals", "a", {"k": "a"}, True),
        ("StringEquals", ["b", "a"], {"K": "a"}, True),
        ("StringEquals", "a", {}, False),
        ("StringNotEquals", "a", {}, True),
        ("StringNotEquals", ["a", "b"], {"k": "b"}, False),
        ("StringEqualsIfExists", "a", {}, True),
        ("StringLikeIfExists", "a*", {"k": "b"}, False),
        ("StringLike", "a?c", {"k": "abc"}, True),
        ("ArnLike", "arn:aws:s3:::b*", {"k": "arn:aws:s3:::bc"}, True),
        ("ArnLike", "arn:aws:*:b", {"k": "arn:aws:s3:::b"}, False),
        ("Bool", "false", {"k": "false"}, True),
        ("Null", "true", {}, True),
        ("Null", "false", {}, False),
    ],
)
def test_conditions_hold_as_iam_documents(
    operator: str, values: Any, context: dict[str, str], holds: bool
) -> None:
    allow = {
        "Effect": "Allow",
        "Action": "*",
        "Resource": "*",
        "Condition": {operator: {"k": values}},
    }
    assert Policies([allow]).allow(Call("s3:GetObject", "*", context)) is holds


def test_an_operator_that_is_not_known_is_an_error() -> None:
    allow = {
        "Effect": "Allow",
        "Action": "*",
        "Resource": "*",
        "Condition": {"IpAddress": {"k": "1"}},
    }
    with pytest.raises(KeyError):
        Policies([allow]).allow(Call("s3:GetObject", "*", {"k": "1"}))

"""IAM's decision on one call, as AWS documents the evaluation of policies within an account.

An explicit deny wins; then identity policies and the permissions boundary both have to allow. See
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Statement = Mapping[str, Any]


@dataclass(frozen=True)
class Call:
    """One action on one resource.

    Attributes:
        action: Such as ``s3:GetObject``.
        resource: ARN, or ``*`` for an action that knows no resource.
        context: Values of condition keys, by key.
    """

    action: str
    resource: str = "*"
    context: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Policies:
    """What a role may do.

    Attributes:
        identity: Statements of the role's inline and managed policies.
        boundary: Statements of its permissions boundary; None where it has none.
    """

    identity: Sequence[Statement]
    boundary: Sequence[Statement] | None = None

    def allow(self, call: Call) -> bool:
        """Whether IAM lets the call through."""
        sets = [self.identity] if self.boundary is None else [self.identity, self.boundary]
        if any(one["Effect"] == "Deny" and matches(one, call) for each in sets for one in each):
            return False
        return all(
            any(one["Effect"] == "Allow" and matches(one, call) for one in each) for each in sets
        )

    def deny_explicitly(self, call: Call) -> bool:
        """Whether a statement denies the call, whatever else allows it."""
        both = [*self.identity, *(self.boundary or ())]
        return any(one["Effect"] == "Deny" and matches(one, call) for one in both)


def matches(statement: Statement, call: Call) -> bool:
    """Whether a statement is about a call."""
    return (
        _named(statement, "Action", call.action, any_case=True)
        and _named(statement, "Resource", call.resource)
        and all(
            _holds(operator, key, listed(values), call.context)
            for operator, tests in statement.get("Condition", {}).items()
            for key, values in tests.items()
        )
    )


def listed(value: Any) -> list[str]:
    """A policy's element as a list, which may be written as one string."""
    return [value] if isinstance(value, str) else list(value)


def like(pattern: str, value: str, *, any_case: bool = False) -> bool:
    """Whether a value fits a pattern: ``*`` stands for any characters, ``?`` for one."""
    return _compiled(pattern, any_case).fullmatch(value) is not None


@functools.cache
def _compiled(pattern: str, any_case: bool) -> re.Pattern[str]:
    parts = (".*" if char == "*" else "." if char == "?" else re.escape(char) for char in pattern)
    return re.compile("".join(parts), re.DOTALL | (re.IGNORECASE if any_case else 0))


def _named(statement: Statement, element: str, value: str, *, any_case: bool = False) -> bool:
    if f"Not{element}" in statement:
        names = listed(statement[f"Not{element}"])
        return not any(like(one, value, any_case=any_case) for one in names)
    return any(like(one, value, any_case=any_case) for one in listed(statement[element]))


def _holds(operator: str, key: str, values: Sequence[str], context: Mapping[str, str]) -> bool:
    """Whether a condition is met; an operator that is not known here is an error, not a no."""
    # Of a key with several values a request here has one.
    plain = operator.removesuffix("IfExists").removeprefix("ForAnyValue:")
    found = next((v for name, v in context.items() if name.lower() == key.lower()), None)
    if plain == "Null":
        return (found is None) == (values[0] == "true")
    negated = "Not" in plain
    if found is None:
        # A key that is not in the request fails what asks for a value, and meets what excludes one.
        return operator.endswith("IfExists") or negated
    test = _TESTS[plain.replace("Not", "")]
    return any(test(one, found) for one in values) != negated


def _like_arn(pattern: str, value: str) -> bool:
    parts, found = pattern.split(":", 5), value.split(":", 5)
    return len(parts) == len(found) and all(map(like, parts, found))


_TESTS: dict[str, Callable[[str, str], bool]] = {
    "StringEquals": lambda one, found: one == found,
    "StringLike": like,
    "ArnEquals": _like_arn,
    "ArnLike": _like_arn,
    "Bool": lambda one, found: one.lower() == found.lower(),
}

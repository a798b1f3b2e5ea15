"""An account that answers as scripted, and remembers what it was asked."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from botocore.exceptions import ClientError


def refusal(code: str, message: str = "no") -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": message}}, "Operation")


class FakeAws:
    """Clients of one account; every service is the same object.

    Args:
        answers: Operation -> its answers, one a call, the last one repeated. An exception is
            raised; a paginated operation answers with its pages.
    """

    def __init__(self, **answers: list[Any]) -> None:
        self.answers = answers
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self._count: dict[str, int] = defaultdict(int)

    def account(self, region: str) -> str:
        return "123456789012"

    def client(self, *_: str) -> FakeAws:
        return self

    lambda_ = s3 = ssm = client

    def names(self) -> list[str]:
        return [name for name, _ in self.calls]

    def asked(self, name: str) -> list[dict[str, Any]]:
        return [arguments for called, arguments in self.calls if called == name]

    def get_paginator(self, name: str) -> Any:
        return type("Pages", (), {"paginate": lambda _, **options: self._answer(name, options)})()

    def get_waiter(self, name: str) -> Any:
        return type("Waiter", (), {"wait": lambda _, **options: self._answer(name, options)})()

    def _answer(self, name: str, arguments: dict[str, Any]) -> Any:
        self.calls.append((name, arguments))
        given = self.answers.get(name, [{}])
        answer = given[min(self._count[name], len(given) - 1)]
        self._count[name] += 1
        if isinstance(answer, Exception):
            raise answer
        return answer

    def __getattr__(self, name: str) -> Any:
        return lambda **arguments: self._answer(name, arguments)

"""A task token in the rehearsal's Step Functions: what comes early is not lost.

moto begins to wait for a token when the integration's call has returned. Where the function that
passes the token on is slow to return, the server has answered before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from moto.stepfunctions.parser.asl.eval.callback.callback import (
    CallbackEndpoint,
    CallbackOutcomeSuccess,
)

from tests.e2e.rehearsal import interpreter

if TYPE_CHECKING:
    from collections.abc import Iterator

AT_ONCE = 0


@pytest.fixture
def endpoint() -> Iterator[CallbackEndpoint]:
    before = interpreter.fill()
    yield CallbackEndpoint("token")
    interpreter.empty(before)


def test_an_answer_before_the_wait_ends_it_at_once(endpoint: CallbackEndpoint) -> None:
    endpoint.notify(CallbackOutcomeSuccess("token", "{}"))
    assert endpoint.setup_heartbeat_endpoint(AT_ONCE).clear_and_wait()
    assert endpoint.get_outcome() is not None


def test_an_answer_during_the_wait_ends_it(endpoint: CallbackEndpoint) -> None:
    waiting = endpoint.setup_heartbeat_endpoint(AT_ONCE)
    endpoint.notify(CallbackOutcomeSuccess("token", "{}"))
    assert waiting.clear_and_wait()


def test_without_an_answer_the_heartbeat_ends_the_wait(endpoint: CallbackEndpoint) -> None:
    assert not endpoint.setup_heartbeat_endpoint(AT_ONCE).clear_and_wait()


def test_a_heartbeat_before_the_wait_is_accepted(endpoint: CallbackEndpoint) -> None:
    assert endpoint.notify_heartbeat()
    waiting = endpoint.setup_heartbeat_endpoint(AT_ONCE)
    assert endpoint.notify_heartbeat()
    assert waiting.clear_and_wait()

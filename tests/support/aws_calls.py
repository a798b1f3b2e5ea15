"""Which AWS calls a run makes, and a refusal of all but reads."""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from botocore.client import BaseClient

if TYPE_CHECKING:
    from collections.abc import Iterator

READS = re.compile(r"(Get|List|Describe|Head|BatchGet|Lookup|Search)[A-Z].*|AssumeRole\w*")

PLANS = {"CreateChangeSet", "DeleteChangeSet"}
"""How CloudFormation plans: they change no resource of a stack that is there."""


class WriteRefused(RuntimeError):
    """A run that may only read called something else."""


@contextmanager
def only_reads(*also: str) -> Iterator[list[str]]:
    """Record the operations that clients of this process call; refuse those that change anything.

    Args:
        also: Operations that are let through beside reads.
    """
    real, calls = vars(BaseClient)["_make_api_call"], list[str]()

    def call(self: BaseClient, operation: str, arguments: Any) -> Any:
        calls.append(operation)
        if not READS.fullmatch(operation) and operation not in also:
            raise WriteRefused(operation)
        return real(self, operation, arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(BaseClient, "_make_api_call", call)
        yield calls
    assert [one for one in calls if not READS.fullmatch(one) and one not in also] == []

"""The clients of AWS services: botocore's sessions must not make two at once."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from vector_common import aws

if TYPE_CHECKING:
    import pytest


class Watched:
    """Stands for a session: it notices a second call before the first has returned."""

    def __init__(self) -> None:
        self.busy = threading.Lock()
        self.overlaps = 0

    def create_client(self, service: str, **options: Any) -> str:
        if not self.busy.acquire(blocking=False):
            self.overlaps += 1
            return service
        time.sleep(0.01)
        self.busy.release()
        return f"{service} {options['config'].connect_timeout}"


def test_clients_are_made_one_after_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    session = Watched()
    monkeypatch.setattr(aws, "_session", lambda: session)
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda name: aws.client(name, {"connect_timeout": 3}), ["s3"] * 4))
    assert session.overlaps == 0
    assert made == ["s3 3"] * 4

"""The clients of AWS services: none made at the same time as another, quick with timestamps."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from botocore.utils import parse_timestamp
from vector_common import aws

if TYPE_CHECKING:
    from datetime import datetime


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


@pytest.mark.parametrize(
    "value",
    [
        "2026-11-26T18:00:00.123Z",
        "2026-11-26T18:00:00Z",
        "2026-11-26T18:00:00+02:00",
        "Thu, 26 Nov 2026 18:00:00 GMT",
        1764180000,
        "1764180000.5",
    ],
)
def test_timestamps_are_read_as_botocore_reads_them(value: Any) -> None:
    assert aws.moment(value) == parse_timestamp(value)
    assert aws.moment(value).utcoffset() == parse_timestamp(value).utcoffset()


def test_listings_are_read_by_it(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[object] = []

    def noted(value: Any) -> datetime:
        read.append(value)
        return parse_timestamp(value)

    monkeypatch.setattr(aws, "moment", noted)
    aws._session.cache_clear()
    keys = {"aws_access_key_id": "testing", "aws_secret_access_key": "testing"}
    client = aws.client("s3", {}, region_name="eu-west-1", **keys)
    shape = client.meta.service_model.operation_model("ListObjectsV2").output_shape
    body = b"<R><Contents><LastModified>2026-11-26T18:00:00.123Z</LastModified></Contents></R>"
    answer = {"body": body, "headers": {}, "status_code": 200}
    client._endpoint._response_parser_factory.create_parser("rest-xml").parse(answer, shape)
    aws._session.cache_clear()
    assert read == ["2026-11-26T18:00:00.123Z"]

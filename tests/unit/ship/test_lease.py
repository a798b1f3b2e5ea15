from __future__ import annotations

import io
import json
import os
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import boto3
import pytest
from botocore.response import StreamingBody
from botocore.stub import ANY, Stubber
from layersmith.ship.publish import lease


def owner(**changes: Any) -> lease.Owner:
    said: dict[str, Any] = {"run": "a", "host": "here", "pid": os.getpid(), "boot": "one"}
    return lease.Owner(**(said | changes))


def test_only_an_owner_that_is_known_to_be_gone_gives_way() -> None:
    other = owner(run="b")
    assert not owner().gives_way_to(other)
    assert owner(pid=2**22 + 1).gives_way_to(other)
    assert owner(run="b", host="elsewhere").gives_way_to(other)
    assert not owner(pid=2**22 + 1, host="elsewhere").gives_way_to(other)
    assert not owner(pid=2**22 + 1, boot="two").gives_way_to(other)


@pytest.mark.parametrize("late", [False, True], ids=["in time", "past its lifetime"])
def test_a_lock_ages_by_the_clock_of_s3(late: bool) -> None:
    # Neither time is near this machine's: only their difference counts.
    written = datetime(2001, 1, 1, tzinfo=UTC)
    now = written + timedelta(seconds=lease.LIFETIME + (1 if late else -1))
    s3: Any = boto3.client(
        "s3", "eu-west-1", aws_access_key_id="testing", aws_secret_access_key="testing"
    )
    content = json.dumps({**asdict(owner(host="elsewhere")), lease.NONCE: "1"}).encode()
    place = {"Bucket": "bucket", "Key": "locks/publish.json"}
    answer = {
        "Body": StreamingBody(io.BytesIO(content), len(content)),
        "ETag": '"old"',
        "LastModified": written,
        "ResponseMetadata": {"HTTPHeaders": {"date": format_datetime(now, usegmt=True)}},
    }
    with Stubber(s3) as stub:
        stub.add_response("get_object", answer, place)
        if late:
            condition = {**place, "Body": ANY, "IfMatch": '"old"'}
            stub.add_response("put_object", {"ETag": '"new"'}, condition)
        etag, holder = lease._try(s3, "bucket", "locks/publish.json", owner(run="b"))
        stub.assert_no_pending_responses()
    assert etag == ('"new"' if late else None)
    assert holder == owner(host="elsewhere")

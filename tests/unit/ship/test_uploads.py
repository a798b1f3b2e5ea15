from __future__ import annotations

import base64
import json
import threading
import time
from typing import TYPE_CHECKING, Any

import botocore.session
import pytest
from layersmith.errors import ShipError
from layersmith.ship.aws.failures import AwsFailure
from layersmith.ship.publish import uploads
from layersmith.ship.publish.uploads import UploadSlots

from tests.unit.ship.fakes import FakeAws, refusal
from tests.unit.ship.makers import SHA, arn, want

if TYPE_CHECKING:
    from pathlib import Path

    from layersmith.ship.publish.models import Version


def test_threads_hold_no_more_together_than_the_gate_lets_in() -> None:
    gate, lock = UploadSlots(100), threading.Lock()
    held, most, done = 0, 0, 0

    def work(size: int) -> None:
        nonlocal held, most, done
        with gate.hold(size):
            with lock:
                held += size
                most = max(most, held)
            time.sleep(0.01)
            with lock:
                held -= size
                done += 1

    threads = [threading.Thread(target=work, args=(40,)) for _ in range(9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=10)
    assert (most, done) == (80, 9)


def test_what_is_larger_than_the_gate_gets_in_alone() -> None:
    gate = UploadSlots(100)
    waiting = threading.Event()

    def work() -> None:
        with gate.hold(1):
            waiting.set()

    with gate.hold(500):
        thread = threading.Thread(target=work)
        thread.start()
        assert not waiting.wait(0.05)
    thread.join(timeout=10)
    assert waiting.is_set()


def answer(sha: str = SHA) -> dict[str, object]:
    return {"Version": 3, "LayerVersionArn": arn(3), "Content": {"CodeSha256": sha}}


def sent(tmp_path: Path, aws: FakeAws, limit: int, **changes: Any) -> Version:
    zip_path = tmp_path / "alpha-1.2.0-python3.13-arm64.zip"
    zip_path.write_bytes(b"x" * 1000)
    double: Any = aws
    return uploads.publish(
        double, "eu-west-1", want(zip_path=zip_path, **changes), "bucket", UploadSlots(),
        direct_limit=limit,
    )  # fmt: skip


def test_a_zip_of_the_limit_goes_directly_and_a_larger_one_through_the_bucket(
    tmp_path: Path,
) -> None:
    direct = FakeAws(publish_layer_version=[answer()])
    version = sent(tmp_path, direct, 1000)
    assert (version.number, version.semver, version.sha256) == (3, "1.2.0", SHA)
    assert direct.names() == ["publish_layer_version"]
    (said,) = direct.asked("publish_layer_version")
    assert said["Content"] == {"ZipFile": b"x" * 1000}
    assert (said["LicenseInfo"], said["CompatibleRuntimes"]) == ("MIT", ["python3.13"])

    staged = FakeAws(publish_layer_version=[answer()], put_object=[{"VersionId": "null"}])
    sent(tmp_path, staged, 999, license="")
    assert staged.names() == ["put_object", "publish_layer_version", "delete_object"]
    (said,) = staged.asked("publish_layer_version")
    assert said["Content"].keys() == {"S3Bucket", "S3Key"}
    assert "LicenseInfo" not in said

    versioned = FakeAws(publish_layer_version=[answer()], put_object=[{"VersionId": "v1"}])
    sent(tmp_path, versioned, 0)
    assert versioned.asked("publish_layer_version")[0]["Content"]["S3ObjectVersion"] == "v1"


def test_a_damaged_arrival_is_removed_and_sent_once_more(tmp_path: Path) -> None:
    once = FakeAws(publish_layer_version=[answer("damaged"), answer()])
    assert sent(tmp_path, once, 1000).number == 3
    assert once.asked("delete_layer_version") == [
        {"LayerName": "alpha-python3-13-arm64", "VersionNumber": 3}
    ]
    always = FakeAws(publish_layer_version=[answer("damaged")])
    with pytest.raises(ShipError, match="damaged 2 times"):
        sent(tmp_path, always, 1000)
    assert always.names() == ["publish_layer_version", "delete_layer_version"] * 2


def test_what_was_staged_goes_although_publishing_fails(tmp_path: Path) -> None:
    refused = FakeAws(publish_layer_version=[refusal("AccessDeniedException")])
    with pytest.raises(AwsFailure):
        sent(tmp_path, refused, 0)
    assert refused.names()[-1] == "delete_object"


def test_sweeping_removes_every_page_of_what_was_left() -> None:
    pages = [{"Contents": [{"Key": "staging/a"}]}, {}, {"Contents": [{"Key": "staging/b"}]}]
    aws: Any = FakeAws(list_objects_v2=[pages])
    assert uploads.sweep(aws, "eu-west-1", "bucket") == 2
    assert [one["Key"] for one in aws.asked("delete_object")] == ["staging/a", "staging/b"]


def test_a_zip_by_reference_stays_in_the_bucket_and_lambda_may_read_it(tmp_path: Path) -> None:
    aws = FakeAws(
        publish_layer_version=[answer()],
        head_object=[refusal("404")],
        put_object=[{"VersionId": "v1"}],
        get_bucket_policy=[refusal("NoSuchBucketPolicy")],
    )
    sent(tmp_path, aws, 1000, reference=True)
    assert aws.names() == [
        "get_bucket_policy", "put_bucket_policy", "head_object", "put_object",
        "publish_layer_version",
    ]  # fmt: skip
    (said,) = aws.asked("publish_layer_version")
    assert said["Content"] == {
        "S3Bucket": "bucket",
        "S3Key": f"layers/alpha-python3-13-arm64/{base64.b64decode(SHA).hex()}.zip",
        "S3ObjectVersion": "v1",
        "S3ObjectStorageMode": "REFERENCE",
    }
    (policy,) = aws.asked("put_bucket_policy")
    (statement,) = json.loads(policy["Policy"])["Statement"]
    assert statement["Principal"] == {"Service": "lambda.amazonaws.com"}
    assert statement["Condition"] == {"StringEquals": {"aws:SourceAccount": "123456789012"}}


def test_what_lies_there_already_is_referenced_and_a_policy_is_only_added_to(
    tmp_path: Path,
) -> None:
    before = {"Version": "2012-10-17", "Statement": [{"Sid": "TheirOwn"}]}
    aws = FakeAws(
        publish_layer_version=[answer()],
        head_object=[{"VersionId": "v7"}],
        get_bucket_policy=[{"Policy": json.dumps(before)}],
    )
    sent(tmp_path, aws, 1000, reference=True)
    assert aws.asked("put_object") == []
    assert aws.asked("publish_layer_version")[0]["Content"]["S3ObjectVersion"] == "v7"
    (policy,) = aws.asked("put_bucket_policy")
    assert [one["Sid"] for one in json.loads(policy["Policy"])["Statement"]] == [
        "TheirOwn",
        "LambdaReadsLayers",
    ]
    again = FakeAws(
        publish_layer_version=[answer()],
        head_object=[{"VersionId": "v7"}],
        get_bucket_policy=[policy],
    )
    sent(tmp_path, again, 1000, reference=True)
    assert again.asked("put_bucket_policy") == []


def test_without_a_versioned_bucket_nothing_is_published_by_reference(tmp_path: Path) -> None:
    aws = FakeAws(
        head_object=[refusal("404")],
        put_object=[{"VersionId": "null"}],
        get_bucket_policy=[refusal("NoSuchBucketPolicy")],
    )
    with pytest.raises(ShipError, match="is not versioned"):
        sent(tmp_path, aws, 1000, reference=True)
    assert aws.asked("publish_layer_version") == []


def test_the_installed_model_of_lambda_knows_the_storage_mode() -> None:
    model: Any = botocore.session.get_session().get_service_model("lambda")
    content = model.operation_model("PublishLayerVersion").input_shape.members["Content"]
    assert "REFERENCE" in content.members["S3ObjectStorageMode"].enum

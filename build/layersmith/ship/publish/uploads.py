"""Carries zips into Lambda and S3, and proves that what arrived is what was sent."""

from __future__ import annotations

import hashlib
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from layersmith.base import zips
from layersmith.base.runtimes import DIRECT_UPLOAD_LIMIT
from layersmith.errors import ShipError
from layersmith.ship.aws import buckets, failures, labels
from layersmith.ship.publish.models import Version
from layersmith.ship.signing import Signer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from types_boto3_s3.client import S3Client

    from layersmith.ship.aws.accounts import Aws
    from layersmith.ship.publish.models import Desired
    from layersmith.ship.signing import SignedZip

IN_FLIGHT = 100 * 1024 * 1024
"""Bytes of zips that requests may hold at once. A request was measured to cost 5 to 7 times its
zip: the bytes, their base64, and the body as text and as bytes. Larger zips are streamed through
S3 and cost nothing."""

TRIES = 2
"""Uploads of one zip before a damaged arrival is an error."""


class UploadSlots:
    """Lets threads hold a bounded number of bytes together.

    Args:
        size: Bytes; one that asks for more gets in alone.
    """

    def __init__(self, size: int = IN_FLIGHT) -> None:
        self._size = size
        self._used = 0
        self._changed = threading.Condition()

    @contextmanager
    def hold(self, size: int) -> Iterator[None]:
        """Wait until ``size`` bytes are free, and hold them while the block runs."""
        need = min(size, self._size)
        with self._changed:
            self._changed.wait_for(lambda: self._used + need <= self._size)
            self._used += need
        try:
            yield
        finally:
            with self._changed:
                self._used -= need
                self._changed.notify_all()


def publish(
    aws: Aws,
    region: str,
    want: Desired,
    bucket: str,
    gate: UploadSlots,
    *,
    direct_limit: int | None = None,
) -> Version:
    """Publish the zip as a new layer version, and return it once its digest is right.

    A version whose bytes were damaged on the way is removed again before anything names it.

    Args:
        aws: Clients of the account.
        region: Where.
        want: The artifact.
        bucket: Artifact bucket of the region.
        gate: Bounds the memory of all uploads together.
        direct_limit: Bytes above which the zip goes through the bucket; None is AWS's limit.

    Raises:
        AwsFailure: AWS refused.
        ShipError: The bytes arrived damaged twice.
    """
    expected = want.sha256
    limit = DIRECT_UPLOAD_LIMIT if direct_limit is None else direct_limit
    got = ""
    for _ in range(TRIES):
        if want.signing:
            made = _signed(aws, region, want, bucket, want.signing)
            expected, content = made.sha256, {"S3Bucket": bucket, "S3Key": made.key}
            answer = _layer_version(aws, region, want, content)
        elif want.reference:
            answer = _by_reference(aws, region, want, bucket)
        elif want.size > limit:
            answer = _through_bucket(aws, region, want, bucket)
        else:
            with gate.hold(want.size):
                answer = _layer_version(aws, region, want, {"ZipFile": want.zip_path.read_bytes()})
        with failures.explained(region, "lambda"):
            got = answer["Content"]["CodeSha256"]
            if got == expected:
                return _version(want, answer)
            aws.lambda_(region).delete_layer_version(
                LayerName=want.name, VersionNumber=answer["Version"]
            )
    raise ShipError(
        f"{region}: the zip arrived damaged {TRIES} times: CodeSha256 {got}, not {expected}",
        target=want.identifier,
        cause="a proxy changes what is sent, or the file changed while it was read",
        hint="nothing was left published; check the zip by `python build/layers.py audit`",
    )


def placeholder(aws: Aws, region: str, want: Desired) -> int:
    """Publish an empty version that only uses up a number, and return the number."""
    with failures.explained(region, "lambda"):
        answer = aws.lambda_(region).publish_layer_version(
            LayerName=want.name,
            Description=labels.PLACEHOLDER,
            Content={"ZipFile": placeholder_zip()},
        )
        return int(answer["Version"])


def placeholder_zip() -> bytes:
    """Return a zip with one file that says what it is for; always the same bytes."""
    return zips.pack({"PLACEHOLDER": b"Uses up a version number; see docs/publishing.md.\n"})


def keep(aws: Aws, region: str, want: Desired, bucket: str) -> None:
    """Store manifest, SBOM and zip in the artifact bucket; the zip last, it says all are there."""
    folder, _, _ = want.artifact_key.rpartition("/")
    stem = want.zip_path.name.removesuffix(".zip")
    beside = sorted(want.zip_path.parent.glob(f"{stem}.*json"))
    with failures.explained(region, "s3"):
        for path in beside:
            aws.s3(region).put_object(
                Bucket=bucket,
                Key=f"{folder}/{path.name}",
                Body=path.read_bytes(),
                ContentType="application/json",
            )
    _put_zip(aws, region, want, bucket, want.artifact_key)


def sweep(aws: Aws, region: str, bucket: str) -> int:
    """Remove what a killed run left in staging, and return the number of objects."""
    s3, count = aws.s3(region), 0
    with failures.explained(region, "s3"):
        pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=buckets.STAGING)
        for page in pages:
            for one in page.get("Contents", ()):
                s3.delete_object(Bucket=bucket, Key=str(one.get("Key")))
                count += 1
    return count


def _through_bucket(aws: Aws, region: str, want: Desired, bucket: str) -> Any:
    key = f"{buckets.STAGING}{hashlib.sha256(want.sha256.encode()).hexdigest()[:32]}.zip"
    version = _put_zip(aws, region, want, bucket, key)
    content = {"S3Bucket": bucket, "S3Key": key}
    if version:
        content["S3ObjectVersion"] = version
    try:
        return _layer_version(aws, region, want, content)
    finally:
        with failures.explained(region, "s3"):
            aws.s3(region).delete_object(Bucket=bucket, Key=key)


def _signed(aws: Aws, region: str, want: Desired, bucket: str, profile: str) -> SignedZip:
    """Return the zip as AWS Signer signed it, now or in an earlier run."""
    signer = Signer(aws, region, bucket, profile)
    if found := signer.find(want.built_digest):
        return found
    key = f"{buckets.STAGING}{want.built_digest}.zip"
    _put_zip(aws, region, want, bucket, key)
    try:
        return signer.sign(key, want.built_digest)
    finally:
        with failures.explained(region, "s3"):
            aws.s3(region).delete_object(Bucket=bucket, Key=key)


def _by_reference(aws: Aws, region: str, want: Desired, bucket: str) -> Any:
    """Publish the zip where it lies in the artifact bucket, outside Lambda's own storage.

    The object is written once and never changed: Lambda reads this version of it for as long as
    the layer version exists.
    """
    key = want.reference_key
    with failures.explained(region, "s3"):
        buckets.let_lambda_read(aws, bucket, region)
        version = _version_of(aws.s3(region), bucket, key)
    if version is None:
        version = _put_zip(aws, region, want, bucket, key)
    if not version:
        raise ShipError(
            f"{region}: the bucket {bucket} is not versioned",
            target=want.identifier,
            cause="`storage: reference` needs the version of an object, which nothing can change",
            hint=f"`aws s3api put-bucket-versioning --bucket {bucket} "
            "--versioning-configuration Status=Enabled`, or `storage: copy`",
        )
    content = {
        "S3Bucket": bucket,
        "S3Key": key,
        "S3ObjectVersion": version,
        "S3ObjectStorageMode": "REFERENCE",
    }
    return _layer_version(aws, region, want, content)


def _version_of(s3: S3Client, bucket: str, key: str) -> str | None:
    """Return the version of an object; None where there is none, or none with a version."""
    try:
        version = s3.head_object(Bucket=bucket, Key=key).get("VersionId")
    except ClientError as error:
        if not failures.is_missing(error):
            raise
        return None
    return version if version != "null" else None


def _put_zip(aws: Aws, region: str, want: Desired, bucket: str, key: str) -> str | None:
    """Stream the zip to S3, which checks its SHA-256; return the object's version."""
    with want.zip_path.open("rb") as stream, failures.explained(region, "s3"):
        answer = aws.s3(region).put_object(
            Bucket=bucket,
            Key=key,
            Body=stream,
            ContentType="application/zip",
            ChecksumAlgorithm="SHA256",
            ChecksumSHA256=want.sha256,
        )
    version = answer.get("VersionId")
    return version if version != "null" else None


def _layer_version(aws: Aws, region: str, want: Desired, content: dict[str, Any]) -> Any:
    arguments: dict[str, Any] = {
        "LayerName": want.name,
        "Description": want.description,
        "Content": content,
        "CompatibleRuntimes": [want.runtime],
        "CompatibleArchitectures": [want.architecture],
    }
    if want.license:
        arguments["LicenseInfo"] = want.license
    with failures.explained(region, "lambda"):
        return aws.lambda_(region).publish_layer_version(**arguments)


def _version(want: Desired, answer: Any) -> Version:
    return Version(
        number=int(answer["Version"]),
        arn=answer["LayerVersionArn"],
        description=want.description,
        semver=want.version,
        placeholder=False,
        runtimes=(want.runtime,),
        architectures=(want.architecture,),
        license=want.license,
        sha256=want.sha256,
        size=want.size,
        grants=frozenset(),
        created=str(answer.get("CreatedDate", "")),
    )

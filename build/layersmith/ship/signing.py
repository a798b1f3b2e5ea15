"""Has AWS Signer sign a zip, once for the same bytes and the same profile.

The service reads a version of an object and writes another object, which is the same zip with its
signature in it. That one is laid under a key that follows from the digest of the unsigned zip, with
both digests in its metadata, so that whoever finds it knows what was signed.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError, WaiterError

from layersmith.errors import ShipError
from layersmith.ship.aws import failures

if TYPE_CHECKING:
    from layersmith.ship.aws.accounts import Aws

SIGNED = "signed/"
"""Signed zips in the artifact bucket; below it ``jobs/`` has what the service just wrote."""

BUILT_DIGEST, SIGNED_DIGEST = "built-sha256", "signed-sha256"
"""Metadata of a signed zip: SHA-256 in hex before and after."""

PAUSE, MOST = 3, 200
"""Seconds between two questions whether a job is done, and how often it is asked: 10 minutes."""


@dataclass(frozen=True)
class SignedZip:
    """A signed zip in an artifact bucket.

    Attributes:
        key: Its key.
        sha256: Its SHA-256 in base64, as Lambda reports it.
    """

    key: str
    sha256: str


@dataclass(frozen=True)
class Signer:
    """AWS Signer in one region, and the bucket that it reads and writes.

    Attributes:
        aws: Clients of the account.
        region: Where.
        bucket: Artifact bucket of the region.
        profile: Name of the signing profile.
        prefix: Begin of the keys of what is signed.
    """

    aws: Aws
    region: str
    bucket: str
    profile: str
    prefix: str = SIGNED

    @property
    def _place(self) -> dict[str, Any]:
        return {"Bucket": self.bucket, "ExpectedBucketOwner": self.aws.account(self.region)}

    def key(self, built: str) -> str:
        """Return where the signed zip lies of the one with a SHA-256 in hex."""
        return f"{self.prefix}{self.profile}/{built}.zip"

    def find(self, built: str) -> SignedZip | None:
        """Return the signed zip of the one with a SHA-256 in hex; None where it was never signed.

        Raises:
            AwsFailure: S3 refused.
        """
        key = self.key(built)
        with failures.explained(self.region, "s3"):
            try:
                said = self.aws.s3(self.region).head_object(Key=key, **self._place)["Metadata"]
            except ClientError as error:
                if failures.is_missing(error):
                    return None
                raise
        if said.get(BUILT_DIGEST) != built or SIGNED_DIGEST not in said:
            return None
        return SignedZip(key, base64.b64encode(bytes.fromhex(said[SIGNED_DIGEST])).decode())

    def sign(self, source: str, built: str) -> SignedZip:
        """Have a zip signed that lies in the bucket, or find it signed already.

        Args:
            source: Key of the zip.
            built: Its SHA-256 in hex.

        Raises:
            AwsFailure: AWS refused.
            ShipError: The bucket is not versioned, or the job failed.
        """
        if found := self.find(built):
            return found
        s3, place = self.aws.s3(self.region), self._place
        with failures.explained(self.region, "s3"):
            version = s3.head_object(Key=source, **place).get("VersionId")
        if version in (None, "null"):
            raise ShipError(
                f"{self.region}: the bucket {self.bucket} is not versioned",
                cause="AWS Signer reads a version of an object, which nothing can change",
                hint=f"`aws s3api put-bucket-versioning --bucket {self.bucket} "
                "--versioning-configuration Status=Enabled`, and try again",
            )
        made = self._job({"bucketName": self.bucket, "key": source, "version": version}, built)
        digest = hashlib.sha256()
        with failures.explained(self.region, "s3"):
            for chunk in s3.get_object(Key=made, **place)["Body"].iter_chunks(1 << 20):
                digest.update(chunk)
            s3.copy_object(
                **place,
                Key=self.key(built),
                CopySource={"Bucket": self.bucket, "Key": made},
                ExpectedSourceBucketOwner=place["ExpectedBucketOwner"],
                ContentType="application/zip",
                Metadata={BUILT_DIGEST: built, SIGNED_DIGEST: digest.hexdigest()},
                MetadataDirective="REPLACE",
            )
            s3.delete_object(Key=made, **place)
        return SignedZip(self.key(built), base64.b64encode(digest.digest()).decode())

    def _job(self, source: dict[str, str], built: str) -> str:
        """Run a signing job and return the key of what it wrote."""
        signer = self.aws.client("signer", self.region)
        with failures.explained(self.region, "signer"):
            job = signer.start_signing_job(
                source={"s3": source},
                destination={"s3": {"bucketName": self.bucket, "prefix": f"{self.prefix}jobs/"}},
                profileName=self.profile,
                # A run that was killed after this call gets the same job again.
                clientRequestToken=hashlib.sha256(
                    f"{self.profile} {built} {source}".encode()
                ).hexdigest(),
            )["jobId"]
            try:
                signer.get_waiter("successful_signing_job").wait(
                    jobId=job, WaiterConfig={"Delay": PAUSE, "MaxAttempts": MOST}
                )
            except WaiterError as problem:
                why = problem.last_response.get("statusReason") or problem
                raise ShipError(
                    f"{self.region}: AWS Signer did not sign: {why}",
                    cause=f"the profile {self.profile} was cancelled, is of another platform than "
                    "AWSLambda-SHA384-ECDSA, or the job took longer than 10 minutes",
                    hint=f"`aws signer describe-signing-job --job-id {job} --region {self.region}`",
                ) from None
            return str(signer.describe_signing_job(jobId=job)["signedObject"]["s3"]["key"])

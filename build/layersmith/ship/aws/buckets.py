"""The artifact bucket of a region: its name, and how it is set up.

S3 bucket names are global, hold 3 to 63 characters, and only lower case letters, digits, dots and
hyphens (AWS: general purpose bucket naming rules). Dots are left out, because they break TLS for
virtual-hosted addresses.
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from layersmith.errors import ConfigError
from layersmith.ship.aws import failures, regions

if TYPE_CHECKING:
    from types_boto3_s3.client import S3Client

    from layersmith.ship.aws.accounts import Aws

NAME_LIMIT = 63
"""Characters of a bucket name (AWS)."""

DIGEST_LENGTH = 32
"""Hex digits of MD5; all are kept, so that two long stack names never meet in one bucket."""

STAGING = "staging/"
"""Zips on their way into Lambda; a lifecycle rule removes what a killed run leaves."""
ARTIFACTS = "artifacts/"
"""Released zips and manifests, kept so that a region can catch up with identical bytes."""
LOCKS = "locks/"
LAYERS = "layers/"
"""Zips that Lambda reads for layer versions that it has no copy of; nothing removes them."""
INDEX = "index/layers.json"
COSTS = "cost/history.jsonl"

_STACK = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")


def artifact_bucket(stack: str, account: str, region: str) -> str:
    """Return the name of the artifact bucket of a stack in one account and region.

    ``<stack>-<account>-<region>`` where that fits; else the name is cut and ends in the MD5 of
    the whole, so that it stays the same from run to run and differs where the whole differs.

    Args:
        stack: Name of the installation: lower case letters, digits and hyphens.
        account: 12 digits.
        region: Such as ``eu-west-1``.

    Raises:
        ConfigError: The stack's name, or the account, cannot be part of a bucket name.
    """
    if not _STACK.fullmatch(stack):
        raise ConfigError(
            f"{stack!r} cannot name a stack",
            cause="its name becomes part of a bucket name",
            hint="use lower case letters, digits and hyphens, a letter or digit at both ends",
        )
    if not re.fullmatch(r"\d{12}", account):
        raise ConfigError(f"{account!r} is not an account of 12 digits")
    whole = f"{stack}-{account}-{region}"
    if len(whole) <= NAME_LIMIT:
        return whole
    digest = hashlib.md5(whole.encode(), usedforsecurity=False).hexdigest()
    return f"{whole[: NAME_LIMIT - DIGEST_LENGTH - 1].rstrip('-')}-{digest}"


def ensure(aws: Aws, stack: str, region: str) -> str:
    """Make the region's artifact bucket where it is missing, and return its name.

    Raises:
        AwsFailure: S3 refuses, or the name belongs to another account.
    """
    account = aws.account(region)
    name = artifact_bucket(stack, account, region)
    s3 = aws.s3(region)
    with failures.explained(region, "s3"):
        try:
            s3.head_bucket(Bucket=name, ExpectedBucketOwner=account)
        except ClientError as error:
            if not failures.is_missing(error):
                raise
            _create(s3, name, region)
        # A run may have been killed after the bucket was made: its settings are one unit.
        if not _is_set_up(s3, name, account):
            _set_up(s3, name, region)
    return name


def _create(s3: S3Client, name: str, region: str) -> None:
    # us-east-1 is the one region that refuses to be named (S3 API reference, CreateBucket).
    place: dict[str, Any] = (
        {}
        if region == "us-east-1"
        else {"CreateBucketConfiguration": {"LocationConstraint": region}}
    )
    try:
        s3.create_bucket(Bucket=name, **place)
    except ClientError as error:
        if failures.code_of(error) != "BucketAlreadyOwnedByYou":
            raise


def _is_set_up(s3: S3Client, name: str, account: str) -> bool:
    """Whether the last step of _set_up was done."""
    try:
        s3.get_bucket_lifecycle_configuration(Bucket=name, ExpectedBucketOwner=account)
    except ClientError as error:
        if failures.code_of(error) == "NoSuchLifecycleConfiguration":
            return False
        raise
    return True


def _set_up(s3: S3Client, name: str, region: str) -> None:
    s3.put_public_access_block(
        Bucket=name,
        PublicAccessBlockConfiguration={
            "BlockPublicAcls": True,
            "IgnorePublicAcls": True,
            "BlockPublicPolicy": True,
            "RestrictPublicBuckets": True,
        },
    )
    s3.put_bucket_encryption(
        Bucket=name,
        ServerSideEncryptionConfiguration={
            "Rules": [
                {
                    "ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"},
                    "BucketKeyEnabled": True,
                }
            ]
        },
    )
    s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    s3.put_bucket_policy(Bucket=name, Policy=json.dumps(tls_only(name, region)))
    s3.put_bucket_lifecycle_configuration(
        Bucket=name, LifecycleConfiguration={"Rules": lifecycle_rules()}
    )


def tls_only(name: str, region: str) -> dict[str, Any]:
    """Return the bucket policy that refuses every request without TLS."""
    arn = f"arn:{regions.partition_of(region)}:s3:::{name}"
    return {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Sid": "TlsOnly",
                "Effect": "Deny",
                "Principal": "*",
                "Action": "s3:*",
                "Resource": [arn, f"{arn}/*"],
                "Condition": {"Bool": {"aws:SecureTransport": "false"}},
            }
        ],
    }


def let_lambda_read(aws: Aws, name: str, region: str) -> None:
    """Let Lambda read the zips of layers for functions of this account, beside what is allowed.

    AWS Lambda developer guide, configuration-self-managed-storage: the service principal needs
    both actions.

    Raises:
        botocore.exceptions.ClientError: S3 refuses.
    """
    s3, account = aws.s3(region), aws.account(region)
    wanted = {
        "Sid": "LambdaReadsLayers",
        "Effect": "Allow",
        "Principal": {"Service": "lambda.amazonaws.com"},
        "Action": ["s3:GetObject", "s3:GetObjectVersion"],
        "Resource": f"arn:{regions.partition_of(region)}:s3:::{name}/{LAYERS}*",
        "Condition": {"StringEquals": {"aws:SourceAccount": account}},
    }
    try:
        policy = json.loads(s3.get_bucket_policy(Bucket=name)["Policy"])
    except ClientError as error:
        if failures.code_of(error) != "NoSuchBucketPolicy":
            raise
        policy = tls_only(name, region) | {"Statement": []}
    if not any(one.get("Sid") == wanted["Sid"] for one in policy["Statement"]):
        policy["Statement"].append(wanted)
        s3.put_bucket_policy(Bucket=name, Policy=json.dumps(policy))


def lifecycle_rules() -> list[Any]:
    """Return the lifecycle rules: staging goes after a day, old object versions after 90."""
    return [
        {
            "ID": "staging",
            "Status": "Enabled",
            "Filter": {"Prefix": STAGING},
            "Expiration": {"Days": 1},
            "NoncurrentVersionExpiration": {"NoncurrentDays": 1},
        },
        {
            "ID": "leftovers",
            "Status": "Enabled",
            "Filter": {"Prefix": ""},
            "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1},
            "NoncurrentVersionExpiration": {"NoncurrentDays": 90},
        },
    ]

"""Takes a stage down, last stack first. Data stays, unless it is asked for by name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from layersmith.ship.aws import failures
from layersmith.stacks import templates as templates_
from layersmith.stacks.changesets import Stacks

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from layersmith.ship.aws.clients import Aws
    from layersmith.stacks.stage import Stage
    from layersmith.stacks.templates import Template

DELETE_LIMIT = 1000
"""Objects of one DeleteObjects call (S3 API reference)."""


@dataclass(frozen=True)
class Kept:
    """A resource with data in it.

    Attributes:
        stack: Name of its template.
        type: Such as ``AWS::S3::Bucket``.
        id: Its name on AWS.
    """

    stack: str
    type: str
    id: str


@dataclass(frozen=True)
class Removal:
    """What a destruction did.

    Attributes:
        removed: Stacks that were deleted.
        absent: Stacks that were not there.
        kept: Resources that outlive their stack.
        deleted: Resources with data that were deleted on request.
    """

    removed: tuple[str, ...]
    absent: tuple[str, ...]
    kept: tuple[Kept, ...]
    deleted: tuple[Kept, ...]


def data_of(aws: Aws, stage: Stage, templates: Sequence[Template]) -> list[Kept]:
    """Return the resources of the stage that hold data and would outlive it.

    Raises:
        AwsFailure: A call failed.
    """
    stacks = Stacks(aws.client("cloudformation", stage.region))
    with failures.explained(stage.region, "cloudformation"):
        return [kept for template in templates for kept in _retained(stacks, stage, template)]


def run(
    aws: Aws,
    stage: Stage,
    templates: Sequence[Template],
    *,
    delete_data: bool,
    role_arn: str | None = None,
) -> Removal:
    """Delete the stage's stacks, those that import first.

    Args:
        aws: Clients of the account.
        stage: What to take down.
        templates: Its templates.
        delete_data: Also empty and delete buckets, file systems, repositories and keys.
        role_arn: Role that CloudFormation works with.

    Raises:
        ShipError: A stack could not be deleted; the message names its first failing resource.
        AwsFailure: A call failed.
    """
    stacks = Stacks(aws.client("cloudformation", stage.region))
    # Listed before anything goes: afterwards no stack says what it left.
    kept = data_of(aws, stage, templates)
    removed: list[str] = []
    absent: list[str] = []
    with failures.explained(stage.region, "cloudformation"):
        for template in reversed(templates_.order(templates)):
            gone = stacks.delete(stage.stack_name(template.name), role_arn=role_arn)
            (removed if gone else absent).append(template.name)
    deleted = [one for one in kept if delete_data and delete(aws, stage.region, one)]
    return Removal(
        tuple(removed),
        tuple(absent),
        tuple(one for one in kept if one not in deleted),
        tuple(deleted),
    )


def delete(aws: Aws, region: str, kept: Kept) -> bool:
    """Delete a resource with all its data; say whether layersmith knows how to.

    A key only loses its use: KMS deletes it after its own waiting period, which is not shortened.

    Raises:
        AwsFailure: A call failed.
    """
    service = {
        "AWS::S3::Bucket": "s3",
        "AWS::ECR::Repository": "ecr",
        "AWS::EFS::FileSystem": "efs",
        "AWS::KMS::Key": "kms",
    }.get(kept.type)
    if service is None:
        return False
    client = aws.client(service, region)
    with failures.explained(region, service):
        try:
            if service == "s3":
                _empty(client, kept.id)
                client.delete_bucket(Bucket=kept.id)
            elif service == "ecr":
                client.delete_repository(repositoryName=kept.id, force=True)
            elif service == "efs":
                client.delete_file_system(FileSystemId=kept.id)
            else:
                client.schedule_key_deletion(KeyId=kept.id)
        except ClientError as error:
            if not failures.is_missing(error):
                raise
    return True


def _retained(stacks: Stacks, stage: Stage, template: Template) -> Iterator[Kept]:
    name = stage.stack_name(template.name)
    if not template.retained or stacks.describe(name) is None:
        return
    # A bucket's policy goes with its bucket, so it is not data of its own.
    wanted = {key for key, kind in template.retained.items() if kind != "AWS::S3::BucketPolicy"}
    for one in stacks.client.describe_stack_resources(StackName=name)["StackResources"]:
        if one.get("LogicalResourceId") in wanted and one.get("PhysicalResourceId"):
            yield Kept(template.name, one["ResourceType"], one["PhysicalResourceId"])


def _empty(s3: Any, bucket: str) -> None:
    """Delete every version and delete marker of a bucket."""
    for page in s3.get_paginator("list_object_versions").paginate(Bucket=bucket):
        versions = page.get("Versions", []) + page.get("DeleteMarkers", [])
        keys = [{"Key": one["Key"], "VersionId": one["VersionId"]} for one in versions]
        for start in range(0, len(keys), DELETE_LIMIT):
            s3.delete_objects(
                Bucket=bucket, Delete={"Objects": keys[start : start + DELETE_LIMIT], "Quiet": True}
            )

"""Takes a stage down, last stack first. Data stays, unless it is asked for by name.

A region's artifact bucket holds what all stages and publishing share: released zips, the index and
the locks. It belongs to no stage, whichever stack made it, and is never deleted by one; neither is
the key that encrypts it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from layersmith.errors import ShipError
from layersmith.ship.aws import buckets, failures
from layersmith.stacks import keeping
from layersmith.stacks import templates as templates_
from layersmith.stacks.operations import Stacks

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from layersmith.ship.aws.accounts import Aws
    from layersmith.stacks.stage import Stage
    from layersmith.stacks.templates import Template

DELETE_LIMIT = 1000
"""Objects of one DeleteObjects call (S3 API reference)."""

PUBLISHING = "publishing"
"""The user of a bucket that holds released zips or their index."""


@dataclass(frozen=True)
class Kept:
    """A resource with data in it.

    Attributes:
        stack: Name of its template.
        type: Such as ``AWS::S3::Bucket``.
        id: Its name on AWS.
        users: Who else uses it: stacks that are not of this stage, publishing, a shared bucket.
        shared: Whether it belongs to no stage, so that no stage deletes it.
    """

    stack: str
    type: str
    id: str
    users: tuple[str, ...] = ()
    shared: bool = False


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


def data_of(
    aws: Aws, stage: Stage, templates: Sequence[Template], *, delete_data: bool = False
) -> list[Kept]:
    """Return what holds data of the stage and outlives its stacks.

    Args:
        aws: Clients of the account.
        stage: What is taken down.
        templates: Its templates.
        delete_data: Also find the stage's SSM parameters, and who else uses the resources; without
            it these reads, and the rights for them, are not needed.

    Raises:
        AwsFailure: A call failed.
    """
    stacks = Stacks(aws.client("cloudformation", stage.region))
    with failures.explained(stage.region, "cloudformation"):
        kept = [one for template in templates for one in _retained(aws, stacks, stage, template)]
        if not delete_data:
            return kept
        own = {stage.stack_name(template.name) for template in templates}
        named = list(_values_of_others(stacks.client, own))
    release = buckets.artifact_bucket(stage.project, aws.account(stage.region), stage.region)
    with failures.explained(stage.region, "s3"):
        kept = [_used(aws.s3(stage.region), one, release, named) for one in kept]
    return kept + _parameters(aws, stage)


def refuse_used(kept: Sequence[Kept]) -> None:
    """Refuse to delete data that somebody else uses.

    Raises:
        ShipError: Something is in use; the message names each with its users.
    """
    used = [one for one in kept if one.users and not one.shared]
    if used:
        names = "; ".join(f"{one.id} is used by {', '.join(one.users)}" for one in used)
        raise ShipError(
            f"nothing was removed: {names}",
            cause="data that others use is not deleted with a stage",
            hint="end that use first, or run it without --delete-data",
        )


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
        delete_data: Also empty and delete buckets, file systems, repositories, keys and parameters.
        role_arn: Role that CloudFormation works with.

    Raises:
        ShipError: Others use the data, or a stack could not be deleted; the message names the
            users, or the first failing resource.
        AwsFailure: A call failed.
    """
    stacks = Stacks(aws.client("cloudformation", stage.region))
    # Listed before anything goes: afterwards no stack says what it left.
    kept = data_of(aws, stage, templates, delete_data=delete_data)
    refuse_used(kept)
    removed: list[str] = []
    absent: list[str] = []
    with failures.explained(stage.region, "cloudformation"):
        for template in reversed(templates_.order(templates)):
            gone = stacks.delete(stage.stack_name(template.name), role_arn=role_arn)
            (removed if gone else absent).append(template.name)
    deleted = [
        one for one in kept if delete_data and not one.shared and delete(aws, stage.region, one)
    ]
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
        "AWS::S3Vectors::VectorBucket": "s3vectors",
        "AWS::ECR::Repository": "ecr",
        "AWS::EFS::FileSystem": "efs",
        "AWS::KMS::Key": "kms",
        "AWS::SSM::Parameter": "ssm",
    }.get(kept.type)
    if service is None:
        return False
    client = aws.client(service, region)
    with failures.explained(region, service):
        try:
            if service == "s3":
                _empty(client, kept.id)
                client.delete_bucket(Bucket=kept.id)
            elif service == "s3vectors":
                delete_vector_bucket(client, kept.id)
            elif service == "ecr":
                client.delete_repository(repositoryName=kept.id, force=True)
            elif service == "efs":
                client.delete_file_system(FileSystemId=kept.id)
            elif service == "ssm":
                client.delete_parameter(Name=kept.id)
            else:
                client.schedule_key_deletion(KeyId=kept.id)
        except ClientError as error:
            if not failures.is_missing(error):
                raise
    return True


def _retained(aws: Aws, stacks: Stacks, stage: Stage, template: Template) -> Iterator[Kept]:
    name = stage.stack_name(template.name)
    described = stacks.describe(name) if template.retained else None
    if described is None:
        return
    for kind, found in keeping.taken_over(aws, stage, template.name, described):
        if kind != "AWS::S3::Bucket":  # the artifact bucket, which belongs to no stage
            yield Kept(template.name, kind, found)
    # A bucket's policy goes with its bucket, so it is not data of its own.
    wanted = {key for key, kind in template.retained.items() if kind != "AWS::S3::BucketPolicy"}
    for one in stacks.client.describe_stack_resources(StackName=name)["StackResources"]:
        if one.get("LogicalResourceId") in wanted and one.get("PhysicalResourceId"):
            yield Kept(template.name, one["ResourceType"], one["PhysicalResourceId"])


def delete_vector_bucket(client: Any, arn: str) -> None:
    """Delete a vector bucket with its indexes.

    Raises:
        botocore.exceptions.ClientError: S3 Vectors refuses.
    """
    bucket = arn.rpartition("/")[2]
    pages = client.get_paginator("list_indexes").paginate(vectorBucketName=bucket)
    for index in [one["indexName"] for page in pages for one in page["indexes"]]:
        client.delete_index(vectorBucketName=bucket, indexName=index)
    client.delete_vector_bucket(vectorBucketName=bucket)


def _parameters(aws: Aws, stage: Stage) -> list[Kept]:
    """The stage's SSM parameters: tokens of sessions with ``TokenStore: ssm``."""
    pages = aws.ssm(stage.region).get_paginator("get_parameters_by_path")
    path = f"/{stage.project}/{stage.name}"
    with failures.explained(stage.region, "ssm"):
        return [
            Kept("chroma", "AWS::SSM::Parameter", one.get("Name", ""))
            for page in pages.paginate(Path=path, Recursive=True)
            for one in page["Parameters"]
        ]


def _values_of_others(client: Any, own: set[str]) -> Iterator[tuple[str, str]]:
    """Every stack that is not of the stage, with each value of its parameters and outputs."""
    for page in client.get_paginator("describe_stacks").paginate():
        for stack in page["Stacks"]:
            if stack["StackName"] in own or stack["StackStatus"] == "DELETE_COMPLETE":
                continue
            for one in [*stack.get("Parameters", []), *stack.get("Outputs", [])]:
                for key in ("ParameterValue", "ResolvedValue", "OutputValue"):
                    if one.get(key):
                        yield stack["StackName"], one[key]


def _used(s3: Any, one: Kept, release: str, named: Iterable[tuple[str, str]]) -> Kept:
    """Return a resource with its users.

    Args:
        s3: botocore's client.
        one: The resource.
        release: Name of the region's artifact bucket.
        named: Stacks of others and what they name.
    """
    # The name alone, or within an ARN or an address, but not within a longer name.
    pattern = re.compile(rf"(?<![\w.-]){re.escape(one.id)}(?![\w-])")
    users = {stack for stack, value in named if pattern.search(value)}
    shared = False
    if one.type == "AWS::S3::Bucket":
        shared = one.id == release
        users |= {PUBLISHING} if shared or _holds_releases(s3, one.id) else set()
    elif one.type == "AWS::KMS::Key":
        shared = one.id in _key_of(s3, release)
        users |= {release} if shared else set()
    return replace(one, users=tuple(sorted(users)), shared=shared)


def _holds_releases(s3: Any, bucket: str) -> bool:
    try:
        return any(
            s3.list_objects_v2(Bucket=bucket, Prefix=prefix, MaxKeys=1).get("KeyCount")
            for prefix in (buckets.ARTIFACTS, buckets.INDEX)
        )
    except ClientError as error:
        if failures.is_missing(error):
            return False
        raise


def _key_of(s3: Any, bucket: str) -> str:
    """The key that encrypts a bucket, as its id or ARN; empty for S3's own or without a bucket."""
    try:
        answer = s3.get_bucket_encryption(Bucket=bucket)
    except ClientError as error:
        if failures.is_missing(error) or "NotFound" in failures.code_of(error):
            return ""
        raise
    rules = answer["ServerSideEncryptionConfiguration"]["Rules"]
    defaults = [rule.get("ApplyServerSideEncryptionByDefault", {}) for rule in rules]
    return " ".join(one.get("KMSMasterKeyID", "") for one in defaults)


def _empty(s3: Any, bucket: str) -> None:
    """Delete every version and delete marker of a bucket."""
    for page in s3.get_paginator("list_object_versions").paginate(Bucket=bucket):
        versions = page.get("Versions", []) + page.get("DeleteMarkers", [])
        keys = [{"Key": one["Key"], "VersionId": one["VersionId"]} for one in versions]
        for start in range(0, len(keys), DELETE_LIMIT):
            s3.delete_objects(
                Bucket=bucket, Delete={"Objects": keys[start : start + DELETE_LIMIT], "Quiet": True}
            )

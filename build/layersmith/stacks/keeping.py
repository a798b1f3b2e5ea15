"""What a stack keeps under a name of its own, and may find there when it comes up.

CloudFormation cannot create what is there: a bucket that `publish` made first, or what an earlier
stack of the stage left when it was taken down. So a parameter of the template says whether the
stack makes it; what a stack made stays its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from layersmith.ship.aws import buckets, failures

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from layersmith.ship.aws.accounts import Aws
    from layersmith.stacks.operations import Stacks
    from layersmith.stacks.stage import Stage


@dataclass(frozen=True)
class Named:
    """A resource that outlives its stack and has a name of its own.

    Attributes:
        parameter: Says whether the stack makes it, ``true`` or ``false``.
        resource: Its logical id.
        type: Such as ``AWS::ECR::Repository``.
        name: Its name, for a stage and an account.
        look: Asks for it in a region by its name; an error where it is missing.
        wanted: Whether a stage has it at all.
    """

    parameter: str
    resource: str
    type: str
    name: Callable[[Stage, str], str]
    look: Callable[[Aws, str, str], object]
    wanted: Callable[[Stage], bool] = lambda _: True


def _head_bucket(aws: Aws, region: str, name: str) -> Any:
    return aws.s3(region).head_bucket(Bucket=name, ExpectedBucketOwner=aws.account(region))


def _describe_repository(aws: Aws, region: str, name: str) -> Any:
    return aws.client("ecr", region).describe_repositories(repositoryNames=[name])


def _get_vector_bucket(aws: Aws, region: str, name: str) -> Any:
    return aws.client("s3vectors", region).get_vector_bucket(vectorBucketName=name)


NAMED = {
    "artifacts": (
        Named(
            "CreateBucket",
            "Bucket",
            "AWS::S3::Bucket",
            lambda stage, account: buckets.artifact_bucket(stage.project, account, stage.region),
            _head_bucket,
        ),
        Named(
            "CreateRepository",
            "Images",
            "AWS::ECR::Repository",
            lambda stage, _: f"{stage.project}/{stage.name}/chroma",
            _describe_repository,
        ),
    ),
    "vectors": (
        Named(
            "CreateVectorBucket",
            "VectorBucket",
            "AWS::S3Vectors::VectorBucket",
            lambda stage, account: f"{stage.project}-{stage.name}-vectors-{account}",
            _get_vector_bucket,
            lambda stage: "s3vectors" in stage.databases.values(),
        ),
    ),
}
"""By the name of the template."""


def parameters(aws: Aws, stage: Stage, template: str, stacks: Stacks) -> dict[str, str]:
    """Return which named resources a stack makes, by parameter.

    Raises:
        botocore.exceptions.ClientError: A service refuses.
    """
    named = NAMED.get(template, ())
    held = stacks.held(stage.stack_name(template)) if named else set()
    found = {
        one.parameter: one.resource not in held and one.wanted(stage) and _exists(aws, stage, one)
        for one in named
    }
    return {parameter: "false" if there else "true" for parameter, there in found.items()}


def taken_over(
    aws: Aws, stage: Stage, template: str, described: Mapping[str, Any]
) -> Iterator[tuple[str, str]]:
    """Yield type and name of what a stack uses and has not made.

    Args:
        aws: Clients of the account.
        stage: The stage.
        template: Name of the stack's template.
        described: What CloudFormation says of the stack.
    """
    given = {one["ParameterKey"]: one["ParameterValue"] for one in described.get("Parameters", ())}
    for one in NAMED.get(template, ()):
        if given.get(one.parameter) == "false":
            yield one.type, one.name(stage, aws.account(stage.region))


def _exists(aws: Aws, stage: Stage, one: Named) -> bool:
    try:
        one.look(aws, stage.region, one.name(stage, aws.account(stage.region)))
    except ClientError as error:
        if failures.is_missing(error):
            return False
        raise
    return True

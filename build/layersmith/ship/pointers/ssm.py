"""The pointers of a target: SSM parameters that name the ARN of a version, and of the latest."""

from __future__ import annotations

from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from layersmith.ship.aws import failures, labels

if TYPE_CHECKING:
    from layersmith.ship.aws.clients import Aws

LATEST = "latest"


def write(
    aws: Aws, region: str, place: tuple[str, str, str], name: str, value: str, *, note: str = ""
) -> None:
    """Write one parameter, over what it was.

    Args:
        aws: Clients of the account.
        region: Where.
        place: Layer, runtime and architecture.
        name: ``latest``, a semver, or ``yanked/<semver>``.
        value: An ARN, or the reason of a withdrawal.
        note: Description of the parameter, for people.

    Raises:
        AwsFailure: SSM refused.
    """
    with failures.explained(region, "ssm"):
        aws.ssm(region).put_parameter(
            Name=labels.parameter(*place, name),
            Value=value,
            Type="String",
            Overwrite=True,
            Description=note[:1024],
        )


def remove(aws: Aws, region: str, place: tuple[str, str, str], name: str) -> None:
    """Remove one parameter; one that is not there is as well.

    Raises:
        AwsFailure: SSM refused.
    """
    with failures.explained(region, "ssm"):
        try:
            aws.ssm(region).delete_parameter(Name=labels.parameter(*place, name))
        except ClientError as error:
            if not failures.is_missing(error):
                raise

"""What is read before the first change, so that a run that would fail in the middle never begins.

Every check adds to one report. A read that the account denies is said and passed over: the role may
be right for everything else.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from layersmith import console
from layersmith.errors import ManyErrors, ShipError
from layersmith.ship.aws import failures, regions

if TYPE_CHECKING:
    from collections.abc import Iterator

    from layersmith.errors import LayersmithError
    from layersmith.ship.aws.accounts import Aws


@dataclass
class Findings:
    """What a preflight found.

    Attributes:
        problems: What would make the run fail.
        unread: What could not be checked, and why.
    """

    problems: list[LayersmithError] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)

    @contextmanager
    def reading(self, what: str, region: str, service: str) -> Iterator[None]:
        """Note a refused read of the block instead of failing.

        Raises:
            AwsFailure: The credentials are missing or expired, or the clock is wrong.
        """
        try:
            with failures.explained(region, service):
                yield
        except failures.AwsFailure as failure:
            if failure.kind in failures.OF_THE_RUN:
                raise
            self.unread.append(f"{what} was not checked: {failure.message}")

    def refuse(self) -> None:
        """End the run if there is a problem.

        Raises:
            LayersmithError: The problem, or all of them.
        """
        if len(self.problems) == 1:
            raise self.problems[0]
        if self.problems:
            raise ManyErrors(self.problems)


def check_role(
    report: Findings, aws: Aws, region: str, name: str, *, service: str, hint: str
) -> None:
    """Check that a role exists and that a service may assume it.

    Args:
        report: Takes what is found.
        aws: Clients of the account.
        region: Any region of the account's partition.
        name: The role's name, without its path.
        service: Such as ``lambda.amazonaws.com``.
        hint: What to do if it is not so.
    """
    with report.reading(f"the role {name}", region, "iam"):
        found = role(aws, region, name)
        if found is None:
            report.problems.append(ShipError(f"the role {name} does not exist", hint=hint))
        elif not any(service in one for one in _trusted(found["AssumeRolePolicyDocument"])):
            report.problems.append(
                ShipError(f"the role {name} does not trust {service}", hint=hint)
            )


def role(aws: Aws, region: str, name: str) -> dict[str, Any] | None:
    """Return a role as IAM describes it; None where there is none.

    Raises:
        botocore.exceptions.ClientError: IAM refuses.
    """
    try:
        found: dict[str, Any] = aws.client("iam", region).get_role(RoleName=name)["Role"]
    except ClientError as error:
        if failures.is_missing(error):
            return None
        raise
    return found


def check_bucket(report: Findings, aws: Aws, region: str, name: str) -> bool:
    """Check that a bucket of the artifact bucket's name belongs to the account; say if it exists.

    This fails closed: what is uploaded to a bucket of others is theirs.
    """
    with failures.explained(region, "s3"):
        try:
            aws.s3(region).head_bucket(Bucket=name, ExpectedBucketOwner=aws.account(region))
        except ClientError as error:
            if failures.is_missing(error):
                return False
            if failures.code_of(error) not in {"403", "AccessDenied"}:
                raise
            report.problems.append(
                ShipError(
                    f"{region}: the bucket {name} cannot be used",
                    cause="it belongs to another account, or s3:ListBucket is denied",
                    hint="use another project name, or allow the action for this role",
                )
            )
    return True


def check_region(report: Findings, aws: Aws, region: str) -> bool:
    """Check that the account has enabled a region, and say whether it can be used."""
    home = regions.HOME[regions.partition_of(region)]
    with report.reading(f"whether {region} is enabled", home, "ec2"):
        answer = aws.client("ec2", home).describe_regions(RegionNames=[region], AllRegions=True)
        if answer["Regions"][0].get("OptInStatus") == "not-opted-in":
            report.problems.append(
                ShipError(
                    f"{region} is not enabled for this account",
                    hint=f"enable it: `aws account enable-region --region-name {region}`",
                )
            )
            return False
    return True


def check_quota(
    report: Findings, aws: Aws, region: str, service: str, code: str, *, needs: float
) -> None:
    """Check that a quota holds what is needed.

    Args:
        report: Takes what is found.
        aws: Clients of the account.
        region: Where.
        service: Code of the service, such as ``vpc`` (Service Quotas).
        code: Code of the quota, such as ``L-F678F1CE``.
        needs: What has to fit into it, with what is used already.
    """
    with report.reading(f"the quota {service}/{code}", region, "servicequotas"):
        client = aws.client("service-quotas", region)
        quota = client.get_service_quota(ServiceCode=service, QuotaCode=code)["Quota"]
        if quota["Value"] < needs:
            report.problems.append(
                ShipError(
                    f"{region}: the quota {quota['QuotaName']!r} is {quota['Value']:g}, "
                    f"and {needs:g} are needed",
                    hint=f"ask for more: `aws service-quotas request-service-quota-increase "
                    f"--service-code {service} --quota-code {code} --desired-value {needs:g}`",
                )
            )


def check_code_storage(report: Findings, aws: Aws, region: str, *, needs: int) -> None:
    """Check that Lambda has room for zips: layers and functions share one quota per region.

    Args:
        report: Takes what is found.
        aws: Clients of the account.
        region: Where.
        needs: Bytes that are to be added.
    """
    with report.reading("Lambda's code storage", region, "lambda"):
        said = aws.lambda_(region).get_account_settings()
        limit, used = said["AccountLimit"]["TotalCodeSize"], said["AccountUsage"]["TotalCodeSize"]
        if used + needs > limit:
            report.problems.append(
                ShipError(
                    f"{region}: Lambda's code storage has room for"
                    f" {console.megabytes(limit - used)}, and"
                    f" {console.megabytes(needs)} are needed",
                    hint="remove old versions with `gc`, or raise the quota L-2ACBD22F of lambda",
                )
            )


def _trusted(document: dict[str, Any]) -> Iterator[list[str]]:
    statements = document.get("Statement", [])
    for statement in [statements] if isinstance(statements, dict) else statements:
        principal = statement.get("Principal", {})
        if statement.get("Effect") == "Allow" and isinstance(principal, dict):
            named = principal.get("Service", [])
            yield [named] if isinstance(named, str) else list(named)

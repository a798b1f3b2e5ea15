"""What would make a deployment fail in the middle, looked for before its first change."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from layersmith.errors import ConfigError, ShipError
from layersmith.ship.aws import failures
from layersmith.ship.aws import preflight as checks
from layersmith.ship.aws.preflight import Findings

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from layersmith.ship.aws.accounts import Aws
    from layersmith.stacks.changesets import Stacks
    from layersmith.stacks.stage import Stage
    from layersmith.stacks.templates import Template

BOOTSTRAP_HINT = "run `deploy --stage {} --bootstrap` as an administrator"

CLUSTER = "AWS::ECS::Cluster"
ECS_ROLE = "AWSServiceRoleForECS"
ECS_SERVICE = "ecs.amazonaws.com"
"""ECS works in the account with this role, and a first cluster with capacity providers fails
without it (Amazon ECS, service-linked role)."""

VPCS = ("vpc", "L-F678F1CE")
ADDRESSES = ("ec2", "L-0263D0A3")
FARGATE = {"FARGATE": ("fargate", "L-3032A538"), "FARGATE_SPOT": ("fargate", "L-36FBB829")}
"""Quotas: VPCs per region, Elastic IPs, vCPUs of Fargate (Service Quotas)."""

CPU_UNITS = 1024
"""Units of one vCPU (ECS task definition parameters)."""


@dataclass(frozen=True)
class Preflight:
    """What is about to be deployed.

    Attributes:
        aws: Clients of the account.
        stage: The stage.
        templates: What is brought up, in order.
        values: Parameters by template, as far as they are given.
        stacks: CloudFormation in the stage's region.
        role_arn: Role that CloudFormation works with.
        report: Takes what is found.
    """

    aws: Aws
    stage: Stage
    templates: Sequence[Template]
    values: Mapping[str, Mapping[str, str]]
    stacks: Stacks
    role_arn: str | None = None
    report: Findings = field(default_factory=Findings)

    def parameters(self) -> None:
        """Check the parameters against what the templates declare; nothing is called."""
        for template in self.templates:
            values = self._values(template)
            for name, declared in template.parameters.items():
                if name not in values:
                    self._wrong(template, name, "has no value")
                elif problem := _problem(declared, values[name]):
                    self._wrong(template, name, problem)
            for reason in _broken_rules(template.document.get("Rules", {}), values):
                self.report.problems.append(ConfigError(f"{template.name}: {reason}"))

        self._mount_targets()

    def _mount_targets(self) -> None:
        """EFS gets a mount target in each of two subnets, also in a VPC that was there before."""
        by_name = {one.name: self._values(one) for one in self.templates}
        subnets = by_name.get("network", {}).get("ExistingTaskSubnetIds", "")
        if by_name.get("chroma", {}).get("Storage") == "efs" and subnets and "," not in subnets:
            self.report.problems.append(
                ConfigError(
                    f"stage {self.stage.name}: network.ExistingTaskSubnetIds names one subnet",
                    cause="chroma.Storage is efs, which needs two, in different zones",
                    hint="name a second subnet, or keep the databases on s3",
                )
            )

    def account(self, bucket: str) -> None:
        """Check what the account has to offer.

        Args:
            bucket: Name of the artifact bucket.

        Raises:
            AwsFailure: The credentials are missing or expired, or S3 fails.
        """
        exists = checks.check_bucket(self.report, self.aws, self.stage.region, bucket)
        makes = any(one.name == "artifacts" for one in self.templates) and not self.role_arn
        if not exists and not makes and any(not one.foundation for one in self.templates):
            self.report.problems.append(
                ShipError(f"the artifact bucket {bucket} does not exist", hint=self._bootstrap)
            )
        if self.role_arn:
            self._role(self.role_arn)
        self._layers()
        self._quotas()

    @property
    def _bootstrap(self) -> str:
        return BOOTSTRAP_HINT.format(self.stage.name)

    def _values(self, template: Template) -> dict[str, str]:
        defaults = {
            name: str(declared["Default"])
            for name, declared in template.parameters.items()
            if "Default" in declared
        }
        own = {"Project": self.stage.project, "Stage": self.stage.name}
        return {**defaults, **own, **self.values.get(template.name, {})}

    def _wrong(self, template: Template, name: str, problem: str) -> None:
        parameter = f"{template.name}.{name}"
        self.report.problems.append(
            ConfigError(
                f"stage {self.stage.name}: {parameter} {problem}",
                hint=f"put it into the stage's file, or add --set {parameter}=VALUE",
            )
        )

    def _role(self, arn: str) -> None:
        name = arn.rpartition("/")[2]
        checks.check_role(
            self.report,
            self.aws,
            self.stage.region,
            name,
            service="cloudformation.amazonaws.com",
            hint=self._bootstrap,
        )
        for template in self.templates:
            stack = self.stage.stack_name(template.name)
            if template.foundation and self.stacks.describe(stack) is None:
                self.report.problems.append(
                    ShipError(
                        f"{stack} does not exist",
                        cause="it gives roles their rights, so only an administrator deploys it",
                        hint=self._bootstrap,
                    )
                )
        if _has_cluster(self.templates):
            with self.report.reading(f"the role {ECS_ROLE}", self.stage.region, "iam"):
                if checks.role(self.aws, self.stage.region, ECS_ROLE) is None:
                    self.report.problems.append(
                        ShipError(
                            f"the service-linked role {ECS_ROLE} does not exist",
                            cause="ECS has not been used in this account",
                            hint=self._bootstrap,
                        )
                    )

    def _layers(self) -> None:
        """Check that the parameters of Parameter Store exist that a template reads."""
        named = [
            self._values(template)[name]
            for template in self.templates
            for name, declared in template.parameters.items()
            if declared["Type"].startswith("AWS::SSM::Parameter::Value")
        ]
        if not named:
            return
        with self.report.reading("the layers' parameters", self.stage.region, "ssm"):
            answer = self.aws.ssm(self.stage.region).get_parameters(Names=sorted(set(named)))
            for name in answer.get("InvalidParameters", []):
                self.report.problems.append(
                    ShipError(
                        f"{self.stage.region}: the parameter {name} does not exist",
                        cause="the layer has not been published to this region",
                        hint="`publish apply`, then deploy again",
                    )
                )

    def _quotas(self) -> None:
        region = self.stage.region
        by_name = {template.name: self._values(template) for template in self.templates}
        network, chroma = by_name.get("network"), by_name.get("chroma")
        ec2 = self.aws.client("ec2", region)
        new = network and self.stacks.describe(self.stage.stack_name("network")) is None
        if network and new and not network["ExistingVpcId"]:
            with self.report.reading("the number of VPCs", region, "ec2"):
                used = len(ec2.describe_vpcs()["Vpcs"])
                checks.check_quota(self.report, self.aws, region, *VPCS, needs=used + 1)
            if network["Egress"] == "nat":
                with self.report.reading("the number of Elastic IPs", region, "ec2"):
                    used = len(ec2.describe_addresses()["Addresses"])
                    checks.check_quota(self.report, self.aws, region, *ADDRESSES, needs=used + 1)
        if chroma:
            quota = FARGATE[chroma["CapacityProvider"]]
            needs = int(chroma["Cpu"]) / CPU_UNITS
            checks.check_quota(self.report, self.aws, region, *quota, needs=needs)


def link_ecs(aws: Aws, region: str, templates: Sequence[Template]) -> bool:
    """Make ECS's service-linked role where a stack has a cluster; say whether it was made.

    Raises:
        AwsFailure: IAM refuses.
    """
    if not _has_cluster(templates):
        return False
    with failures.explained(region, "iam"):
        if checks.role(aws, region, ECS_ROLE) is not None:
            return False
        try:
            aws.client("iam", region).create_service_linked_role(AWSServiceName=ECS_SERVICE)
        except ClientError as error:
            # Somebody else was first (IAM API reference, CreateServiceLinkedRole).
            if "has been taken" not in str(error):
                raise
            return False
    return True


def _has_cluster(templates: Sequence[Template]) -> bool:
    return any(one["Type"] == CLUSTER for each in templates for one in each.resources.values())


def _problem(declared: Mapping[str, Any], value: str) -> str:
    """What is wrong with a parameter's value; empty where it fits."""
    allowed = [str(one) for one in declared.get("AllowedValues", [])]
    if allowed and value not in allowed:
        return f"is {value!r}; allowed are {', '.join(allowed)}"
    if "AllowedPattern" in declared and not re.fullmatch(declared["AllowedPattern"], value):
        said = (
            declared.get("ConstraintDescription") or f"it has to match {declared['AllowedPattern']}"
        )
        return f"is {value!r}; {said}" if value else f"is empty; {said}"
    if declared["Type"] == "Number":
        if not re.fullmatch(r"-?\d+(\.\d+)?", value):
            return f"is {value!r}, which is not a number"
        low, high = declared.get("MinValue"), declared.get("MaxValue")
        if (low is not None and float(value) < low) or (high is not None and float(value) > high):
            return f"is {value}; allowed are {low} to {high}"
    return ""


def _broken_rules(rules: Mapping[str, Any], values: Mapping[str, str]) -> Iterator[str]:
    """What the template's own rules say of its parameters."""
    for rule in rules.values():
        if "RuleCondition" in rule and not _holds(rule["RuleCondition"], values):
            continue
        for assertion in rule["Assertions"]:
            if not _holds(assertion["Assert"], values):
                yield str(assertion["AssertDescription"])


def _holds(node: Mapping[str, Any], values: Mapping[str, str]) -> bool:
    [(function, arguments)] = node.items()
    if function == "Fn::Equals":
        left, right = (values[one["Ref"]] if isinstance(one, dict) else one for one in arguments)
        return bool(left == right)
    found = [_holds(one, values) for one in arguments]
    return {"Fn::Not": not found[0], "Fn::And": all(found), "Fn::Or": any(found)}[function]

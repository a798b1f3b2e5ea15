"""The templates of a stage as CloudFormation would resolve them: names, ARNs, policies."""

from __future__ import annotations

import functools
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from layersmith.stacks import templates

from tests.support.policies import Policies, listed

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from layersmith.stacks.templates import Template

ROOT = Path(__file__).parents[2]
ACCOUNT, REGION, PARTITION = "123456789012", "eu-west-1", "aws"
PSEUDO = {
    "AWS::AccountId": ACCOUNT, "AWS::Region": REGION, "AWS::Partition": PARTITION,
    "AWS::URLSuffix": "amazonaws.com", "AWS::NoValue": None,
}  # fmt: skip
RANDOM = "1A2B3C4D5E6F"
"""What CloudFormation ends the names with that it makes itself."""

TAGS = {
    f"aws:{kind}Tag/{key}": value
    for kind in ("Resource", "Request")
    for key, value in (("project", "layersmith"), ("stage", "dev"))
}
HERE = {"aws:ResourceAccount": ACCOUNT}
"""What a request within the stage carries: the tags of its resources, and its account."""


@functools.cache
def _templates() -> dict[str, Template]:
    return templates.load(ROOT / "infra-templates")


class Stage:
    """Every stack of a stage, with the parameters that are given.

    Args:
        project: As the templates take it.
        stage: Its name.
        given: Parameters by stack, beside defaults.
    """

    def __init__(
        self,
        project: str = "layersmith",
        stage: str = "dev",
        given: Mapping[str, Mapping[str, str]] | None = None,
    ) -> None:
        self.project, self.stage, self.given = project, stage, given or {}
        self.templates = _templates()

    @functools.cached_property
    def stacks(self) -> dict[str, Stack]:
        """The stacks by name of their template."""
        return {name: Stack(self, template) for name, template in self.templates.items()}

    def exported(self, name: str) -> Any:
        """The value of an export."""
        stack, value = self._exports[name]
        return stack.value(value)

    @functools.cached_property
    def _exports(self) -> dict[str, tuple[Stack, Any]]:
        return {
            str(stack.value(output["Export"]["Name"])): (stack, output["Value"])
            for stack in self.stacks.values()
            for output in stack.template.document.get("Outputs", {}).values()
            if "Export" in output
        }

    def roles(self) -> Iterator[tuple[str, Policies]]:
        """Every role, as ``stack.LogicalId``, with what it may do."""
        for stack in self.stacks.values():
            for name, resource in stack.resources.items():
                if resource["Type"] == "AWS::IAM::Role":
                    yield f"{stack.template.name}.{name}", self.policies(stack.template.name, name)

    def policies(self, stack: str, role: str) -> Policies:
        """What a role may do."""
        made = self.stacks[stack]
        properties = made.resources[role]["Properties"]
        documents = [one["PolicyDocument"] for one in properties.get("Policies", ())]
        documents += [self._managed(arn) for arn in properties.get("ManagedPolicyArns", ())]
        boundary = properties.get("PermissionsBoundary")
        return Policies(
            [one for each in documents for one in each["Statement"]],
            self._managed(boundary)["Statement"] if boundary else None,
        )

    def _managed(self, arn: str) -> dict[str, Any]:
        for stack in self.stacks.values():
            for name, resource in stack.resources.items():
                if resource["Type"] == "AWS::IAM::ManagedPolicy" and stack.physical(name) == arn:
                    document: dict[str, Any] = resource["Properties"]["PolicyDocument"]
                    return document
        raise AssertionError(f"no stack makes {arn}")


class Stack:
    """One template with its parameters."""

    def __init__(self, stage: Stage, template: Template) -> None:
        self.stage, self.template = stage, template
        self.name = f"{stage.project}-{stage.stage}-{template.name}"
        defaults = {
            name: declared.get("Default", f"a-{name.lower()}")
            for name, declared in template.parameters.items()
        }
        own = {
            "Project": stage.project,
            "Stage": stage.stage,
            # What deploy fills in.
            "BucketName": f"{stage.project}-{ACCOUNT}-{REGION}",
        }
        self.parameters = defaults | own | dict(stage.given.get(template.name, {}))

    @functools.cached_property
    def resources(self) -> dict[str, dict[str, Any]]:
        """The resources whose condition holds, resolved."""
        return {
            name: {**one, "Properties": self.value(one.get("Properties", {}))}
            for name, one in self.template.resources.items()
            if "Condition" not in one or self.condition(one["Condition"])
        }

    def value(self, node: Any) -> Any:
        """A part of the template with its functions resolved."""
        if isinstance(node, list):
            return [one for one in map(self.value, node) if one is not None]
        if not isinstance(node, dict):
            return node
        if len(node) == 1:
            [(name, argument)] = node.items()
            if name == "Ref" or name.startswith("Fn::"):
                return getattr(self, f"_{name.removeprefix('Fn::').lower()}")(argument)
        found = {key: self.value(one) for key, one in node.items()}
        return {key: one for key, one in found.items() if one is not None}

    def physical(self, name: str) -> str:
        """What ``Ref`` gives for a resource."""
        resource = self.template.resources[name]
        kind, properties = resource["Type"], resource.get("Properties", {})
        if kind in {
            "AWS::IAM::ManagedPolicy",
            "AWS::SNS::Topic",
            "AWS::StepFunctions::StateMachine",
        }:
            return self.arn(name)
        key = next((key for key in NAMES.get(kind, ()) if key in properties), None)
        if key:
            return str(self.value(properties[key]))
        made = f"{self.name}-{name}-{RANDOM}"
        return made.lower() if kind == "AWS::S3::Bucket" else made

    def arn(self, name: str) -> str:
        """A resource's ARN."""
        resource = self.template.resources[name]
        kind, properties = resource["Type"], resource.get("Properties", {})
        shape = ARNS.get(kind, f"{kind.split('::')[1].lower()}:{{region}}:{{account}}:{{name}}")
        if kind.startswith("AWS::EC2::"):
            shape = f"ec2:{{region}}:{{account}}:{_dashed(kind.split('::')[2])}/{{name}}"
        path = self.value(properties.get("Path", "/"))
        plain = name if "{name}" not in shape else self._bare_name(name)
        filled = shape.format(region=REGION, account=ACCOUNT, name=plain, path=path)
        return f"arn:{PARTITION}:{filled}"

    def _bare_name(self, name: str) -> str:
        resource = self.template.resources[name]
        properties = resource.get("Properties", {})
        keys = (
            *NAMES.get(resource["Type"], ()),
            "ManagedPolicyName",
            "TopicName",
            "StateMachineName",
        )
        key = next((key for key in keys if key in properties), None)
        if key:
            return str(self.value(properties[key]))
        if resource["Type"] == "AWS::Budgets::Budget":
            return str(self.value(properties["Budget"]["BudgetName"]))
        made = f"{self.name}-{name}-{RANDOM}"
        return made.lower() if resource["Type"] == "AWS::S3::Bucket" else made

    def _ref(self, name: str) -> Any:
        if name in PSEUDO:
            return PSEUDO[name]
        return self.parameters[name] if name in self.parameters else self.physical(name)

    def _getatt(self, path: Any) -> Any:
        name, attribute = path if isinstance(path, list) else path.split(".", 1)
        kind = self.template.resources[name]["Type"]
        if attribute in {"Arn", "TaskDefinitionArn"}:
            return self.arn(name) + (":*" if kind == "AWS::Logs::LogGroup" else "")
        return f"{self.physical(name)}.{attribute}"

    def _sub(self, argument: Any) -> str:
        text, own = argument if isinstance(argument, list) else (argument, {})

        def fill(found: re.Match[str]) -> str:
            name = found[1]
            if name in own:
                return str(self.value(own[name]))
            return str(self._getatt(name) if "." in name else self._ref(name))

        return re.sub(r"\$\{([^!}]+)\}", fill, text)

    def _importvalue(self, argument: Any) -> Any:
        return self.stage.exported(self.value(argument))

    def _if(self, argument: Any) -> Any:
        condition, yes, no = argument
        return self.value(yes if self.condition(condition) else no)

    def _select(self, argument: Any) -> Any:
        index, values = argument
        found = listed(self.value(values))
        return found[int(index) % len(found)]

    def _split(self, argument: Any) -> Any:
        return str(self.value(argument[1])).split(argument[0])

    def _join(self, argument: Any) -> str:
        return str(argument[0]).join(map(str, self.value(argument[1])))

    def _getazs(self, _: Any) -> list[str]:
        return [f"{REGION}a", f"{REGION}b"]

    def _cidr(self, _: Any) -> list[str]:
        return ["10.0.0.0/24"] * 8

    def condition(self, node: Any) -> bool:
        """Whether a condition holds, by its name or as it is written."""
        if isinstance(node, str):
            return self.condition(self.template.document["Conditions"][node])
        [(name, argument)] = node.items()
        if name == "Condition":
            return self.condition(argument)
        if name == "Fn::Equals":
            left, right = map(self.value, argument)
            return bool(left == right)
        found = [self.condition(one) for one in argument]
        return {"Fn::Not": not found[0], "Fn::And": all(found), "Fn::Or": any(found)}[name]


NAMES = {
    "AWS::S3::Bucket": ("BucketName",),
    "AWS::S3Vectors::VectorBucket": ("VectorBucketName",),
    "AWS::Logs::LogGroup": ("LogGroupName",),
    "AWS::Lambda::Function": ("FunctionName",),
    "AWS::DynamoDB::Table": ("TableName",),
    "AWS::ECS::Cluster": ("ClusterName",),
    "AWS::ECS::TaskDefinition": ("Family",),
    "AWS::ECR::Repository": ("RepositoryName",),
    "AWS::IAM::Role": ("RoleName",),
    "AWS::Events::Rule": ("Name",),
    "AWS::Scheduler::Schedule": ("Name",),
    "AWS::CloudWatch::Alarm": ("AlarmName",),
    "AWS::CloudWatch::Dashboard": ("DashboardName",),
}
"""Properties that name a resource."""

_EFS = "elasticfilesystem:{region}:{account}:"
ARNS = {
    "AWS::IAM::Role": "iam::{account}:role{path}{name}",
    "AWS::IAM::ManagedPolicy": "iam::{account}:policy{path}{name}",
    "AWS::IAM::OIDCProvider": "iam::{account}:oidc-provider/token.actions.githubusercontent.com",
    "AWS::S3::Bucket": "s3:::{name}",
    "AWS::S3Vectors::VectorBucket": "s3vectors:{region}:{account}:bucket/{name}",
    "AWS::Logs::LogGroup": "logs:{region}:{account}:log-group:{name}",
    "AWS::Lambda::Function": "lambda:{region}:{account}:function:{name}",
    "AWS::DynamoDB::Table": "dynamodb:{region}:{account}:table/{name}",
    "AWS::ECS::Cluster": "ecs:{region}:{account}:cluster/{name}",
    "AWS::ECS::TaskDefinition": "ecs:{region}:{account}:task-definition/{name}:7",
    "AWS::ECR::Repository": "ecr:{region}:{account}:repository/{name}",
    "AWS::EFS::FileSystem": _EFS + "file-system/fs-0123456789abcdef0",
    "AWS::EFS::MountTarget": _EFS + "file-system/fs-0123456789abcdef0",
    "AWS::EFS::AccessPoint": _EFS + "access-point/fsap-0123456789abcdef0",
    "AWS::Events::Rule": "events:{region}:{account}:rule/{name}",
    "AWS::Scheduler::Schedule": "scheduler:{region}:{account}:schedule/default/{name}",
    "AWS::CloudWatch::Alarm": "cloudwatch:{region}:{account}:alarm:{name}",
    "AWS::CloudWatch::Dashboard": "cloudwatch::{account}:dashboard/{name}",
    "AWS::SNS::Topic": "sns:{region}:{account}:{name}",
    "AWS::SNS::TopicPolicy": "sns:{region}:{account}:layersmith-dev-alarms",
    "AWS::SNS::Subscription": "sns:{region}:{account}:layersmith-dev-alarms",
    "AWS::StepFunctions::StateMachine": "states:{region}:{account}:stateMachine:{name}",
    "AWS::Budgets::Budget": "budgets::{account}:budget/{name}",
    "AWS::KMS::Key": "kms:{region}:{account}:key/11111111-2222-3333-4444-555555555555",
}
"""What follows ``arn:aws:`` (AWS, service authorization reference, resource types)."""


def _dashed(name: str) -> str:
    special = {
        "VPC": "vpc",
        "VPCEndpoint": "vpc-endpoint",
        "EIP": "elastic-ip",
        "NatGateway": "natgateway",
    }
    return special.get(name) or re.sub(r"(?<!^)(?=[A-Z])", "-", name).lower()

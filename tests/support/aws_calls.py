"""Which AWS calls a run makes: a refusal of all but reads, and what IAM asks for each."""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from botocore.client import BaseClient

from tests.support.policies import Call
from tests.support.resolved import ACCOUNT, REGION

if TYPE_CHECKING:
    from collections.abc import Iterator

READS = re.compile(r"(Get|List|Describe|Head|BatchGet|Lookup|Search)[A-Z].*|AssumeRole\w*")

PLANS = {"CreateChangeSet", "DeleteChangeSet"}
"""How CloudFormation plans: they change no resource of a stack that is there."""


class WriteRefused(RuntimeError):
    """A run that may only read called something else."""


@contextmanager
def only_reads(*also: str) -> Iterator[list[str]]:
    """Record the operations that clients of this process call; refuse those that change anything.

    Args:
        also: Operations that are let through beside reads.
    """
    real, calls = vars(BaseClient)["_make_api_call"], list[str]()

    def call(self: BaseClient, operation: str, arguments: Any) -> Any:
        calls.append(operation)
        if not READS.fullmatch(operation) and operation not in also:
            raise WriteRefused(operation)
        return real(self, operation, arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(BaseClient, "_make_api_call", call)
        yield calls
    assert [one for one in calls if not READS.fullmatch(one) and one not in also] == []


@contextmanager
def recorded() -> Iterator[list[tuple[str, str, dict[str, Any]]]]:
    """Record the calls that clients of this process make: service, operation, arguments."""
    real, calls = vars(BaseClient)["_make_api_call"], list[tuple[str, str, dict[str, Any]]]()

    def call(self: BaseClient, operation: str, arguments: Any) -> Any:
        calls.append((self.meta.service_model.service_name, operation, dict(arguments)))
        return real(self, operation, arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(BaseClient, "_make_api_call", call)
        yield calls


ACTIONS = {
    "s3:HeadBucket": "s3:ListBucket",
    "s3:HeadObject": "s3:GetObject",
    "s3:ListObjectsV2": "s3:ListBucket",
    "s3:ListObjectVersions": "s3:ListBucketVersions",
    "s3:GetBucketLifecycleConfiguration": "s3:GetLifecycleConfiguration",
    "s3:PutBucketLifecycleConfiguration": "s3:PutLifecycleConfiguration",
    "s3:PutBucketEncryption": "s3:PutEncryptionConfiguration",
    "s3:GetBucketEncryption": "s3:GetEncryptionConfiguration",
    "s3:PutPublicAccessBlock": "s3:PutBucketPublicAccessBlock",
    "s3:DeleteObjects": "s3:DeleteObject",
    "s3:CreateMultipartUpload": "s3:PutObject",
    "s3:UploadPart": "s3:PutObject",
    "s3:CompleteMultipartUpload": "s3:PutObject",
    "lambda:Invoke": "lambda:InvokeFunction",
}
"""Operations whose action has another name (AWS, service authorization reference)."""

RESOURCES = {
    "cloudformation": ("StackName", "stack/{}/1"),
    "iam": ("RoleName", "role/{}"),
    "lambda": ("FunctionName", "function:{}"),
    "states": ("stateMachineArn", "{}"),
    "ssm": ("Name", "parameter{}"),
}
"""Service -> argument that names the resource, and the end of its ARN."""

FREE = {"sts:GetCallerIdentity", "sts:AssumeRole"}
"""The caller's identity needs no permission; another role is the caller's own choice."""


def needs(service: str, operation: str, arguments: dict[str, Any]) -> list[Call]:
    """What IAM asks for one call: actions with resources, and the roles that are passed on."""
    prefix = {"stepfunctions": "states", "service-quotas": "servicequotas"}.get(service, service)
    action = ACTIONS.get(f"{prefix}:{operation}", f"{prefix}:{operation}")
    if action in FREE:
        return []
    context = {"aws:ResourceAccount": ACCOUNT}
    made = [Call(action, _resource(prefix, arguments), context)]
    for key, to in (("RoleARN", "cloudformation"), ("Role", "lambda")):
        if key in arguments:
            passed = {"iam:PassedToService": f"{to}.amazonaws.com"}
            made.append(Call("iam:PassRole", arguments[key], passed))
    return made


def _resource(prefix: str, arguments: dict[str, Any]) -> str:
    if prefix == "s3":
        key = f"/{arguments['Key']}" if "Key" in arguments else ""
        if "Delete" in arguments:
            key = f"/{arguments['Delete']['Objects'][0]['Key']}"
        return f"arn:aws:s3:::{arguments['Bucket']}{key}" if "Bucket" in arguments else "*"
    place = f"arn:aws:{prefix}:{'' if prefix == 'iam' else REGION}:{ACCOUNT}:"
    if "LayerName" in arguments and "FunctionName" not in arguments:
        version = arguments.get("VersionNumber")
        return f"{place}layer:{arguments['LayerName']}" + (f":{version}" if version else "")
    if prefix == "servicequotas":
        return f"{place}{arguments['ServiceCode']}/{arguments['QuotaCode']}"
    if prefix == "ssm":
        name = arguments.get("Name") or arguments.get("Path") or arguments.get("Names", [""])[0]
        return f"{place}parameter{name}"
    key, shape = RESOURCES.get(prefix, ("", ""))
    value = str(arguments.get(key, ""))
    if not value:
        return "*"
    if value == "AWSServiceRoleForECS":
        value = f"aws-service-role/ecs.amazonaws.com/{value}"
    return value if value.startswith("arn:") else place + shape.format(value)

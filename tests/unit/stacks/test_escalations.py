"""What the roles of GitHub and of a stage must not do: each way to more rights is tried."""

from __future__ import annotations

import re

import pytest

from tests.support.policies import Call, Policies, like, listed
from tests.support.resolved import ACCOUNT, HERE, REGION, TAGS, Stage

EVERYTHING = {"Effect": "Allow", "Action": "*", "Resource": "*"}
IAM = f"arn:aws:iam::{ACCOUNT}"
OWN, BOUNDARY = f"{IAM}:role/layersmith/dev/some", f"{IAM}:policy/layersmith-dev-boundary"
OIDC = f"{IAM}:role/layersmith-dev-github-oidc-DeployRole-1A2B"
ADMIN = f"{IAM}:role/some-layersmith-development-admin"
STACKS = f"arn:aws:cloudformation:{REGION}:{ACCOUNT}:stack"
LAMBDA = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function"
RELEASES = f"arn:aws:s3:::layersmith-{ACCOUNT}-{REGION}"
ESCALATIONS = {
    "a role of others": [
        Call(f"iam:{action}", role, {"iam:PermissionsBoundary": BOUNDARY})
        for role in (
            OIDC,
            ADMIN,
            f"{IAM}:role/layersmith-dev-admin",
            f"{IAM}:role/layersmith-canary",
            f"{IAM}:role/layersmith/prod/some",
            f"{IAM}:role/layersmith/development/some",
        )
        for action in (
            "AttachRolePolicy",
            "CreateRole",
            "DeleteRole",
            "DeleteRolePermissionsBoundary",
            "DeleteRolePolicy",
            "PutRolePermissionsBoundary",
            "PutRolePolicy",
            "UpdateAssumeRolePolicy",
            "UpdateRole",
            "TagRole",
        )
    ],
    "a role without the boundary": [
        Call(f"iam:{action}", OWN, context)
        for action in (
            "CreateRole",
            "PutRolePolicy",
            "PutRolePermissionsBoundary",
            "AttachRolePolicy",
        )
        for context in (
            {},
            {"iam:PermissionsBoundary": f"{IAM}:policy/another"},
            {"iam:PermissionsBoundary": "arn:aws:iam::aws:policy/AdministratorAccess"},
        )
    ],
    "the end of a boundary": [
        Call("iam:DeleteRolePermissionsBoundary", OWN, {"iam:PermissionsBoundary": BOUNDARY})
    ],
    "a policy": [
        Call(f"iam:{action}", arn)
        for arn in (BOUNDARY, f"{IAM}:policy/layersmith-dev-other")
        for action in (
            "CreatePolicy",
            "CreatePolicyVersion",
            "SetDefaultPolicyVersion",
            "DeletePolicy",
            "DeletePolicyVersion",
        )
    ],
    "a user or a provider": [
        Call("iam:CreateUser", f"{IAM}:user/layersmith/dev/me"),
        Call("iam:CreateAccessKey", f"{IAM}:user/admin"),
        Call("iam:AddUserToGroup", f"{IAM}:group/admins"),
        Call("iam:UpdateOpenIDConnectProviderThumbprint", f"{IAM}:oidc-provider/a"),
        Call("iam:AddClientIDToOpenIDConnectProvider", f"{IAM}:oidc-provider/a"),
    ],
    "another's identity": [
        Call("sts:AssumeRole", role) for role in (OWN, OIDC, ADMIN, f"{IAM}:role/layersmith-canary")
    ],
    "a role passed on": [
        Call("iam:PassRole", role, {"iam:PassedToService": service})
        for role in (ADMIN, OIDC, f"{IAM}:role/admin", f"{IAM}:role/layersmith-dev-admin")
        for service in (
            "lambda.amazonaws.com",
            "ecs-tasks.amazonaws.com",
            "ec2.amazonaws.com",
            "cloudformation.amazonaws.com",
            "glue.amazonaws.com",
        )
    ]
    + [Call("iam:PassRole", OWN, {"iam:PassedToService": "ec2.amazonaws.com"})],
    "the foundation": [
        Call(f"cloudformation:{action}", f"{STACKS}/layersmith-{one}/1")
        for one in (
            "dev-github-oidc",
            "dev-boundary",
            "dev-artifacts",
            "prod-github-oidc",
            "prod-boundary",
        )
        for action in (
            "CreateChangeSet",
            "ExecuteChangeSet",
            "UpdateStack",
            "DeleteStack",
            "CreateStack",
            "SetStackPolicy",
        )
    ],
    "a stack of others": [
        Call(f"cloudformation:{action}", f"{STACKS}/{name}/1")
        for name in (
            "layersmith-prod-chroma",
            "layersmith-development-chroma",
            "layersmith-dev-admin",
            "some-layersmith-dev-chroma",
        )
        for action in ("CreateChangeSet", "ExecuteChangeSet", "DeleteStack")
    ],
    "a function of others": [
        Call(f"lambda:{action}", f"{LAMBDA}:{name}")
        for name in (
            "layersmith-development-f",
            "some-layersmith-dev",
            "layersmith-prod-f",
            "canary-x",
        )
        for action in (
            "CreateFunction",
            "UpdateFunctionCode",
            "UpdateFunctionConfiguration",
            "DeleteFunction",
        )
    ]
    + [
        Call("lambda:AddPermission", f"{LAMBDA}:layersmith-dev-vector_search"),
        Call("lambda:InvokeFunction", f"{LAMBDA}:layersmith-dev-vector_search"),
        Call("lambda:CreateFunctionUrlConfig", f"{LAMBDA}:layersmith-dev-vector_search"),
    ],
    "parameters of others": [
        Call(f"ssm:{action}", f"arn:aws:ssm:{REGION}:{ACCOUNT}:parameter/{name}")
        for name in (
            "prod/password",
            "layersmith/dev/sessions/1",
            "layers/a/python3.13/arm64/latest",
        )
        for action in ("GetParameter", "PutParameter", "DeleteParameter", "GetParametersByPath")
    ]
    + [Call("ssm:GetParameters", f"arn:aws:ssm:{REGION}:{ACCOUNT}:parameter/prod/password")],
    "buckets of others and releases": [
        Call(action, arn, HERE)
        for arn in (
            "arn:aws:s3:::layersmith-other/x",
            f"{RELEASES}/artifacts/a.zip",
            f"{RELEASES}/index/layers.json",
            f"{RELEASES}/locks/publish",
            "arn:aws:s3:::layersmith-development-data/x",
        )
        for action in ("s3:GetObject", "s3:PutObject", "s3:DeleteObject")
    ]
    + [
        Call(f"s3:{action}", arn, HERE)
        for arn in (RELEASES, "arn:aws:s3:::layersmith-development", "arn:aws:s3:::layersmith-x")
        for action in (
            "PutBucketPolicy",
            "DeleteBucket",
            "PutLifecycleConfiguration",
            "PutBucketPublicAccessBlock",
            "PutEncryptionConfiguration",
        )
    ]
    + [
        Call("s3:PutObject", f"{RELEASES}/functions/a.zip", {"aws:ResourceAccount": "210987654321"})
    ],
    "a key of others": [
        Call(f"kms:{action}", f"arn:aws:kms:{REGION}:{ACCOUNT}:key/1", context)
        for action in ("Decrypt", "GenerateDataKey")
        for context in (
            {"kms:ViaService": f"s3.{REGION}.amazonaws.com"},
            {"aws:ResourceTag/project": "layersmith"},
            {
                "aws:ResourceTag/project": "layersmith",
                "kms:ViaService": f"secretsmanager.{REGION}.amazonaws.com",
            },
        )
    ]
    + [
        Call(f"kms:{action}", f"arn:aws:kms:{REGION}:{ACCOUNT}:key/1", TAGS)
        for action in ("PutKeyPolicy", "ScheduleKeyDeletion", "CreateGrant")
    ],
    "a network of others": [
        Call(f"ec2:{action}", f"arn:aws:ec2:{REGION}:{ACCOUNT}:{kind}/1", context)
        for context in ({}, {**TAGS, "aws:ResourceTag/stage": "prod"})
        for action, kind in (
            ("DeleteVpc", "vpc"),
            ("AuthorizeSecurityGroupIngress", "security-group"),
            ("DeleteSubnet", "subnet"),
            ("DeleteRoute", "route-table"),
            ("DeleteVpcEndpoints", "vpc-endpoint"),
            ("ReleaseAddress", "elastic-ip"),
            ("ModifyVpcAttribute", "vpc"),
        )
    ]
    + [
        Call("ec2:RunInstances", f"arn:aws:ec2:{REGION}:{ACCOUNT}:instance/*"),
        Call("ec2:CreateTags", f"arn:aws:ec2:{REGION}:{ACCOUNT}:vpc/1"),
    ],
}


OWN_WORK = {
    "BuildRole": ("parameter/layers/", f"{RELEASES}/"),
    "PublishRole": ("parameter/layers/", RELEASES, ":function:canary-"),
}
"""What a role is for: a build compares with what was released, publishing releases."""


@pytest.mark.parametrize("kind", ESCALATIONS)
@pytest.mark.parametrize("role", ["DeployRole", "CloudFormationRole", "BuildRole", "PublishRole"])
def test_an_escalation_is_denied(role: str, kind: str) -> None:
    policies = Stage().policies("github-oidc", role)
    allowed = [
        f"{call.action} {call.resource}"
        for call in ESCALATIONS[kind]
        if policies.allow(call) and not any(own in call.resource for own in OWN_WORK.get(role, ()))
    ]
    assert allowed == []


@pytest.mark.parametrize("role", ["DeployRole", "CloudFormationRole"])
@pytest.mark.parametrize("kind", ["the foundation", "the end of a boundary", "a policy"])
def test_what_gives_rights_is_denied_explicitly(role: str, kind: str) -> None:
    """A statement that is added later cannot open it by mistake."""
    policies = Stage().policies("github-oidc", role)
    assert all(policies.deny_explicitly(call) for call in ESCALATIONS[kind])


def test_a_stage_role_with_every_right_keeps_within_its_boundary() -> None:
    stage = Stage()
    boundary = stage.stacks["boundary"].resources["Boundary"]["Properties"]["PolicyDocument"]
    role = Policies([EVERYTHING], boundary["Statement"])
    own = {
        ("iam:PassRole", OWN),
        ("lambda:InvokeFunction", f"{LAMBDA}:layersmith-dev-vector_search"),
    }
    for kind, calls in ESCALATIONS.items():
        for call in calls:
            if (call.action, call.resource) in own or "/layersmith/dev/sessions/" in call.resource:
                continue
            assert not role.allow(call), f"{kind}: {call}"


def test_names_of_roles_are_exact() -> None:
    """No pattern begins with a star, or ends within a name that others can go on."""
    stage = Stage()
    for role in ("BuildRole", "PublishRole", "DeployRole", "CloudFormationRole"):
        for statement in stage.policies("github-oidc", role).identity:
            for resource in listed(statement.get("Resource", "*")):
                if statement["Effect"] == "Allow" and resource != "*":
                    name = resource.split(":", 5)[5]
                    assert not re.search(r"(^|[:/])\*?layersmith(-dev)?\*", name), resource
                    assert not like(resource, ADMIN), resource

"""What roles may do, judged as IAM judges: every call that is needed, and none that gives more.

``test_iam`` derives from the sources what the running system calls. Here its roles are put below
their boundary, and CloudFormation's role is held against the resource schemas; ``test_escalations``
tries what must be denied.
"""

from __future__ import annotations

import fnmatch
import json
from collections import defaultdict
from typing import TYPE_CHECKING, Any

import pytest

from tests.support import aws_actions
from tests.support.policies import Call, Policies, listed
from tests.support.resolved import ACCOUNT, HERE, REGION, TAGS, Stage

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_ON_EFS = {"Storage": "efs", "TokenStore": "ssm"}
EFS = {"chroma": _ON_EFS, "functions": {"Storage": "efs"}}
OTHERS = {"artifacts": {"UseKmsKey": "true"}} | EFS
NETWORK = {
    "network": {"Egress": "nat"},
    "workflows": _ON_EFS | {"Egress": "nat", "AlarmEmail": "who@example.org"},
}
ENDPOINTS = {stack: {"Egress": "endpoints"} for stack in ("network", "workflows")}
TAKEN = {stack: {"ExistingDataBucket": "kept-by-hand"} for stack in ("boundary", "chroma")}
_MODEL = {
    "Embedder": "bedrock",
    "EmbedderModel": "cohere.embed-v4:0",
    "EmbedderProfile": "eu.cohere.embed-v4:0",
}
BEDROCK = {
    "network": {"Egress": "public-tasks", "EmbedderEndpoint": "bedrock"},
    "functions": _MODEL,
    "vectors": _MODEL,
}
_ENDPOINT = {
    "Embedder": "endpoint",
    "EmbedderUrl": "https://e.example",
    "EmbedderKeyStore": "ssm",
}
_INDEXES = {
    "VectorIndexes": f"arn:aws:s3vectors:{REGION}:{ACCOUNT}:bucket/layersmith-dev-vectors-1/index/a"
}
KEY = {"functions": _ENDPOINT, "vectors": _ENDPOINT}
INDEXED = {"chroma": _INDEXES, "vectors": _ENDPOINT | _INDEXES}
_ON_S3 = _ENDPOINT | {"EmbedderKeyStore": "s3"}
KEY_ON_S3 = {"functions": EFS["functions"] | _ON_S3, "vectors": _ON_S3}
_SIGNED = {
    "CodeSigningConfigArn": f"arn:aws:lambda:{REGION}:{ACCOUNT}:code-signing-config:csc-0a1b",
    **_MODEL,
    "EmbedderProfile": "",
}
SIGNED = {
    "functions": _SIGNED,
    "boundary": {"ExistingDataBucket": "kept-by-hand"},
    "vectors": _SIGNED | {"ExistingDataBucket": "kept-by-hand"},
    "github-oidc": {"SigningProfile": "layersmith", "CreateCanaryRole": "false"},
}
_LAYER = f"arn:aws:lambda:{REGION}:{ACCOUNT}:layer:onnx-python3-13-arm64:3"
_LOCAL = {"Embedder": "onnx", "EmbedderLayerArn": _LAYER}
GIVEN = {
    "artifacts": {"CreateBucket": "false", "CreateRepository": "false"},
    "functions": _LOCAL,
    "github-oidc": {
        "ExistingProviderArn": f"arn:aws:iam::{ACCOUNT}:oidc-provider/"
        "token.actions.githubusercontent.com"
    },
    "network": {
        "ExistingVpcId": "vpc-1",
        "ExistingFunctionSubnetIds": "subnet-1",
        "ExistingTaskSubnetIds": "subnet-1",
    },
    "vectors": _LOCAL,
}
VARIANTS = {
    "efs-nat-kms": OTHERS | NETWORK | KEY_ON_S3,
    "endpoints-key-s3vectors": ENDPOINTS | KEY | INDEXED,
    "taken-bedrock": TAKEN | BEDROCK,
    "signed": SIGNED,
    "given-onnx": GIVEN,
}
FOUNDATION = {"artifacts", "boundary", "github-oidc"}
"""What an administrator deploys; nobody else's role reaches it."""

DATA = aws_actions.load()
UNBOUND = {action.lower() for action in DATA["unbound"]}
UNUSED: dict[str, dict[str, tuple[str, ...]]] = {
    "AWS::Budgets::Budget": {"BillingViewArn": ("billing:*",)},
    "AWS::DynamoDB::Table": {
        "ContributorInsightsSpecification": ("dynamodb:UpdateContributorInsights",),
        "ImportSourceSpecification": ("dynamodb:ImportTable", "s3:*", "logs:*"),
        "KinesisStreamSpecification": (
            "dynamodb:*ableKinesisStreamingDestination",
            "kinesis:*",
            "iam:CreateServiceLinkedRole",
            "dynamodb:UpdateKinesisStreamingDestination",
        ),
        "PointInTimeRecoverySpecification": ("dynamodb:UpdateContinuousBackups",),
        "Replicas": ("dynamodb:*Replica", "dynamodb:*Item", "dynamodb:Query", "dynamodb:Scan"),
        "ResourcePolicy": ("dynamodb:*ResourcePolicy",),
        "SSESpecification": ("kms:*",),
        "TimeToLiveSpecification": ("dynamodb:UpdateTimeToLive",),
    },
    "AWS::EC2::EIP": {
        "InstanceId": ("ec2:AssociateAddress",),
        "TransferAddress": ("ec2:AcceptAddressTransfer",),
    },
    "AWS::EC2::NatGateway": {"SecondaryAllocationIds": ("ec2:*NatGatewayAddress",)},
    "AWS::EC2::Subnet": {"Ipv6CidrBlock": ("ec2:*SubnetCidrBlock",)},
    "AWS::EC2::VPC": {
        "InstanceTenancy": ("ec2:ModifyVpcTenancy",),
        "VpcEncryptionControl": ("ec2:CreateVpcEncryptionControl",),
    },
    "AWS::EC2::VPCEndpoint": {
        "ServiceNetworkArn": ("vpc-lattice:*",),
        "ServiceRegion": ("vpce:AllowMultiRegion",),
    },
    "AWS::EC2::VPCGatewayAttachment": {"VpnGatewayId": ("ec2:*VpnGateway",)},
    "AWS::ECS::Cluster": {
        "Configuration": ("kms:DescribeKey",),
        # The account's own setting, which a stage does not change.
        "ClusterSettings": ("ecs:PutAccountSetting*",),
    },
    "AWS::EFS::FileSystem": {
        "FileSystemPolicy": ("elasticfilesystem:*FileSystemPolicy",),
        "FileSystemProtection": ("elasticfilesystem:UpdateFileSystemProtection",),
        "KmsKeyId": ("kms:*",),
        "ReplicationConfiguration": (
            "elasticfilesystem:*ReplicationConfiguration",
            "iam:PassRole",
        ),
    },
    "AWS::IAM::Role": {"ManagedPolicyArns": ("iam:AttachRolePolicy", "iam:DetachRolePolicy")},
    "AWS::Lambda::Function": {
        "CapacityProviderConfig": ("lambda:PassCapacityProvider",),
        "CodeSigningConfigArn": (
            "lambda:*FunctionCodeSigningConfig",
            "lambda:GetCodeSigningConfig",
        ),
        "FunctionScalingConfig": ("lambda:PutFunctionScalingConfig",),
        "KmsKeyArn": ("kms:CreateGrant", "kms:Encrypt", "kms:DescribeKey", "kms:GenerateDataKey"),
        "RecursiveLoop": ("lambda:PutFunctionRecursionConfig",),
        "ReservedConcurrentExecutions": ("lambda:*FunctionConcurrency",),
        "RuntimeManagementConfig": (
            "lambda:PutRuntimeManagementConfig",
            "lambda:AssociateRuntimeAlias",
        ),
        "S3ObjectVersion": ("s3:GetObjectVersion",),
    },
    "AWS::Logs::LogGroup": {
        "BearerTokenAuthenticationEnabled": ("logs:PutBearerTokenAuthentication",),
        "DataProtectionPolicy": ("logs:*DataProtectionPolicy", "firehose:*", "s3:*"),
        "DeletionProtectionEnabled": ("logs:PutLogGroupDeletionProtection",),
        "FieldIndexPolicies": ("logs:*IndexPolicy",),
        "KmsKeyId": ("logs:*KmsKey",),
        "ResourcePolicyDocument": ("logs:DeleteResourcePolicy",),
    },
    "AWS::S3::Bucket": {
        "AbacStatus": ("s3:PutBucketAbac",),
        "AccelerateConfiguration": ("s3:PutAccelerateConfiguration",),
        "AccessControl": ("s3:PutBucketAcl", "s3:PutObjectAcl"),
        "AnalyticsConfigurations": ("s3:*AnalyticsConfiguration",),
        "CorsConfiguration": ("s3:*BucketCORS", "s3:*BucketCors"),
        "IntelligentTieringConfigurations": ("s3:PutIntelligentTieringConfiguration",),
        "InventoryConfigurations": ("s3:PutInventoryConfiguration",),
        "LoggingConfiguration": ("s3:PutBucketLogging",),
        "MetadataTableConfiguration": ("s3:*BucketMetadata*", "s3tables:*"),
        "MetricsConfigurations": ("s3:*MetricsConfiguration",),
        "NotificationConfiguration": ("s3:PutBucketNotification",),
        "ObjectLockConfiguration": ("s3:*ObjectLockConfiguration",),
        "ReplicationConfiguration": (
            "s3:PutReplicationConfiguration",
            "s3:*BucketReplication",
            "iam:PassRole",
        ),
        "WebsiteConfiguration": ("s3:*BucketWebsite",),
    },
    "AWS::S3Vectors::VectorBucket": {"EncryptionConfiguration": ("kms:GenerateDataKey",)},
    "AWS::SNS::Subscription": {"SubscriptionRoleArn": ("iam:PassRole", "iam:GetRole")},
    "AWS::SNS::Topic": {
        "DataProtectionPolicy": ("sns:PutDataProtectionPolicy",),
        "DeliveryStatusLogging": ("iam:PassRole", "iam:GetRole"),
    },
    "AWS::StepFunctions::StateMachine": {
        "EncryptionConfiguration": ("kms:*",),
        "DefinitionS3Version": ("s3:GetObjectVersion",),
    },
}
"""Property -> actions that its handler needs for it alone: not for resources that do not set it."""

NEVER = {
    # A retained resource's deletion is an administrator's, and so is the end of a boundary.
    "AWS::S3::Bucket": (
        "s3:DeleteBucket",
        "s3:DeleteObject",
        "s3:DeleteBucketEncryption",
        "s3:DeleteBucketLifecycle",
    ),
    "AWS::S3Vectors::VectorBucket": ("s3vectors:DeleteVectorBucket",),
    "AWS::EFS::FileSystem": ("elasticfilesystem:DeleteFileSystem",),
    "AWS::IAM::Role": ("iam:DeleteRolePermissionsBoundary",),
    # For S3 Files; what the templates mount is EFS.
    "AWS::Lambda::Function": ("s3files:ListMountTargets",),
    # Not actions of IAM: names of S3's logs, and one that S3 calls HeadObject's right.
    "AWS::Logs::LogGroup": ("s3:REST.PUT.OBJECT",),
}


@pytest.fixture(params=VARIANTS)
def stage(request: pytest.FixtureRequest) -> Stage:
    return Stage(given=VARIANTS[request.param])


def test_every_condition_holds_in_one_variant_and_not_in_another() -> None:
    found: dict[tuple[str, str], set[bool]] = defaultdict(set)
    for given in VARIANTS.values():
        for name, stack in Stage(given=given).stacks.items():
            for condition in stack.template.document.get("Conditions", {}):
                found[name, condition].add(stack.condition(condition))
    assert len(found) > 30
    assert {one for one, held in found.items() if len(held) < 2} == set()


def roles_of_stage(stage: Stage) -> dict[str, Policies]:
    return {
        name: policies
        for name, policies in stage.roles()
        if name.partition(".")[0] not in FOUNDATION
    }


def test_every_role_of_a_stage_carries_the_boundary_below_the_stages_path(stage: Stage) -> None:
    found = roles_of_stage(stage)
    assert len(found) >= 15
    for name, policies in found.items():
        stack, role = name.split(".")
        assert policies.boundary is not None, name
        assert ":role/layersmith/dev/" in stage.stacks[stack].arn(role)
    assert {
        stack.template.name for stack in stage.stacks.values() if stack.template.foundation
    } == (FOUNDATION)


def test_the_boundary_takes_nothing_from_what_roles_need(stage: Stage) -> None:
    for name, policies in roles_of_stage(stage).items():
        for call in calls_of(policies):
            assert policies.allow(call), f"{name}: {call}"


def test_the_boundary_allows_no_action_that_no_role_needs() -> None:
    stages = [Stage(given=given) for given in VARIANTS.values()]
    needed = {
        action
        for stage in stages
        for policies in roles_of_stage(stage).values()
        for action in allowed(policies.identity)
    }
    boundary = stages[0].stacks["boundary"].resources["Boundary"]["Properties"]["PolicyDocument"]
    # The keys of S3 and SSM let in whoever the service lets in; a boundary may or may not end that.
    keys = {"kms:Decrypt", "kms:Encrypt", "kms:GenerateDataKey"}
    assert allowed(boundary["Statement"]) - needed == keys


@pytest.mark.parametrize("service", ["s3", "ssm"])
def test_the_boundary_lets_tokens_be_encrypted_by_the_services_own_keys(
    stage: Stage, service: str
) -> None:
    key = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/1"
    boundary = Policies(next(iter(roles_of_stage(stage).values())).boundary or [])
    through = {**HERE, "kms:ViaService": f"{service}.{REGION}.amazonaws.com"}
    own = {"kms:ResourceAliases": f"alias/aws/{service}"}
    for action in ("kms:Decrypt", "kms:Encrypt", "kms:GenerateDataKey"):
        assert boundary.allow(Call(action, key, {**through, **own}))
        assert not boundary.allow(Call(action, key, through))
        assert not boundary.allow(Call(action, key, {**HERE, **own}))


def allowed(statements: Sequence[Any]) -> set[str]:
    return {
        action for one in statements if one["Effect"] == "Allow" for action in listed(one["Action"])
    }


def calls_of(policies: Policies) -> Iterator[Call]:
    """A call for every action and resource that a role's own statements allow."""
    for statement in policies.identity:
        if statement["Effect"] == "Allow":
            context = {**HERE, **TAGS, **_conditions(statement)}
            for resource in listed(statement["Resource"]):
                concrete = resource if resource == "*" else resource.replace("*", "x")
                for action in listed(statement["Action"]):
                    yield Call(action, concrete, context)


def _conditions(statement: Any) -> dict[str, str]:
    tests = list(statement.get("Condition", {}).values())
    return {
        key: listed(values)[0].replace("*", "x") for each in tests for key, values in each.items()
    }


def handler_calls(
    stage: Stage, *handlers: str, foundation: bool = False
) -> Iterator[tuple[str, Call]]:
    """What the handlers of a stage's resources call, on what they call it."""
    for stack in stage.stacks.values():
        if stack.template.foundation and not foundation:
            continue
        for name, resource in stack.resources.items():
            kind = resource["Type"]
            called = {
                one
                for handler in handlers or ("create", "read", "update", "delete")
                for one in DATA["handlers"][kind].get(handler, ())
            }
            unset = UNUSED.get(kind, {}).items()
            passing = [
                g for key, globs in unset if key not in resource["Properties"] for g in globs
            ]
            passing += NEVER.get(kind, ())
            for action in sorted(called):
                if not any(fnmatch.fnmatchcase(action, glob) for glob in passing):
                    yield f"{stack.template.name}.{name}", on(stage, stack, name, action)


def on(stage: Stage, stack: Any, name: str, action: str) -> Call:
    """The call of a handler, with the resource that IAM asks for."""
    resource = stack.template.resources[name]
    service = resource["Type"].split("::")[1].lower()
    context = {**HERE, **TAGS}
    if resource["Type"] == "AWS::IAM::Role":
        context["iam:PermissionsBoundary"] = stage.stacks["boundary"].physical("Boundary")
    if action == "iam:CreateServiceLinkedRole":
        host = {"ecs": "ecs", "efs": "elasticfilesystem"}[service]
        role = f"arn:aws:iam::{ACCOUNT}:role/aws-service-role/{host}.amazonaws.com/AWSServiceRole"
        return Call(action, role, {"iam:AWSServiceName": f"{host}.amazonaws.com"})
    if action in {"iam:PassRole", "iam:GetRole"} and resource["Type"] != "AWS::IAM::Role":
        hosts = {"ecs": "ecs-tasks", "stepfunctions": "states"}
        to = f"{hosts.get(service, service)}.amazonaws.com"
        return Call(
            action,
            f"arn:aws:iam::{ACCOUNT}:role/layersmith/dev/a-role",
            {"iam:PassedToService": to},
        )
    if action.lower() in UNBOUND or action == "cloudwatch:DescribeAlarms":
        return Call(action, "*", context)
    bucket = f"arn:aws:s3:::layersmith-{ACCOUNT}-{REGION}"
    if action == "s3:GetObject":
        folder = "functions" if service == "lambda" else "state-machines"
        return Call(action, f"{bucket}/{folder}/some.zip", context)
    if action == "kms:Decrypt":
        key = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/1"
        return Call(action, key, {**context, "kms:ViaService": f"s3.{REGION}.amazonaws.com"})
    if action == "lambda:GetLayerVersion":
        return Call(action, f"arn:aws:lambda:{REGION}:{ACCOUNT}:layer:chromadb-vector:3", context)
    if resource["Type"] == "AWS::S3::BucketPolicy":
        name = resource["Properties"]["Bucket"]["Ref"]
    return Call(action, stack.arn(name), context)


EMBEDDING = [
    *(("functions", name, f"{name}Role") for name in
      ("VectorSearch", "LabelValidation", "MerchantMatch", "SessionWork", "DeltaWriter")),
    *(("vectors", name, "SearchRole") for name in
      ("VectorSearch", "LabelValidation", "MerchantMatch")),
    ("vectors", "DeltaWriter", "WriterRole"),
]  # fmt: skip
"""Functions that take texts: stack, function and role."""
HOST = f"arn:aws:bedrock:{REGION}"


@pytest.mark.parametrize(("stack", "role"), sorted({(one[0], one[2]) for one in EMBEDDING}))
def test_a_function_may_ask_the_model_of_its_stage_and_no_other(stack: str, role: str) -> None:
    profile = f"{HOST}:{ACCOUNT}:inference-profile/eu.cohere.embed-v4:0"
    elsewhere = "arn:aws:bedrock:eu-north-1::foundation-model/"
    through = {"bedrock:InferenceProfileArn": profile}
    by_profile = Stage(given=BEDROCK).policies(stack, role)
    direct = Stage(given={stack: {**BEDROCK[stack], "EmbedderProfile": ""}})
    alone = direct.policies(stack, role)
    none = Stage().policies(stack, role)
    model = Call("bedrock:InvokeModel", f"{HOST}::foundation-model/cohere.embed-v4:0", {})
    other = Call("bedrock:InvokeModel", f"{HOST}::foundation-model/anthropic.claude", {})
    led = Call("bedrock:InvokeModel", f"{elsewhere}cohere.embed-v4:0", through)
    assert by_profile.allow(Call("bedrock:InvokeModel", profile, {}))
    assert by_profile.allow(led)
    assert not by_profile.allow(Call("bedrock:InvokeModel", led.resource, {}))
    assert not by_profile.allow(model), "not around the profile"
    assert alone.allow(model)
    for policies in (by_profile, alone, none):
        assert not policies.allow(other)
        assert policies is not none or not policies.allow(model)


@pytest.mark.parametrize("function", ["DeltaWriter", "CompactionTrigger"])
@pytest.mark.parametrize("storage", ["s3", "efs"])
def test_a_function_reaches_deltas_where_they_lie_and_nowhere_else(
    function: str, storage: str
) -> None:
    stage = Stage(given={stack: {"Storage": storage} for stack in ("chroma", "functions")})
    policies = stage.policies("functions", f"{function}Role")
    chroma = stage.stacks["chroma"]
    through = {"elasticfilesystem:AccessPointArn": chroma.arn("AccessPoint")}
    mount = Call("elasticfilesystem:ClientMount", chroma.arn("FileSystem"), {**TAGS, **through})
    bucket = stage.exported("layersmith-dev-chroma-DataBucketName")
    listing = Call("s3:ListBucket", f"arn:aws:s3:::{bucket}", {**HERE, "s3:prefix": "databases/a"})
    reached = {kind for kind, call in (("efs", mount), ("s3", listing)) if policies.allow(call)}
    assert reached == {storage}
    elsewhere = {"elasticfilesystem:AccessPointArn": "arn:aws:elasticfilesystem:::access-point/x"}
    assert not policies.allow(Call(mount.action, mount.resource, {**TAGS, **elsewhere}))
    properties = stage.stacks["functions"].resources[function]["Properties"]
    url = properties["Environment"]["Variables"]["STORAGE_URL"]
    mounted = [one["LocalMountPath"] for one in properties.get("FileSystemConfigs", ())]
    if storage == "efs":
        assert [f"file://{path}" for path in mounted] == [url]
        [group] = properties["VpcConfig"]["SecurityGroupIds"]
        rules = chroma.resources["FileSystemSecurityGroup"]["Properties"]["SecurityGroupIngress"]
        assert group in [one["SourceSecurityGroupId"] for one in rules if one["ToPort"] == 2049]
        ways = [
            one["Properties"]
            for one in chroma.resources.values()
            if one["Type"] == "AWS::EC2::SecurityGroupEgress"
        ]
        assert [one["ToPort"] for one in ways if one["GroupId"] == group] == [2049]
    else:
        assert (mounted, url) == ([], f"s3://{bucket}")
        assert "VpcConfig" not in properties


@pytest.mark.parametrize("place", ["ssm", "s3"])
def test_a_function_may_read_the_key_of_its_endpoint_where_it_lies(place: str) -> None:
    given = {stack: {**_ENDPOINT, "EmbedderKeyStore": place} for stack in KEY}
    stage = Stage(given=given)
    name = f"arn:aws:ssm:{REGION}:{ACCOUNT}:parameter/layersmith/dev/embedder/key"
    buckets = {
        "functions": stage.exported("layersmith-dev-chroma-DataBucketName"),
        "vectors": stage.stacks["vectors"].physical("DataBucket"),
    }
    for stack, function, role in EMBEDDING:
        key = f"{buckets[stack]}/embedder/key"
        calls = {
            "ssm": Call("ssm:GetParameter", name, HERE),
            "s3": Call("s3:GetObject", f"arn:aws:s3:::{key}", HERE),
        }
        policies = stage.policies(stack, role)
        assert {kind for kind, call in calls.items() if policies.allow(call)} == {place}
        properties = stage.stacks[stack].resources[function]["Properties"]
        reference = properties["Environment"]["Variables"]["EMBEDDER_KEY_REFERENCE"]
        asked = {"ssm": "ssm:/layersmith/dev/embedder/key", "s3": f"s3://{key}"}
        assert reference == asked[place]


def test_cloudformation_may_do_what_its_handlers_do(stage: Stage) -> None:
    policies = stage.policies("github-oidc", "CloudFormationRole")
    refused = {
        f"{n}: {c.action} {c.resource}" for n, c in handler_calls(stage) if not policies.allow(c)
    }
    assert refused == set()


def test_the_deploy_role_changes_every_stack_of_a_stage(stage: Stage) -> None:
    policies = stage.policies("github-oidc", "DeployRole")
    stacks = f"arn:aws:cloudformation:{REGION}:{ACCOUNT}:stack"
    for name, template in stage.templates.items():
        for action in ("CreateChangeSet", "ExecuteChangeSet", "DeleteChangeSet", "DeleteStack"):
            call = Call(f"cloudformation:{action}", f"{stacks}/layersmith-dev-{name}/1", {})
            single = Call(call.action, f"{stacks}/layersmith-dev-{name}-a/1", {})
            wanted = single if name == "layer-test" else call
            assert policies.allow(wanted) is not template.foundation, wanted


def test_drift_detection_may_read_what_stacks_make(stage: Stage) -> None:
    policies = stage.policies("github-oidc", "DeployRole")
    refused = {
        f"{name}: {call.action} {call.resource}"
        for name, call in handler_calls(stage, "read", foundation=True)
        # A rule's reader names what its writer needs, too.
        if call.action != "iam:PassRole" and not policies.allow(call)
    }
    assert refused == set()


@pytest.mark.parametrize("kind", UNUSED)
def test_what_is_left_out_with_a_property_are_actions_of_its_handler(kind: str) -> None:
    known = {one for each in DATA["handlers"][kind].values() for one in each}
    for glob in [glob for globs in UNUSED[kind].values() for glob in globs]:
        assert fnmatch.filter(known, glob), f"{glob} is no action of {kind}"


def test_signing_gives_rights_and_makes_demands_only_where_it_is_used() -> None:
    """AWS Signer's profile for the roles of GitHub, and its configuration for the functions."""
    arn = f"arn:aws:lambda:eu-west-1:{'1' * 12}:code-signing-config:csc-{'0' * 17}"
    given = {
        "github-oidc": {"SigningProfile": "layersmith"},
        "functions": {"CodeSigningConfigArn": arn},
    }
    for options, there in ((None, False), (given, True)):
        stacks = Stage(given=options).stacks
        rights = str(stacks["github-oidc"].resources)
        for action in ("signer:StartSigningJob", "lambda:PutFunctionCodeSigningConfig"):
            assert (action in rights) is there, action
        made = stacks["functions"].resources.values()
        functions = [one["Properties"] for one in made if one["Type"] == "AWS::Lambda::Function"]
        assert functions
        demanded = {one.get("CodeSigningConfigArn") for one in functions}
        assert demanded == ({arn} if there else {None})


def test_actions_that_know_no_resource_are_allowed_on_everything(stage: Stage) -> None:
    # Step Functions answers these for the state machine whose token it is, and CDK's
    # grantTaskResponse binds them so.
    bound = {"states:sendtasksuccess", "states:sendtaskfailure", "states:sendtaskheartbeat"}
    for name, policies in stage.roles():
        for statement in policies.identity:
            if statement["Effect"] == "Allow" and listed(statement["Resource"]) != ["*"]:
                actions = {one.lower() for one in listed(statement["Action"])}
                assert not actions & UNBOUND - bound, f"{name}: {statement['Sid']}"


@pytest.mark.parametrize(("project", "stage_"), [("layersmith", "dev"), ("p" * 24, "s" * 12)])
def test_policies_keep_within_the_quotas_of_iam(project: str, stage_: str) -> None:
    """10,240 characters of inline policies a role, 6,144 a managed one; blanks do not count."""
    stages = [Stage(project, stage_, given) for given in VARIANTS.values()]
    for stack in (stack for stage in stages for stack in stage.stacks.values()):
        for name, resource in stack.resources.items():
            properties = resource["Properties"]
            if resource["Type"] == "AWS::IAM::Role":
                inline = [one["PolicyDocument"] for one in properties.get("Policies", ())]
                size = len(json.dumps(inline, separators=(",", ":")))
                assert size < 10_240, f"{stack.name}.{name}: {size}"
            elif resource["Type"] == "AWS::IAM::ManagedPolicy":
                size = len(json.dumps(properties["PolicyDocument"], separators=(",", ":")))
                assert size < 6_144, f"{stack.name}.{name}: {size}"

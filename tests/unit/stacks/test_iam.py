"""Least privilege, proven: what each role may do is what its code, or its definition, does.

For state machines the definition says which services are called. For functions and the server
the sources do: starting from the handler, every function that is referred to by name is followed
through the project's packages, and every call of a botocore operation on the way is one action.
"""

from __future__ import annotations

import ast
import functools
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import botocore.session
import pytest
from botocore import xform_name
from layersmith.stacks import templates

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[3]
ALL = templates.load(ROOT / "infra-templates")

OPERATIONS = {
    "get_object": "s3:GetObject",
    "put_object": "s3:PutObject",
    "delete_object": "s3:DeleteObject",
    "delete_objects": "s3:DeleteObject",
    "list_objects_v2": "s3:ListBucket",
    "invoke_model": "bedrock:InvokeModel",
    "get_parameter": "ssm:GetParameter",
    "put_parameter": "ssm:PutParameter",
    "delete_parameters": "ssm:DeleteParameters",
    "get_secret_value": "secretsmanager:GetSecretValue",
    "create_secret": "secretsmanager:CreateSecret",
    "put_secret_value": "secretsmanager:PutSecretValue",
    "delete_secret": "secretsmanager:DeleteSecret",
    "send_task_success": "states:SendTaskSuccess",
    "send_task_failure": "states:SendTaskFailure",
    "send_task_heartbeat": "states:SendTaskHeartbeat",
    "create_index": "s3vectors:CreateIndex",
    "get_index": "s3vectors:GetIndex",
    "delete_index": "s3vectors:DeleteIndex",
    "put_vectors": "s3vectors:PutVectors",
    "get_vectors": "s3vectors:GetVectors",
    "list_vectors": "s3vectors:ListVectors",
    "delete_vectors": "s3vectors:DeleteVectors",
    "query_vectors": "s3vectors:QueryVectors",
}
"""Operations of botocore and the action that each needs (AWS, service authorization reference)."""

COMMON = {name for kind in (list, dict, set, str) for name in dir(kind)} | {"put", "list", "delete"}
RECEIVERS = ("storage", "log", "vault", "writer")

NOT_DEPLOYED = {action for action in OPERATIONS.values() if action.startswith("secretsmanager:")}
"""The code can keep a token in Secrets Manager; the templates offer S3 and SSM (TokenStore)."""

QUERIES = {"s3vectors:QueryVectors", "s3vectors:GetVectors"}
"""What search asks of S3 Vectors, from the stack vectors alone: a VPC keeps functions from it."""

LOGS = {"logs:CreateLogStream", "logs:PutLogEvents"}
NETWORK = {
    "ec2:CreateNetworkInterface", "ec2:DescribeNetworkInterfaces", "ec2:DescribeSubnets",
    "ec2:DeleteNetworkInterface", "ec2:AssignPrivateIpAddresses",
    "ec2:UnassignPrivateIpAddresses",
}  # fmt: skip
"""What Lambda's service does with a function's role in a VPC (AWS Lambda, execution role)."""

MOUNTS = {"elasticfilesystem:ClientMount", "elasticfilesystem:ClientWrite"}
"""What mounting a file system through an access point takes (Amazon EFS, using IAM)."""

LOG_DELIVERY = {
    "logs:CreateLogDelivery", "logs:GetLogDelivery", "logs:UpdateLogDelivery",
    "logs:DeleteLogDelivery", "logs:ListLogDeliveries", "logs:PutResourcePolicy",
    "logs:DescribeResourcePolicies", "logs:DescribeLogGroups",
}  # fmt: skip
"""What Step Functions does with a state machine's role to log (Step Functions, CloudWatch Logs)."""

EVENTS = {"events:PutTargets", "events:PutRule", "events:DescribeRule"}
"""How .sync learns of the end of what it started (Step Functions, service integrations)."""

FUNCTIONS = {
    "VectorSearch": "vector_search", "LabelValidation": "label_validation",
    "MerchantMatch": "merchant_match", "SessionFinish": "session_finish",
    "SessionWork": "session_work",
    "DeltaWriter": "delta_writer", "CompactionTrigger": "compaction_trigger",
}  # fmt: skip
MACHINES = {
    "VectorSession": "vector-session", "SessionCleanup": "session-cleanup",
    "Compaction": "compaction", "Backfill": "backfill",
}  # fmt: skip


PUBLISHER_NAMES = {
    "CopyObject": "s3:PutObject",
    "GetLayerVersionByArn": "lambda:GetLayerVersion",
    "HeadBucket": "s3:ListBucket",
    "HeadObject": "s3:GetObject",
    "ListObjectsV2": "s3:ListBucket",
    "ListObjectVersions": "s3:ListBucketVersions",
    "GetBucketLifecycleConfiguration": "s3:GetLifecycleConfiguration",
    "PutBucketLifecycleConfiguration": "s3:PutLifecycleConfiguration",
    "PutBucketEncryption": "s3:PutEncryptionConfiguration",
    "PutPublicAccessBlock": "s3:PutBucketPublicAccessBlock",
    "Invoke": "lambda:InvokeFunction",
}
"""Operations whose action has another name (AWS, service authorization reference)."""

WAITS = {"function_active_v2": "get_function", "function_active": "get_function_configuration"}
"""What botocore's waiters call."""


def granted(stack: str, role: str) -> set[str]:
    """The allowed actions of a role, of both branches where a condition chooses."""
    policies = ALL[stack].resources[role]["Properties"]["Policies"]
    actions: set[str] = set()
    for statement in _statements(policies):
        if statement["Effect"] == "Allow":
            found = statement["Action"]
            actions |= {found} if isinstance(found, str) else set(found)
    return actions


def _statements(node: Any) -> Iterator[dict[str, Any]]:
    if isinstance(node, dict):
        if "Effect" in node:
            yield node
        else:
            for value in node.values():
                yield from _statements(value)
    elif isinstance(node, list):
        for value in node:
            yield from _statements(value)


class Sources:
    """The functions of some packages, and what each refers to.

    A name is looked up in its own file and in those that the file imports. Names that lists,
    dictionaries and strings have too count only on something that is called a storage, a log or
    a writer.
    """

    def __init__(self, *folders: str) -> None:
        roots = [ROOT / folder for folder in folders]
        self.files = {
            ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__"): path
            for root in roots
            for path in sorted(root.rglob("*.py"))
        }
        # The storage that is a folder calls nothing of AWS.
        self.files = {
            name: path for name, path in self.files.items() if "storage.folder" not in name
        }
        self.trees = {path: ast.parse(path.read_text("utf-8")) for path in self.files.values()}
        self.named = {path: _definitions(tree) for path, tree in self.trees.items()}

    def actions(self, start: Path) -> set[str]:
        """Actions of every botocore operation that may be reached from a file."""
        self.trees.setdefault(start, ast.parse(start.read_text("utf-8")))
        self.named.setdefault(start, _definitions(self.trees[start]))
        found: set[str] = set()
        seen: set[int] = set()
        todo: list[tuple[Path, ast.AST]] = [(start, self.trees[start])]
        while todo:
            path, node = todo.pop()
            if id(node) in seen:
                continue
            seen.add(id(node))
            for name, receiver in _references(node):
                if name in OPERATIONS:
                    found.add(OPERATIONS[name])
                elif name not in COMMON or any(word in receiver for word in RECEIVERS):
                    todo += self._named(path, name)
        return found

    def _named(self, path: Path, name: str) -> Iterator[tuple[Path, ast.AST]]:
        for other in (path, *self._imports(path)):
            for node in self.named[other].get(name, []):
                yield other, node

    @functools.cache  # noqa: B019 -- lives as long as the test
    def _imports(self, path: Path) -> tuple[Path, ...]:
        found = []
        for node in ast.walk(self.trees[path]):
            if isinstance(node, ast.ImportFrom) and node.module:
                names = [node.module, *(f"{node.module}.{one.name}" for one in node.names)]
                found += [self.files[name] for name in names if name in self.files]
        # A protocol or a re-export stands for what its module makes.
        made = [one for one in found if "storage" in f"{one.parent.name}/{one.name}"]
        found += [path for one in made for path in self._storages(one)]
        # Which embedder it is, the environment says by name.
        if any(one.parts[-2:] == ("embedding", "__init__.py") for one in (path, *found)):
            found += [one for one in self.files.values() if one.parent.name == "embedding"]
        return tuple(dict.fromkeys(found))

    def _storages(self, path: Path) -> list[Path]:
        return [one for one in self.files.values() if one.parts[-2:] == ("storage", "s3.py")]


def _definitions(tree: ast.Module) -> dict[str, list[ast.AST]]:
    """Functions, classes and methods by name; inner functions belong to what is around them."""
    found: dict[str, list[ast.AST]] = {}
    for node in tree.body:
        inner = node.body if isinstance(node, ast.ClassDef) else []
        listed: list[ast.AST] = [node, *inner]
        for one in listed:
            if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                found.setdefault(one.name, []).append(one)
    return found


_RUN = {"__init__", "__enter__", "__call__"}


def _references(node: ast.AST) -> Iterator[tuple[str, str]]:
    """Names that a piece of code refers to, and on what; of a class, what making one runs."""
    if isinstance(node, ast.ClassDef):
        for one in node.body:
            if isinstance(one, ast.FunctionDef) and one.name in _RUN:
                yield from _references(one)
        return
    for part in ast.walk(node):
        if isinstance(part, ast.Attribute):
            yield part.attr, ast.unparse(part.value).lower()
        elif isinstance(part, ast.Name):
            yield part.id, ""


def test_functions_without_a_server_may_do_what_their_code_does_and_no_more() -> None:
    sources = Sources("lambdas/common/src", "lambdas")
    roles = {"SearchRole": ("vector_search", "label_validation", "merchant_match")}
    for role, names in {**roles, "WriterRole": ("delta_writer",)}.items():
        handlers = [ROOT / "lambdas" / name / "handler.py" for name in names]
        called = set().union(*(sources.actions(handler) for handler in handlers))
        own = granted("vectors", role) - LOGS - {"s3:ListBucket"}
        assert own | QUERIES == called - NOT_DEPLOYED - {"s3:ListBucket"} | QUERIES
        assert own & QUERIES == (QUERIES if role == "SearchRole" else set())


def test_indexes_are_named_by_their_arns_and_only_where_there_are_some() -> None:
    for stack, role in (("vectors", "SearchRole"), ("chroma", "TaskRole")):
        policies = ALL[stack].resources[role]["Properties"]["Policies"]
        chosen = [
            branch["Fn::If"]
            for policy in policies
            for branch in policy["PolicyDocument"]["Statement"]
            if "Fn::If" in branch and branch["Fn::If"][0] == "UsesS3Vectors"
        ]
        [(_, statement, otherwise)] = chosen
        assert statement["Resource"] == {"Ref": "VectorIndexes"}
        assert otherwise == {"Ref": "AWS::NoValue"}
        asked = [s for s in _statements(policies) if "s3vectors" in json.dumps(s["Action"])]
        assert asked == [statement]


@pytest.mark.parametrize("role", FUNCTIONS)
def test_a_function_may_do_what_its_code_does_and_no_more(role: str) -> None:
    handler = ROOT / "lambdas" / FUNCTIONS[role] / "handler.py"
    called = Sources("lambdas/common/src", "lambdas").actions(handler)
    allowed = granted("functions", f"{role}Role")
    in_vpc = "VpcConfig" in ALL["functions"].resources[role]["Properties"]
    mounts = "FileSystemConfigs" in ALL["functions"].resources[role]["Properties"]
    own = allowed - LOGS - (NETWORK if in_vpc else set()) - (MOUNTS if mounts else set())
    assert allowed > LOGS or allowed == LOGS
    assert (allowed >= NETWORK) == in_vpc
    # Listing is also what makes S3 say that an object is missing, so every reader of deltas has it.
    assert own - {"s3:ListBucket"} == called - NOT_DEPLOYED - QUERIES - {"s3:ListBucket"}
    assert ("s3:ListBucket" in own) == bool({"s3:ListBucket", "s3:PutObject"} & called)


def test_the_server_may_do_what_its_code_does_and_no_more() -> None:
    main = ROOT / "fargate/chroma/chroma_supervisor/__main__.py"
    called = Sources("lambdas/common/src", "fargate/chroma").actions(main) - NOT_DEPLOYED
    assert granted("chroma", "TaskRole") - MOUNTS == called - {"ssm:GetParameter"}


@pytest.mark.parametrize("role", MACHINES)
def test_a_state_machine_may_do_what_its_states_do_and_no_more(role: str) -> None:
    path = ROOT / f"infra-templates/state-machines/{MACHINES[role]}.asl.json"
    called = set(_called(json.loads(path.read_text("utf-8"))))
    assert granted("workflows", f"{role}Role") == called | LOG_DELIVERY


def test_the_publisher_may_do_what_its_code_calls_and_no_more() -> None:
    session = botocore.session.get_session()
    operations = {
        xform_name(name): (service, name)
        for service in ("stepfunctions", "sts", "ssm", "s3", "iam", "lambda", "signer")
        for name in session.get_service_model(service).operation_names
    }
    called = {
        PUBLISHER_NAMES.get(operations[name][1], ":".join(operations[name]))
        for path in (ROOT / "build/layersmith/ship").rglob("*.py")
        for name in _calls(ast.parse(path.read_text("utf-8")))
        if name in operations
    }
    called = {action.replace("stepfunctions:", "states:") for action in called}
    # The caller's identity needs no permission; another role is the caller's own choice.
    called -= {"sts:GetCallerIdentity", "sts:AssumeRole"}
    # The canary's role, with CreateFunction; Lambda reads a zip by its version with the caller's
    # own permission; and S3 uses the bucket's key for the caller, where there is one.
    passes = {"iam:PassRole", "s3:GetObjectVersion", "kms:Decrypt", "kms:GenerateDataKey"}
    assert granted("github-oidc", "PublishRole") == called | passes


def _calls(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            # Names of paginators, of waiters, and of operations that are called by name.
            yield WAITS.get(node.value, node.value)


def test_no_role_of_the_running_system_has_a_wildcard_action() -> None:
    for stack in ("chroma", "functions", "workflows", "layer-test"):
        for name, resource in ALL[stack].resources.items():
            if resource["Type"] == "AWS::IAM::Role":
                assert not [one for one in granted(stack, name) if "*" in one], f"{stack}.{name}"


def test_only_actions_that_know_no_resource_are_allowed_on_everything() -> None:
    unbound = NETWORK | LOG_DELIVERY | {"ecr:GetAuthorizationToken", "ecs:ListTasks"}
    for stack in ("chroma", "functions", "workflows", "layer-test"):
        for resource in ALL[stack].resources.values():
            for statement in _statements(resource.get("Properties", {}).get("Policies", [])):
                if statement["Effect"] == "Allow" and statement["Resource"] == "*":
                    listed = statement["Action"]
                    actions = {listed} if isinstance(listed, str) else set(listed)
                    assert actions <= unbound, statement["Sid"]


def _called(machine: dict[str, Any]) -> Iterator[str]:
    for state in machine["States"].values():
        if state["Type"] == "Task":
            yield from _of_task(state["Resource"])
        elif state["Type"] == "Map":
            yield from _called(state["ItemProcessor"])
            if state["ItemProcessor"]["ProcessorConfig"]["Mode"] == "DISTRIBUTED":
                yield from ("states:StartExecution", "states:DescribeExecution")
                yield from ("states:StopExecution", "s3:GetObject", "s3:PutObject")
                yield from ("s3:ListMultipartUploadParts", "s3:AbortMultipartUpload")


def _of_task(resource: str) -> Iterator[str]:
    service, action, pattern = re.fullmatch(  # type: ignore[union-attr]
        r"arn:\$\{Partition\}:states:::(?:aws-sdk:)?(\w+):(\w+)(\..+)?", resource
    ).groups()
    plain = action[0].upper() + action[1:]
    if service == "s3":
        yield {"ListObjectsV2": "s3:ListBucket", "GetObject": "s3:GetObject"}[plain]
        # Without it, S3 answers 403 where an object is missing.
        yield "s3:ListBucket"
    elif service == "lambda":
        yield "lambda:InvokeFunction"
    else:
        yield f"{ {'sfn': 'states'}.get(service, service) }:{plain}"
    if (service, action) == ("ecs", "runTask"):
        yield from ("ecs:TagResource", "iam:PassRole")
        if pattern == ".sync":
            yield from ("ecs:StopTask", "ecs:DescribeTasks", *EVENTS)
    if service == "states":
        yield from ("states:DescribeExecution", "states:StopExecution", *EVENTS)

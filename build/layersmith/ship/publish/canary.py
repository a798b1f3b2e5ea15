"""Starts a just-published layer in a real function, and removes the function whatever happens."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError, WaiterError

from layersmith.base import zips
from layersmith.base.runtimes import UNZIPPED_LIMIT
from layersmith.errors import ShipError
from layersmith.ship.aws import failures, regions
from layersmith.ship.aws.labels import DESCRIPTION_LIMIT

if TYPE_CHECKING:
    from collections.abc import Iterable

    from types_boto3_lambda.client import LambdaClient

    from layersmith.ship.aws.accounts import Aws
    from layersmith.ship.publish.models import Desired

ROLE = "layersmith-canary"
"""Name of the role of canary functions; it needs to trust Lambda and may do nothing."""

MEMORY = 1024
"""MB of the function: enough for every layer's import, a fraction of a cent a run."""

TIMEOUT = 90
"""Seconds for one invocation; a first import takes a few. It must end before the client gives up
on the answer (aws.READ_TIMEOUT) and invokes a second time."""

FUNCTION_NAME_LIMIT = 64
"""Characters of a function's name (AWS Lambda API, CreateFunction)."""

HANDLER_SOURCE = Path(__file__).with_name("canary_handler.py")


@dataclass(frozen=True)
class CanaryVerdict:
    """What the function answered.

    Attributes:
        passed: Whether every module and every smoke test passed.
        detail: The first failure, or how much was started.
    """

    passed: bool
    detail: str


def prove(aws: Aws, region: str, want: Desired, arn: str, *, role: str = ROLE) -> CanaryVerdict:
    """Create a function with the layer, invoke it once, remove it.

    The function's name follows from the target alone, so that what a killed run leaves is removed
    by the next one before it makes its own.

    Args:
        aws: Clients of the account.
        region: Where the layer version is.
        want: The artifact.
        arn: ARN of the layer version.
        role: Name of the function's role.

    Raises:
        AwsFailure: AWS refused one of the calls.
        ShipError: The function could not be started.
    """
    client = aws.lambda_(region)
    name = function_name(want)
    role_arn = f"arn:{regions.partition_of(region)}:iam::{aws.account(region)}:role/{role}"
    _remove(client, region, name)
    try:
        with failures.explained(region, "lambda"):
            layers = [*_beside(client, region, want), *managed_in(region, want), arn]
            _create(client, want, name, layers, role_arn)
            payload = json.dumps(event(want, region)).encode()
            answer = client.invoke(FunctionName=name, Payload=payload)
            body = answer["Payload"].read()
            failed = answer.get("FunctionError")
    finally:
        _remove(client, region, name)
    verdict = judge(body, failed)
    lacking = [layer for layer in want.managed if layer not in managed_in(region, want)]
    if verdict.passed and lacking:
        return CanaryVerdict(
            True,
            f"starts, and imports nothing: the ARN of {', '.join(lacking)} in {region} is not"
            " under `managed-layers`",
        )
    return verdict


def function_name(want: Desired) -> str:
    """Return the name of the target's canary function, the same in every run."""
    whole = f"canary-{want.name}"
    if len(whole) <= FUNCTION_NAME_LIMIT:
        return whole
    digest = hashlib.sha256(whole.encode()).hexdigest()[:12]
    return f"{whole[: FUNCTION_NAME_LIMIT - 13]}-{digest}"


def refuse_full(desired: Iterable[Desired]) -> None:
    """Make sure that every layer leaves room for the canary's own code.

    A layer may fill Lambda's limit to the last byte; a function counts its code to the same limit.

    Raises:
        ShipError: A layer leaves too little.
    """
    for want in desired:
        code = io.BytesIO(function_zip(want.smoke))
        need = sum(one.file_size for one in zipfile.ZipFile(code).infolist())
        left = UNZIPPED_LIMIT - want.unzipped
        if left < need:
            raise ShipError(
                f"the layer leaves {left:,} bytes for a function's code; its canary needs {need:,}",
                target=want.identifier,
                cause=f"Lambda takes {UNZIPPED_LIMIT:,} bytes for a function with its layers",
                hint="make the layer smaller, or publish it without a start: --no-canary",
            )


def managed_in(region: str, want: Desired) -> list[str]:
    """Return the managed layers that a function of a region can use: ARNs of versions there."""
    place = f":lambda:{region}:"
    return [one for one in want.managed if place in one and one.rpartition(":")[2].isdecimal()]


def event(want: Desired, region: str) -> dict[str, Any]:
    """Return the smoke event: what the handler shall import and run.

    Without the managed layers that bring what was left out, nothing can be imported.
    """
    if len(managed_in(region, want)) < len(want.managed):
        return {"modules": [], "smoke": False}
    return {"modules": list(want.modules), "smoke": want.smoke is not None}


def function_zip(smoke: Path | None) -> bytes:
    """Return the function's code: the handler, and the layer's smoke test where it has one."""
    files = {"canary_handler.py": HANDLER_SOURCE.read_bytes()}
    if smoke:
        files["smoke_test.py"] = smoke.read_bytes()
    return zips.pack(files)


def judge(body: bytes, failed: str | None) -> CanaryVerdict:
    """Return the verdict on what the function answered.

    Args:
        body: Payload of the invocation.
        failed: Lambda's FunctionError, None where the handler returned.
    """
    try:
        said = json.loads(body or b"null")
    except ValueError:
        return CanaryVerdict(False, f"the function answered {body[:200]!r}")
    if failed or not isinstance(said, dict) or "failures" not in said:
        reason = said.get("errorMessage") if isinstance(said, dict) else said
        return CanaryVerdict(False, f"the function failed: {reason}")
    if said["failures"]:
        return CanaryVerdict(False, str(said["failures"][0]))
    skipped = f", smoke test skipped: {said['skipped']}" if said.get("skipped") else ""
    return CanaryVerdict(True, f"{said['imported']} modules, {said['tests']} tests{skipped}")


def _beside(client: LambdaClient, region: str, want: Desired) -> list[str]:
    """Return the ARNs of the layers below the one that is proven, each in its newest version."""
    found = []
    for layer in want.beside:
        if layer.startswith("arn:"):
            found.append(layer)
            continue
        pages = client.get_paginator("list_layer_versions").paginate(LayerName=layer)
        versions = {
            one["Version"]: one["LayerVersionArn"] for p in pages for one in p["LayerVersions"]
        }
        if not versions:
            raise ShipError(
                f"{layer} is not published in {region}, and {want.layer} needs it beside it",
                target=want.identifier,
                hint="publish that layer first, then this one",
            )
        found.append(versions[max(versions)])
    return found


def _create(
    client: LambdaClient, want: Desired, name: str, layers: list[str], role_arn: str
) -> None:
    arguments: dict[str, Any] = {
        "FunctionName": name,
        "Runtime": want.runtime,
        "Architectures": [want.architecture],
        "Role": role_arn,
        "Handler": "canary_handler.handler",
        "Code": {"ZipFile": function_zip(want.smoke)},
        "Description": f"Proves {layers[-1]}; removed after one invocation"[:DESCRIPTION_LIMIT],
        "MemorySize": MEMORY,
        "Timeout": TIMEOUT,
        "Layers": layers,
    }
    try:
        client.create_function(**arguments)
    except ClientError as error:
        message = str(error.response.get("Error", {}).get("Message", ""))
        if "cannot be assumed by Lambda" in message:
            raise ShipError(
                f"the canary's role {role_arn} cannot be assumed by Lambda",
                target=want.identifier,
                cause="the role is missing, or does not trust lambda.amazonaws.com",
                hint="deploy the stack that makes it, or name another by --canary-role",
            ) from error
        raise
    try:
        client.get_waiter("function_active_v2").wait(
            FunctionName=name, WaiterConfig={"Delay": 1, "MaxAttempts": TIMEOUT}
        )
    except WaiterError as late:
        raise ShipError(
            f"the canary function {name} never became active: {late}", target=want.identifier
        ) from late


def _remove(client: LambdaClient, region: str, name: str) -> None:
    with failures.explained(region, "lambda"):
        try:
            client.delete_function(FunctionName=name)
        except ClientError as error:
            if not failures.is_missing(error):
                raise

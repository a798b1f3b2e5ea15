"""Tests one layer version in a stack of its own, which is made for the run and always removed."""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from layersmith.base import zips
from layersmith.errors import ShipError
from layersmith.ship.aws import buckets, failures
from layersmith.ship.publish import canary
from layersmith.stacks import assets
from layersmith.stacks.changesets import Request, Stacks

if TYPE_CHECKING:
    from collections.abc import Sequence

    from layersmith.ship.aws.clients import Aws
    from layersmith.stacks.stage import Stage
    from layersmith.stacks.templates import Template

TEMPLATE = "layer-test"


@dataclass(frozen=True)
class Trial:
    """What is tried.

    Attributes:
        layer: ARN of the layer version.
        runtime: Such as ``python3.13``.
        architecture: ``arm64`` or ``x86_64``.
        modules: Names to import.
    """

    layer: str
    runtime: str
    architecture: str
    modules: Sequence[str]


def run(aws: Aws, stage: Stage, template: Template, trial: Trial) -> dict[str, Any]:
    """Make the stack, invoke its function once, remove the stack, return the function's answer.

    The stack's name is unique, so that runs do not meet; it goes whatever happens in between,
    and only a killed run leaves one, whose name ends in its run's id.

    Raises:
        ShipError: The stack could not be made or removed, or the function failed.
        AwsFailure: A call failed.
    """
    stacks = Stacks(aws.client("cloudformation", stage.region))
    run_id = secrets.token_hex(5)
    name = stage.stack_name(f"{TEMPLATE}-{run_id}")
    request = Request(
        stack=name,
        template={"TemplateBody": template.body},
        parameters={
            "Project": stage.project,
            "Stage": stage.name,
            "RunId": run_id,
            "LayerVersionArn": trial.layer,
            "Runtime": trial.runtime,
            "Architecture": trial.architecture,
            "CodeKey": _upload(aws, stage),
        },
        tags={"project": stage.project, "stage": stage.name},
    )
    with failures.explained(stage.region, "cloudformation"):
        try:
            stacks.apply(stacks.propose(request))
            return _invoke(aws, stage, stacks.outputs(name)["FunctionName"], trial)
        finally:
            stacks.delete(name)


def _invoke(aws: Aws, stage: Stage, function: str, trial: Trial) -> dict[str, Any]:
    event = {"modules": list(trial.modules), "smoke": False}
    with failures.explained(stage.region, "lambda"):
        answer = aws.lambda_(stage.region).invoke(
            FunctionName=function, Payload=json.dumps(event).encode()
        )
        payload: dict[str, Any] = json.loads(answer["Payload"].read())
    if answer.get("FunctionError"):
        raise ShipError(
            f"{trial.layer} failed in {trial.runtime}: {payload.get('errorMessage', payload)}",
            cause="the function did not start, or ran out of time or memory",
        )
    return payload


def _upload(aws: Aws, stage: Stage) -> str:
    """Put the canary's handler where the template looks for it, and return the key."""
    content = zips.pack({"handler.py": canary.HANDLER_SOURCE.read_bytes()})
    key = f"functions/canary-{assets.digest(content)}.zip"
    account = aws.account(stage.region)
    bucket = buckets.artifact_bucket(stage.project, account, stage.region)
    with failures.explained(stage.region, "s3"):
        asset = assets.Asset("CodeKey", key, content)
        assets.upload(aws.s3(stage.region), bucket, asset, account)
    return key

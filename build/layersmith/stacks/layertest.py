"""Tests one layer version in a stack of its own, which is made for the run and always removed.

The stack needs nothing of the region but the layer version, so that one call can test all regions.
"""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from layersmith.errors import ShipError
from layersmith.ship.aws import failures
from layersmith.ship.publish import canary, observed
from layersmith.stacks.changesets import Request, Stacks

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from layersmith.ship.aws.accounts import Aws
    from layersmith.stacks.stage import Stage
    from layersmith.stacks.templates import Template

TEMPLATE = "layer-test"

AT_ONCE = 40
"""Regions tested at the same time, all of a partition: each is mostly CloudFormation's waiting."""


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


UNKNOWN = "-"
"""Stands for an ARN that was not found."""


@dataclass(frozen=True)
class TrialOutcome:
    """What came of a trial in one region.

    Attributes:
        region: Its name.
        layer: ARN of the layer version.
        answer: What the function said; None where it never ran.
        error: Why it did not run, or why its stack could not be removed; empty otherwise.
        hint: What to do about it.
    """

    region: str
    layer: str
    answer: dict[str, Any] | None
    error: str = ""
    hint: str = ""

    @property
    def failures(self) -> tuple[str, ...]:
        """What failed on the layer version itself, a line each."""
        return tuple(self.answer["failures"]) if self.answer else ()


def run_all(
    aws: Aws,
    stage: Stage,
    template: Template,
    regions: Sequence[str],
    trial_in: Callable[[str], Trial],
) -> list[TrialOutcome]:
    """Try a layer version in many regions at once; a region that fails stops no other.

    Args:
        aws: Clients of the account.
        stage: Names the stacks.
        template: The stack's.
        regions: Where; the result keeps their order.
        trial_in: Returns what is tried in a region; a ShipError is the region's verdict.

    Raises:
        AwsFailure: It concerns the whole run, such as expired credentials. The stacks of the
            regions that were under way are removed before.
    """

    def one(region: str) -> TrialOutcome:
        layer = UNKNOWN
        try:
            trial = trial_in(region)
            layer = trial.layer
            here = stage.model_copy(update={"region": region})
            return TrialOutcome(region, layer, run(aws, here, template, trial))
        except failures.AwsFailure:
            raise
        except ShipError as error:
            said = f"{error.message}: {error.cause}" if error.cause else error.message
            return TrialOutcome(
                region, layer, None, said.removeprefix(f"{region}: "), error.hint or ""
            )

    done, failed = observed.in_parallel(one, regions, workers=AT_ONCE)
    lost = {
        each.region: TrialOutcome(
            each.region, UNKNOWN, None, each.reason.removeprefix(f"{each.region}: "), each.hint
        )
        for each in failed
    }
    return [(done | lost)[region] for region in regions]


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
            "Code": canary.HANDLER_SOURCE.read_text("utf-8"),
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

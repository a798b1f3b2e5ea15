"""Brings a stage up, stack by stack in the order of their imports.

Nothing is kept between runs: what a killed run did is found in the account, and the next run goes
on from there. A stack that is as it should be is left alone.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from layersmith.errors import ConfigError
from layersmith.ship.aws import buckets, failures
from layersmith.ship.aws import preflight as checks
from layersmith.ship.signing import Signer
from layersmith.stacks import assets as assets_
from layersmith.stacks import keeping, preflight
from layersmith.stacks import templates as templates_
from layersmith.stacks.operations import Proposal, Request, Stacks

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from layersmith.errors import LayersmithError
    from layersmith.ship.aws.accounts import Aws
    from layersmith.stacks.assets import Asset
    from layersmith.stacks.stage import Stage
    from layersmith.stacks.templates import Template

BOOTSTRAP = "artifacts"
"""The stack whose bucket everything else is uploaded to."""

VECTOR_BUCKET = "AWS::S3Vectors::VectorBucket"


@dataclass(frozen=True)
class StackOutcome:
    """What became of one stack.

    Attributes:
        stack: Name of its template.
        result: ``created``, ``updated``, ``unchanged``, ``proposed`` (not applied), or ``left``: it
            differs from its template, and only an administrator changes it.
        changes: Number of changed resources.
        outputs: Its outputs by key, as they are afterwards.
    """

    stack: str
    result: str
    changes: int
    outputs: Mapping[str, str]


@dataclass
class Deployment:
    """One run over a stage.

    Attributes:
        aws: Clients of the account.
        stage: What to deploy.
        templates: The stage's templates.
        assets: What templates may take from the artifact bucket, by parameter.
        show: Is given every proposal before it is applied.
        accept: Says whether a proposal is applied.
        role_arn: Role that CloudFormation works with. It may not change the foundation, so those
            stacks are only compared with their templates.
        bootstrap: Bring up the foundation alone: what gives rights, and the artifact bucket.
        only: Names of the stacks to bring up; empty for all. What they import has to be there.
        plan_only: Change nothing. A change set of a stack that is there is made and deleted again,
            which is how CloudFormation plans; nothing is uploaded, and no stack is made or deleted.
        signing: Profile of AWS Signer that signs the functions' code; None leaves it unsigned.
        say: Is given what people should know: what could not be checked, what was made beside.
    """

    aws: Aws
    stage: Stage
    templates: Sequence[Template]
    assets: Mapping[str, Asset]
    show: Callable[[str, Proposal], None]
    accept: Callable[[Proposal], bool]
    role_arn: str | None = None
    bootstrap: bool = False
    only: frozenset[str] = frozenset()
    plan_only: bool = False
    signing: str | None = None
    say: Callable[[str], None] = lambda _: None
    stacks: Stacks = field(init=False)

    def __post_init__(self) -> None:
        self.stacks = Stacks(self.aws.client("cloudformation", self.stage.region))

    def run(self) -> list[StackOutcome]:
        """Bring every stack to its template and parameters.

        A proposal that is not accepted ends the run: later stacks import from it.

        Raises:
            ConfigError: A parameter has no value or a wrong one, or imports do not fit.
            ShipError: The account lacks what the run needs, CloudFormation refuses, or a resource
                fails.
            ManyErrors: Several of these, before anything was changed.
            AwsFailure: A call failed.
        """
        outcomes: list[StackOutcome] = []
        ordered = self._ordered()
        self._preflight(ordered)
        for template in ordered:
            with failures.explained(self.stage.region, "cloudformation"):
                outcome = self._one(template)
            outcomes.append(outcome)
            if outcome.result == "proposed":
                return outcomes
        if self.bootstrap and not self.plan_only:
            self._link_ecs(self.templates)
        return outcomes

    def _ordered(self) -> list[Template]:
        unknown = sorted(self.only - {template.name for template in self.templates})
        if unknown:
            raise ConfigError(f"the stage {self.stage.name} has no stack {unknown[0]!r}")
        ordered = templates_.order(self.templates)
        return [
            self._in_region(one)
            for one in ordered
            if (not self.only or one.name in self.only) and (one.foundation or not self.bootstrap)
        ]

    def _in_region(self, template: Template) -> Template:
        """Return a template without what CloudFormation does not know in the stage's region.

        Raises:
            ConfigError: The stage's databases need it.
        """
        region = self.stage.region
        found, left_out = templates_.in_region(template, region)
        for name, kind in left_out.items():
            if kind == VECTOR_BUCKET and "s3vectors" in self.stage.databases.values():
                raise ConfigError(
                    f"stage {self.stage.name}: CloudFormation has no {kind} in {region}",
                    cause="`databases` names some that are asked in s3vectors",
                    hint="ask them from a file or in sessions, or choose another region",
                )
            self.say(
                f"{template.name}: {name} is left out, CloudFormation has no {kind} in {region}"
            )
        return found

    def _one(self, template: Template) -> StackOutcome:
        name = self.stage.stack_name(template.name)
        if self.role_arn and template.foundation:
            return self._compared(template, name)
        proposal = self._proposal(template, name)
        self.show(template.name, proposal)
        if proposal.empty:
            return StackOutcome(template.name, "unchanged", 0, self.stacks.outputs(name))
        if self.plan_only or not self.accept(proposal):
            self.stacks.discard(proposal)
            return StackOutcome(template.name, "proposed", len(proposal.changes), {})
        if not self.role_arn:
            self._link_ecs([template])
        if proposal.remains:
            # CloudFormation updates nothing that was never complete.
            self.stacks.delete(name, role_arn=self.role_arn)
            proposal = self.stacks.propose(self._request(template, name))
        self.stacks.apply(proposal)
        result = "created" if proposal.creates else "updated"
        return StackOutcome(template.name, result, len(proposal.changes), self.stacks.outputs(name))

    def _link_ecs(self, templates: Sequence[Template]) -> None:
        if preflight.link_ecs(self.aws, self.stage.region, templates):
            self.say(f"made the service-linked role {preflight.ECS_ROLE}")

    def _compared(self, template: Template, name: str) -> StackOutcome:
        """Compare a stack with its template; nothing is changed."""
        same = self.stacks.template(name) == template.body
        result = "unchanged" if same else "left"
        return StackOutcome(template.name, result, 0, self.stacks.outputs(name))

    def _proposal(self, template: Template, name: str) -> Proposal:
        outline = self.stacks.outline(name, template.resources)
        if outline and (self.plan_only or outline.remains):
            return outline
        return self.stacks.propose(self._request(template, name))

    def _request(self, template: Template, name: str) -> Request:
        return Request(
            stack=name,
            template=self._source(template),
            parameters=self._parameters(template),
            tags={"project": self.stage.project, "stage": self.stage.name},
            role_arn=self.role_arn,
        )

    def _source(self, template: Template) -> dict[str, str]:
        if template.foundation:
            # The bucket may not exist yet.
            return {"TemplateBody": template.body}
        if self.plan_only:
            return body_of(template)
        asset = assets_.template_asset(template)
        bucket = self._bucket()
        self._upload(bucket, asset)
        domain = "amazonaws.com.cn" if self.stage.region.startswith("cn-") else "amazonaws.com"
        return {
            "TemplateURL": f"https://{bucket}.s3.{self.stage.region}.{domain}/{asset.key}",
        }

    def _parameters(self, template: Template) -> dict[str, str]:
        values = {
            "Project": self.stage.project,
            "Stage": self.stage.name,
            **self.stage.parameters(template.name),
        }
        values = self._shared(template, self._account()) | values
        if template.name == BOOTSTRAP:
            values["BucketName"] = self._bucket()
        values |= keeping.parameters(self.aws, self.stage, template.name, self.stacks)
        for parameter, asset in assets_.needed(template, dict(self.assets)).items():
            self._upload(self._bucket(), asset)
            values[parameter] = self._signed(asset)
        return values

    def _signed(self, asset: Asset) -> str:
        """Return the key of an asset, of a function's code as AWS Signer signed it."""
        if not self.signing or not asset.key.startswith(assets_.FUNCTIONS):
            return asset.key
        region, bucket = self.stage.region, self._bucket()
        signer = Signer(self.aws, region, bucket, self.signing, prefix=assets_.FUNCTIONS)
        built = hashlib.sha256(asset.content).hexdigest()
        return signer.key(built) if self.plan_only else signer.sign(asset.key, built).key

    def _preflight(self, ordered: Sequence[Template]) -> None:
        """Refuse before the first change what would fail in the middle.

        Raises:
            LayersmithError: What was found; all of it in one report.
        """
        check = preflight.Preflight(
            self.aws, self.stage, ordered, self._given(ordered), self.stacks, self.role_arn
        )
        check.parameters()
        try:
            if checks.check_region(check.report, self.aws, self.stage.region):
                check.account(self._bucket())
        except failures.AwsFailure as failure:
            check.report.problems.append(failure)
        for line in check.report.unread:
            self.say(line)
        if self.plan_only:
            check.report.problems = [one for one in check.report.problems if not self._told(one)]
        check.report.refuse()

    def _told(self, problem: LayersmithError) -> bool:
        """Say what would stop a deployment, which does not stop its plan."""
        stops = isinstance(problem, ConfigError | failures.AwsFailure)
        if not stops:
            self.say(f"deploy would stop here: {problem}")
        return not stops

    def _given(self, ordered: Sequence[Template]) -> dict[str, dict[str, str]]:
        """Parameters as they are known before anything is called."""
        filled = {"BucketName": "filled-in-by-deploy"}
        return {
            one.name: {
                **{
                    name: asset.key
                    for name, asset in assets_.needed(one, dict(self.assets)).items()
                },
                **(filled if one.name == BOOTSTRAP else {}),
                **self._shared(one, "0" * 12),
                **self.stage.parameters(one.name),
            }
            for one in ordered
        }

    def _shared(self, template: Template, account: str) -> dict[str, str]:
        """What a template takes of that which the stage says once."""
        known = self.stage.shared_parameters(account)
        return {name: value for name, value in known.items() if name in template.parameters}

    def _bucket(self) -> str:
        return buckets.artifact_bucket(self.stage.project, self._account(), self.stage.region)

    def _account(self) -> str:
        return self.aws.account(self.stage.region)

    def _upload(self, bucket: str, asset: Asset) -> None:
        if self.plan_only:
            return
        s3: Any = self.aws.s3(self.stage.region)
        with failures.explained(self.stage.region, "s3"):
            assets_.upload(s3, bucket, asset, self._account())


def body_of(template: Template) -> dict[str, str]:
    """The template in the request itself, where it fits: as it is, or as JSON without spaces."""
    dense = json.dumps(template.document, separators=(",", ":"), ensure_ascii=False)
    for body in (template.body, dense):
        if len(body.encode()) <= templates_.BODY_LIMIT:
            return {"TemplateBody": body}
    raise ConfigError(
        f"the template {template.name} is too large to be planned: {len(dense.encode())} bytes",
        cause=f"a plan uploads nothing, and a request takes {templates_.BODY_LIMIT} bytes",
        hint="run deploy without --plan: it shows the change set and asks",
    )

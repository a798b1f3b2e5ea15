"""Applies a plan, region by region, and goes on where a region fails.

``Publisher`` is one run over all regions; ``RegionUpdate`` is its work on one target in one region.

A target is first published to one region, its pilot: the first of its list that works. Only when
the canary passed there do the other regions follow, all at once, with the pilot's number.

``unready`` says which regions could not take a plan to its end, before the first change of any. A
region without room for the zips, or without the role of canaries, would be left with versions that
no pointer names.
"""

from __future__ import annotations

import dataclasses
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from layersmith.errors import ShipError
from layersmith.ship import pointers
from layersmith.ship.aws import buckets, failures, preflight
from layersmith.ship.publish import canary, lease, observed, plan, progress, uploads
from layersmith.ship.publish.models import LATEST, Action, Held, Quarantined, RegionFinding, Step

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from layersmith.ship.aws.accounts import Aws
    from layersmith.ship.aws.preflight import Findings
    from layersmith.ship.publish.models import Desired, RegionState, Version
    from layersmith.ship.publish.plan import Plan, PlanOptions
    from layersmith.ship.publish.site import Site

ROLE_HINT = "deploy the stack that makes it, or name another by --canary-role"


def unready(
    site: Site, desired: Sequence[Desired], made: Plan
) -> tuple[list[Quarantined], Sequence[str]]:
    """Return the regions that cannot be worked on, and what could not be checked.

    Args:
        site: Where to publish.
        desired: The artifacts.
        made: What would be done.

    Raises:
        AwsFailure: The credentials are missing or expired.
    """
    sizes = {want.identifier: want.size for want in desired}
    room: dict[str, int] = {}
    proved: dict[str, None] = {}
    for action in made.actions:
        if action.step is Step.PUBLISH:
            room[action.region] = room.get(action.region, 0) + sizes[action.target]
        elif action.step is Step.CANARY:
            proved[action.region] = None
    roles = _Roles(site.canary_role)

    def look(region: str) -> Findings:
        report = preflight.Findings()
        if region in room:
            preflight.check_code_storage(report, site.aws[region], region, needs=room[region])
        if region in proved:
            found = roles.found(site.aws[region], region)
            report.problems += found.problems
            report.unread += found.unread
        return report

    found, failed = observed.in_parallel(look, list({**room, **proved}), workers=site.workers)
    refused = [
        Quarantined(region, problem.message, problem.hint or "")
        for region, report in found.items()
        for problem in report.problems
    ]
    unread = dict.fromkeys(line for report in found.values() for line in report.unread)
    return [*refused, *failed], list(unread)


class _Roles:
    """The canary's role, looked at once in each account.

    Args:
        name: The role's name.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._lock = threading.Lock()
        self._known: dict[int, Findings] = {}

    def found(self, aws: Aws, region: str) -> Findings:
        """Return what is found of the role in the account behind some clients."""
        with self._lock:
            if id(aws) not in self._known:
                report = self._known[id(aws)] = preflight.Findings()
                preflight.check_role(
                    report,
                    aws,
                    region,
                    self._name,
                    service="lambda.amazonaws.com",
                    hint=ROLE_HINT,
                )
            return self._known[id(aws)]


@dataclass
class RegionOutcome:
    """What an apply did.

    Attributes:
        done: Steps that were done, in no particular order.
        findings: What could not be brought into order.
        quarantined: Regions that failed and were left out.
        touched: Regions in which something may have changed.
    """

    done: list[Action] = field(default_factory=list)
    findings: list[RegionFinding] = field(default_factory=list)
    quarantined: list[Quarantined] = field(default_factory=list)
    touched: set[str] = field(default_factory=set)


class Publisher:
    """One apply.

    Args:
        site: Where, and within which bounds.
        options: What to leave out.
        states: What the regions held when the run began, by region.
        say: Told of every step.
    """

    def __init__(
        self,
        site: Site,
        options: PlanOptions,
        states: Mapping[str, RegionState],
        say: Callable[[str, str, str], None],
    ) -> None:
        self.site = site
        self.options = options
        self.states = states
        self.say = say
        self.outcome = RegionOutcome()
        self.gate = uploads.UploadSlots()
        self.abort = threading.Event()
        self._lock = threading.Lock()
        self._numbers: dict[str, int] = {}
        self._blocked: set[str] = set()
        self._proven: set[str] = set()

    def run(self, desired: Sequence[Desired], made: Plan) -> RegionOutcome:
        """Publish pilots first, then everything else that the plan asks for.

        Args:
            desired: The artifacts.
            made: The plan; a region in which it has nothing to do is left alone.

        Raises:
            AwsFailure: It concerns the whole run, such as expired credentials.
        """
        todo = {(action.region, action.target) for action in made.actions}
        self._blocked = {one.target for one in made.findings if one.blocking}
        # What the plan found where nothing is to be done; the rest is looked at again.
        left = [one for one in made.findings if (one.region, one.target) not in todo]
        self.outcome.findings += left
        self._pilots(desired, todo)
        rest: dict[str, list[Desired]] = {}
        for want in desired:
            for region in want.regions:
                if (region, want.identifier) in todo and region in self._usable():
                    rest.setdefault(region, []).append(want)
        self._wave(rest)
        return self.outcome

    def _pilots(self, desired: Sequence[Desired], todo: set[tuple[str, str]]) -> None:
        """Publish every target to the first of its regions that works; take that out of todo."""
        waiting = [want for want in desired if want.identifier not in self._blocked]
        tried: set[tuple[str, str]] = set()
        while waiting:
            wave: dict[str, list[Desired]] = {}
            for want in waiting:
                region = self._next_region(want, tried)
                if region and (region, want.identifier) in todo:
                    wave.setdefault(region, []).append(want)
                    tried.add((region, want.identifier))
            failed = self._wave(wave)
            waiting = [want for region in failed for want in wave[region]]
        todo -= tried

    def _usable(self) -> set[str]:
        gone = {one.region for one in self.outcome.quarantined}
        return {region for region in self.states if region not in gone}

    def _next_region(self, want: Desired, tried: set[tuple[str, str]]) -> str | None:
        usable = self._usable()
        for region in want.regions:
            if region in usable and (region, want.identifier) not in tried:
                return region
        return None

    def _wave(self, wave: Mapping[str, Sequence[Desired]]) -> list[str]:
        """Work on regions in parallel; return those that failed."""
        if not wave:
            return []
        _, failed = observed.in_parallel(
            lambda region: self._region(region, wave[region]),
            list(wave),
            workers=self.site.workers,
            abort=self.abort,
        )
        self.outcome.quarantined += failed
        self.outcome.touched.update(wave)
        for one in failed:
            for want in wave[one.region]:
                self.say(one.region, want.identifier, progress.LEFT_OUT)
        return [one.region for one in failed]

    def _region(self, region: str, desired: Sequence[Desired]) -> None:
        todo = [want for want in desired if want.identifier not in self._blocked]
        if not todo:
            return
        aws = self.site.aws[region]
        if not self.states[region].bucket:
            self.done(Action(Step.BUCKET, region, ""))
        bucket = buckets.ensure(aws, self.site.stack, region)
        with lease.held(
            aws, region, bucket, wait=self.site.lock_wait, owner=self.site.owner
        ) as lock:
            uploads.sweep(aws, region, bucket)
            for want in todo:
                lock.check()
                try:
                    RegionUpdate(self, region, want, bucket, lock.check).apply()
                except failures.AwsFailure as failure:
                    if failure.kind not in failures.OF_THE_RUN:
                        failure.target = want.identifier
                    raise
                except ShipError as problem:
                    self.block(want, region, problem)

    def working(self) -> dict[str, RegionState]:
        """Return what the regions held that have not failed since."""
        usable = self._usable()
        return {region: state for region, state in self.states.items() if region in usable}

    def number(self, want: Desired, region: str, has: Held) -> int:
        """Return the integer version the target shall have; 0 where it does not matter."""
        with self._lock:
            if want.identifier in self._numbers:
                return self._numbers[want.identifier]
        others = [
            state.held.get(want.identifier, Held())
            for name, state in self.states.items()
            if name != region and name in (*want.regions, *want.counted)
        ]
        return plan.release_number(want, [has, *others])

    def settle(self, want: Desired, number: int) -> None:
        """Record that the target works in a region, and the number that it got there."""
        with self._lock:
            self._proven.add(want.identifier)
            if want.align:
                self._numbers.setdefault(want.identifier, number)

    def block(self, want: Desired, region: str, problem: ShipError) -> None:
        """Record that the target failed; if it was with its pilot, no other region begins."""
        with self._lock:
            if want.identifier not in self._proven:
                self._blocked.add(want.identifier)
            self.outcome.findings.append(
                RegionFinding(
                    region, want.identifier, "publish", "done", problem.message, problem.hint or ""
                )
            )

    def find(self, findings: Sequence[RegionFinding]) -> None:
        """Record what could not be brought into order."""
        with self._lock:
            self.outcome.findings.extend(findings)

    def done(self, action: Action) -> None:
        """Record a step that was done."""
        with self._lock:
            self.outcome.done.append(action)
        self.say(action.region, action.target, f"{action.step} {action.detail}".strip())


class RegionUpdate:
    """The work on one target in one region.

    Args:
        run: The apply that it belongs to.
        region: Where.
        want: The artifact.
        bucket: Artifact bucket of the region.
        check: Raises where the region no longer belongs to this run.
    """

    def __init__(
        self,
        run: Publisher,
        region: str,
        want: Desired,
        bucket: str,
        check: Callable[[], None],
    ) -> None:
        self.run = run
        self.region = region
        self.want = want
        self.bucket = bucket
        self.check = check
        self.aws = run.site.aws[region]
        self._release: Version | None = None
        self._top = 0
        self._filled: dict[int, int] = {}
        self._skipped: set[int] = set()

    def apply(self) -> None:
        """Read anew under the lock, and do what is missing.

        Raises:
            AwsFailure: A call failed after all retries.
            ShipError: The zip arrived damaged, or the canary failed.
        """
        want, run = self.want, self.run
        has = observed.read_target(self.aws, self.region, want, self.bucket)
        number = run.number(want, self.region, has)
        found = plan.conflicts(want, self.region, has, number)
        if any(one.blocking for one in found):
            run.find(found)
            return
        self._release = has.release(want.version, want.sha256)
        self._top = has.top
        todo = plan.keep(want, self.region, run.working())
        for action in todo + plan.steps(want, self.region, has, number, run.options):
            self._do(action)
        real = self._published.number
        run.settle(want, real)
        if number and real != number and not found:
            found = [plan.misaligned(want, self.region, number, real)]
        run.find(found)

    @property
    def _published(self) -> Version:
        if self._release is None:
            raise ShipError(f"{self.region}: nothing is published", target=self.want.identifier)
        return self._release

    def _do(self, action: Action) -> None:
        """Do one step, and report it with the number that AWS gave."""
        work = {
            Step.KEEP: self._keep,
            Step.FILL: self._fill,
            Step.PUBLISH: self._publish,
            Step.UNFILL: self._unfill,
            Step.GRANT: self._grant,
            Step.REVOKE: self._revoke,
            Step.CANARY: self._canary,
            Step.PROMOTE: self._promote,
            Step.POINT: self._point,
        }[action.step]
        self._may_go_on()
        self.run.say(self.region, self.want.identifier, f"{action.step} …")
        number = work(action)
        if number is not None:
            self.run.done(dataclasses.replace(action, number=number))

    def _may_go_on(self) -> None:
        """End the work where the run was ended, or the region's lock is lost."""
        if self.run.abort.is_set():
            raise ShipError(f"{self.region}: the run was ended", target=self.want.identifier)
        self.check()

    def _keep(self, action: Action) -> int:
        uploads.keep(self.aws, self.region, self.want, self.bucket)
        return action.number

    def _fill(self, action: Action) -> int | None:
        for number in action.numbers:
            if number <= self._top:
                # Somebody else used the number up since the state was read.
                self._skipped.add(number)
                continue
            self._may_go_on()
            self._top = uploads.placeholder(self.aws, self.region, self.want)
            self._filled[number] = self._top
        return self._made(action)

    def _publish(self, _: Action) -> int:
        site = self.run.site
        self._release = uploads.publish(
            self.aws,
            self.region,
            self.want,
            self.bucket,
            self.run.gate,
            direct_limit=site.direct_limit,
        )
        return self._release.number

    def _unfill(self, action: Action) -> int | None:
        for number in action.numbers:
            if number in self._skipped:
                continue
            self._may_go_on()
            with failures.explained(self.region, "lambda"):
                self.aws.lambda_(self.region).delete_layer_version(
                    LayerName=self.want.name, VersionNumber=self._filled.get(number, number)
                )
        return self._made(action)

    def _made(self, action: Action) -> int | None:
        """Return the first number of a range that AWS gave as planned; None where it gave none."""
        return next((n for n in action.numbers if n not in self._skipped), None)

    def _grant(self, action: Action) -> int:
        number = self._published.number
        arguments: dict[str, Any] = action.grant.arguments if action.grant else {}
        client = self.aws.lambda_(self.region)
        with failures.explained(self.region, "lambda"):
            try:
                client.add_layer_version_permission(
                    LayerName=self.want.name, VersionNumber=number, **arguments
                )
            except ClientError as error:
                if not failures.is_conflict(error):
                    raise
                # A statement of this name says something else than it should: replace it.
                self._revoke(action)
                client.add_layer_version_permission(
                    LayerName=self.want.name, VersionNumber=number, **arguments
                )
        return number

    def _revoke(self, action: Action) -> int:
        number = self._published.number
        with failures.explained(self.region, "lambda"):
            self.aws.lambda_(self.region).remove_layer_version_permission(
                LayerName=self.want.name,
                VersionNumber=number,
                StatementId=action.grant.sid if action.grant else "",
            )
        return number

    def _canary(self, _: Action) -> int:
        release = self._published
        verdict = canary.prove(
            self.aws, self.region, self.want, release.arn, role=self.run.site.canary_role
        )
        if not verdict.passed:
            raise ShipError(
                f"{self.region}: the canary failed: {verdict.detail}",
                target=self.want.identifier,
                cause=f"{release.arn} does not work in {self.want.runtime}",
                hint="no pointer was moved; fix the layer and bump its version",
            )
        return release.number

    def _promote(self, action: Action) -> int:
        return self._write(LATEST, action.semver)

    def _point(self, action: Action) -> int:
        return self._write(action.semver, action.semver)

    def _write(self, name: str, semver: str) -> int:
        arn, place = self._published.arn, self.want.place
        pointers.write(self.aws, self.region, place, name, arn, note=f"layersmith {semver}")
        return self._published.number

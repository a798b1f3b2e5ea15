"""Applies what the planner says, region by region, and goes on where a region fails.

A target is first published to one region, its pilot: the first of its list that works. Only when
the canary passed there do the other regions follow, all at once, with the pilot's number.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from layersmith.errors import ShipError
from layersmith.ship import board, bring, buckets, canary, failures, lease, planner, reader, uploads
from layersmith.ship.model import Action, Finding, Held, Quarantined, Step

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from layersmith.ship.aws import Aws
    from layersmith.ship.model import RegionState, Wanted
    from layersmith.ship.planner import Options, Plan


@dataclass(frozen=True)
class Site:
    """Where to publish, and within which bounds.

    Attributes:
        aws: Region -> the clients of the account it is published from.
        home: Region whose bucket holds the index and the history of costs.
        stack: Name of the installation, part of the artifact buckets' names.
        workers: Regions at once.
        canary_role: Name of the role of canary functions.
        lock_wait: Seconds to wait for another run in a region.
        direct_limit: Bytes above which a zip goes through the bucket; None is AWS's limit.
        owner: Who holds the locks.
    """

    aws: Mapping[str, Aws]
    home: str
    stack: str = "layersmith"
    workers: int = 16
    canary_role: str = canary.ROLE
    lock_wait: float = lease.LIFETIME + 60.0
    direct_limit: int | None = None
    owner: lease.Owner = field(default_factory=lease.Owner.current)


@dataclass
class Outcome:
    """What an apply did.

    Attributes:
        done: Steps that were done, in no particular order.
        findings: What could not be brought into order.
        quarantined: Regions that failed and were left out.
        touched: Regions in which something may have changed.
    """

    done: list[Action] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
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
        options: Options,
        states: Mapping[str, RegionState],
        say: Callable[[str, str, str], None],
    ) -> None:
        self.site = site
        self.options = options
        self.states = states
        self.say = say
        self.outcome = Outcome()
        self.gate = uploads.Gate()
        self.abort = threading.Event()
        self._lock = threading.Lock()
        self._numbers: dict[str, int] = {}
        self._blocked: set[str] = set()
        self._proven: set[str] = set()

    def run(self, wanted: Sequence[Wanted], made: Plan) -> Outcome:
        """Publish pilots first, then everything else that the plan asks for.

        Args:
            wanted: The artifacts.
            made: The plan; a region in which it has nothing to do is left alone.

        Raises:
            AwsFailure: It concerns the whole run, such as expired credentials.
        """
        todo = {(action.region, action.target) for action in made.actions}
        self._blocked = {one.target for one in made.findings if one.blocking}
        # What the plan found where nothing is to be done; the rest is looked at again.
        left = [one for one in made.findings if (one.region, one.target) not in todo]
        self.outcome.findings += left
        self._pilots(wanted, todo)
        rest: dict[str, list[Wanted]] = {}
        for want in wanted:
            for region in want.regions:
                if (region, want.identifier) in todo and region in self._usable():
                    rest.setdefault(region, []).append(want)
        self._wave(rest)
        return self.outcome

    def _pilots(self, wanted: Sequence[Wanted], todo: set[tuple[str, str]]) -> None:
        """Publish every target to the first of its regions that works; take that out of todo."""
        waiting = [want for want in wanted if want.identifier not in self._blocked]
        tried: set[tuple[str, str]] = set()
        while waiting:
            wave: dict[str, list[Wanted]] = {}
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

    def _next_region(self, want: Wanted, tried: set[tuple[str, str]]) -> str | None:
        usable = self._usable()
        for region in want.regions:
            if region in usable and (region, want.identifier) not in tried:
                return region
        return None

    def _wave(self, wave: Mapping[str, Sequence[Wanted]]) -> list[str]:
        """Work on regions in parallel; return those that failed."""
        if not wave:
            return []
        _, failed = reader.in_parallel(
            lambda region: self._region(region, wave[region]),
            list(wave),
            workers=self.site.workers,
            abort=self.abort,
        )
        self.outcome.quarantined += failed
        self.outcome.touched.update(wave)
        for one in failed:
            for want in wave[one.region]:
                self.say(one.region, want.identifier, board.LEFT_OUT)
        return [one.region for one in failed]

    def _region(self, region: str, wanted: Sequence[Wanted]) -> None:
        todo = [want for want in wanted if want.identifier not in self._blocked]
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
            for count, want in enumerate(todo):
                if count:
                    lock.renew()
                try:
                    bring.Target(self, region, want, bucket).bring()
                except failures.AwsFailure as failure:
                    if failure.kind not in failures.OF_THE_RUN:
                        failure.target = want.identifier
                    raise
                except ShipError as problem:
                    self.block(want, region, problem)

    def number(self, want: Wanted, region: str, has: Held) -> int:
        """Return the integer version the target shall have; 0 where it does not matter."""
        with self._lock:
            if want.identifier in self._numbers:
                return self._numbers[want.identifier]
        others = [
            state.held.get(want.identifier, Held())
            for name, state in self.states.items()
            if name != region and name in want.regions
        ]
        return planner.release_number(want, [has, *others])

    def settle(self, want: Wanted, number: int) -> None:
        """Record that the target works in a region, and the number that it got there."""
        with self._lock:
            self._proven.add(want.identifier)
            if want.align:
                self._numbers.setdefault(want.identifier, number)

    def block(self, want: Wanted, region: str, problem: ShipError) -> None:
        """Record that the target failed; if it was with its pilot, no other region begins."""
        with self._lock:
            if want.identifier not in self._proven:
                self._blocked.add(want.identifier)
            self.outcome.findings.append(
                Finding(
                    region, want.identifier, "publish", "done", problem.message, problem.hint or ""
                )
            )

    def find(self, findings: Sequence[Finding]) -> None:
        """Record what could not be brought into order."""
        with self._lock:
            self.outcome.findings.extend(findings)

    def done(self, action: Action) -> None:
        """Record a step that was done."""
        with self._lock:
            self.outcome.done.append(action)
        self.say(action.region, action.target, f"{action.step} {action.detail}".strip())

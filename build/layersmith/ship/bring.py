"""Brings one target in one region to what is wanted, one AWS call after the other.

Each step may be the last one that a killed run did, and each can be done again: the state is read
anew under the region's lock, and only what is missing is done.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from layersmith.errors import ShipError
from layersmith.ship import canary, failures, planner, pointers, reader, uploads
from layersmith.ship.model import Step

if TYPE_CHECKING:
    from layersmith.ship.model import Action, Version, Wanted
    from layersmith.ship.publisher import Publisher


class Target:
    """The work on one target in one region.

    Args:
        run: The apply that it belongs to.
        region: Where.
        want: The artifact.
        bucket: Artifact bucket of the region.
    """

    def __init__(self, run: Publisher, region: str, want: Wanted, bucket: str) -> None:
        self.run = run
        self.region = region
        self.want = want
        self.bucket = bucket
        self.aws = run.site.aws[region]
        self._release: Version | None = None
        self._top = 0
        self._filled: dict[int, int] = {}
        self._skipped: set[int] = set()

    def bring(self) -> None:
        """Read anew under the lock, and do what is missing.

        Raises:
            AwsFailure: A call failed after all retries.
            ShipError: The zip arrived damaged, or the canary failed.
        """
        want, run = self.want, self.run
        has = reader.read_target(self.aws, self.region, want)
        number = run.number(want, self.region, has)
        found = planner.conflicts(want, self.region, has, number)
        if any(one.blocking for one in found):
            run.find(found)
            return
        self._release = has.release(want.version, want.sha256)
        self._top = has.top
        todo = planner.keep(want, run.states[self.region])
        for action in todo + planner.steps(want, self.region, has, number, run.options):
            self._do(action)
        real = self._published.number
        run.settle(want, real)
        if number and real != number and not found:
            found = [planner.misaligned(want, self.region, number, real)]
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
        if self.run.abort.is_set():
            raise ShipError(f"{self.region}: the run was ended", target=self.want.identifier)
        self.run.say(self.region, self.want.identifier, f"{action.step} …")
        number = work(action)
        if number is not None:
            self.run.done(dataclasses.replace(action, number=number))

    def _keep(self, action: Action) -> int:
        uploads.keep(self.aws, self.region, self.want, self.bucket)
        return action.number

    def _fill(self, action: Action) -> int | None:
        if action.number <= self._top:
            # Somebody else used the number up since the state was read.
            self._skipped.add(action.number)
            return None
        self._top = uploads.placeholder(self.aws, self.region, self.want)
        self._filled[action.number] = self._top
        return self._top

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
        if action.number in self._skipped:
            return None
        number = self._filled.get(action.number, action.number)
        with failures.explained(self.region, "lambda"):
            self.aws.lambda_(self.region).delete_layer_version(
                LayerName=self.want.name, VersionNumber=number
            )
        return number

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
                hint="no pointer was moved; mend the layer and bump its version",
            )
        return release.number

    def _promote(self, action: Action) -> int:
        return self._write(pointers.LATEST, action.semver)

    def _point(self, action: Action) -> int:
        return self._write(action.semver, action.semver)

    def _write(self, name: str, semver: str) -> int:
        want, release = self.want, self._published
        place = (want.layer, want.runtime, want.architecture)
        pointers.write(self.aws, self.region, place, name, release.arn, note=f"layersmith {semver}")
        return release.number

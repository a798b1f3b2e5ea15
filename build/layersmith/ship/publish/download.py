"""Gets released zips back from the artifact buckets, so that a region catches up with them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from layersmith import cache, console
from layersmith.errors import ShipError
from layersmith.ship import github
from layersmith.ship.aws import buckets, failures, regions
from layersmith.ship.publish import desired
from layersmith.ship.release import tagging

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from layersmith.plan import Target
    from layersmith.ship.aws.accounts import AccountAccess
    from layersmith.ship.aws.clients import Aws
    from layersmith.ship.publish.site import RegionChoice


@dataclass(frozen=True)
class Releases:
    """Where released zips are, and where they go to.

    Attributes:
        dist: Folder that the zips are put into.
        root: Folder that paths in layers.yaml are relative to.
        stack: Name of the installation, for the artifact buckets.
        access: How the accounts are reached.
        regions: Whose buckets are searched.
        on_github: Take them from GitHub's releases instead.
    """

    dist: Path
    root: Path
    stack: str
    access: AccountAccess
    regions: RegionChoice
    on_github: bool = False
    _reached: dict[str, Aws] = field(default_factory=dict, repr=False)

    def fetch(self, targets: Sequence[Target], *, skip_unreleased: bool = False) -> int:
        """Put the zips of the targets' versions into dist/ where they are not there yet.

        Args:
            targets: The targets.
            skip_unreleased: Go on where a version was never released.

        Returns:
            How many zips were fetched.

        Raises:
            ShipError: A version is in no bucket, or what is there is damaged.
            AwsFailure: S3 refused.
        """
        count = 0
        for target in targets:
            if (self.dist / f"{target.stem}.zip").is_file():
                continue
            names = self.regions.of(target)
            if not names and self.regions.partition:
                console.info(f"{target.identifier} has no region in {self.regions.partition}")
            elif self._found(target, names):
                desired.one(target, self.dist, self.root, names)
                count += 1
            elif skip_unreleased:
                console.info(f"{target.identifier} {target.version} was never released")
            else:
                raise ShipError(
                    f"version {target.version} is released nowhere",
                    target=target.identifier,
                    cause="it was never published, or was published by another stack",
                    hint="build it: `nox -s build`",
                )
        return count

    def _found(self, target: Target, names: Sequence[str]) -> bool:
        """Fetch a target's files; return whether its zip was there."""
        if self.on_github:
            tag = tagging.tag_name(target.layer, target.version)
            return github.Repository.current().download(tag, f"{target.stem}.", self.dist)
        return any(self._from(region, target) for region in names)

    def _from(self, region: str, target: Target) -> bool:
        """Fetch a target's files from one region's bucket; return whether its zip was there."""
        partition = regions.partition_of(region)
        if partition not in self._reached:
            self._reached[partition] = self.access.clients([region])[region]
        aws = self._reached[partition]
        bucket = buckets.artifact_bucket(self.stack, aws.account(region), region)
        prefix = f"{buckets.ARTIFACTS}{target.layer}/{target.version}/{target.stem}."
        keys = _keys(aws, region, bucket, prefix)
        # The zip comes last: a killed fetch is seen by the zip that is not there.
        for key in sorted(keys, key=lambda key: key.endswith(".zip")):
            with failures.explained(region, "s3"):
                body = aws.s3(region).get_object(
                    Bucket=bucket, Key=key, ExpectedBucketOwner=aws.account(region)
                )["Body"]
                with cache.atomic_writer(self.dist / key.rpartition("/")[2]) as stream:
                    for chunk in body.iter_chunks(1 << 20):
                        stream.write(chunk)
        return f"{prefix}zip" in keys


def _keys(aws: Aws, region: str, bucket: str, prefix: str) -> list[str]:
    with failures.explained(region, "s3"):
        try:
            answer = aws.s3(region).list_objects_v2(
                Bucket=bucket, Prefix=prefix, ExpectedBucketOwner=aws.account(region)
            )
        except ClientError as error:
            if failures.is_missing(error):
                return []
            raise
    return [str(one.get("Key")) for one in answer.get("Contents", ())]

"""Gets released zips back from the artifact buckets, so that a region catches up with them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from layersmith import cache, console
from layersmith.errors import ShipError
from layersmith.ship import github, options
from layersmith.ship.aws import buckets, failures
from layersmith.ship.publish import desired
from layersmith.ship.release import tagging

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence
    from pathlib import Path

    from layersmith.plan import Target
    from layersmith.ship.aws.clients import Aws


def fetch(args: argparse.Namespace, targets: Sequence[Target], root: Path) -> int:
    """Put the zips of the targets' versions into dist/ where they are not there yet.

    Args:
        args: Parsed options of selection and account.
        targets: The targets.
        root: Folder that paths in layers.yaml are relative to.

    Returns:
        How many zips were fetched.

    Raises:
        ShipError: A version is in no bucket, or what is there is damaged.
        AwsFailure: S3 refused.
    """
    count = 0
    for target in targets:
        if (args.dist / f"{target.stem}.zip").is_file():
            continue
        names = options.chosen_regions(args, target)
        if _found(args, target, names):
            desired.one(target, args.dist, root, names)
            count += 1
        elif args.skip_unreleased:
            console.info(f"{target.identifier} {target.version} was never released")
        else:
            raise ShipError(
                f"version {target.version} is released nowhere",
                target=target.identifier,
                cause="it was never published, or was published by another stack",
                hint="build it: `nox -s build`",
            )
    return count


def _found(args: argparse.Namespace, target: Target, names: Sequence[str]) -> bool:
    """Fetch a target from where the options say; return whether it was there."""
    if args.github:
        tag = tagging.tag_name(target.layer, target.version)
        return github.Repository.current().download(tag, f"{target.stem}.", args.dist)
    return any(_from(args, region, target) for region in names)


def _from(args: argparse.Namespace, region: str, target: Target) -> bool:
    """Fetch a target's files from one region's bucket; return whether its zip was there."""
    aws = options.accounts(args, [region])[region]
    bucket = buckets.artifact_bucket(args.stack, aws.account(region), region)
    prefix = f"{buckets.ARTIFACTS}{target.layer}/{target.version}/{target.stem}."
    keys = _keys(aws, region, bucket, prefix)
    # The zip comes last: a killed fetch is seen by the zip that is not there.
    for key in sorted(keys, key=lambda key: key.endswith(".zip")):
        with failures.explained(region, "s3"):
            body = aws.s3(region).get_object(
                Bucket=bucket, Key=key, ExpectedBucketOwner=aws.account(region)
            )["Body"]
            with cache.atomic_writer(args.dist / key.rpartition("/")[2]) as stream:
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

"""Reads what accounts hold: regions in parallel, every list to its last page."""

from __future__ import annotations

import dataclasses
import json
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

from botocore.exceptions import ClientError

from layersmith.ship import pointers
from layersmith.ship.aws import buckets, failures, labels
from layersmith.ship.publish.models import (
    Grant,
    Held,
    KeptFile,
    Quarantined,
    RegionState,
    Version,
)
from layersmith.ship.signing import Signer

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from types_boto3_lambda.client import LambdaClient

    from layersmith.ship.aws.accounts import Aws
    from layersmith.ship.publish.models import Desired

T = TypeVar("T")


def by_region(desired: Iterable[Desired], *, counted: bool = False) -> dict[str, list[Desired]]:
    """Return the artifacts of every region, regions in the order in which they are named.

    Args:
        desired: The artifacts.
        counted: Whether those whose number counts there belong to a region, too.
    """
    found: dict[str, list[Desired]] = {}
    for want in desired:
        for region in (*want.regions, *(want.counted if counted else ())):
            found.setdefault(region, []).append(want)
    return found


def in_parallel(
    work: Callable[[str], T],
    regions: Sequence[str],
    *,
    workers: int,
    abort: threading.Event | None = None,
) -> tuple[dict[str, T], list[Quarantined]]:
    """Call ``work`` once a region; a region that fails is quarantined, the others go on.

    Args:
        work: Takes the region's name.
        regions: Their names; the result keeps their order.
        workers: Calls at once.
        abort: Set when the run ends early, so that calls that have begun can stop, too.

    Raises:
        AwsFailure: It concerns the whole run, such as expired credentials.
    """
    done: dict[str, T] = {}
    failed: list[Quarantined] = []
    with ThreadPoolExecutor(max_workers=max(1, min(workers, len(regions)))) as pool:
        futures = {region: pool.submit(work, region) for region in regions}
        try:
            for region, future in futures.items():
                try:
                    done[region] = future.result()
                except failures.AwsFailure as failure:
                    if failure.kind in failures.OF_THE_RUN:
                        raise
                    failed.append(Quarantined(region, failure.line, failure.hint or ""))
        except BaseException:
            if abort:
                abort.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return done, failed


def read_all(
    aws: Mapping[str, Aws],
    stack: str,
    desired: Sequence[Desired],
    *,
    workers: int,
    counted: bool = False,
) -> tuple[dict[str, RegionState], list[Quarantined]]:
    """Read every region that an artifact goes to.

    Args:
        aws: Region -> the clients of the account it is published from.
        stack: Name of the installation, for the artifact bucket.
        desired: The artifacts.
        workers: Regions at once.
        counted: Whether to read the regions in which only its number counts, too.

    Raises:
        AwsFailure: No region can be read, because there are no credentials.
    """
    regions = by_region(desired, counted=counted)
    return in_parallel(
        lambda region: read_region(aws[region], stack, region, regions[region]),
        list(regions),
        workers=workers,
    )


def read_region(aws: Aws, stack: str, region: str, desired: Sequence[Desired]) -> RegionState:
    """Read what one region holds of the targets.

    Raises:
        AwsFailure: A call failed after all retries.
    """
    name = buckets.artifact_bucket(stack, aws.account(region), region)
    held = {want.identifier: read_target(aws, region, want, name) for want in desired}
    bucket, kept = read_bucket(aws, region, name)
    return RegionState(region, held, bucket, kept)


def read_bucket(aws: Aws, region: str, name: str) -> tuple[bool, frozenset[str]]:
    """Return whether the artifact bucket is there, and the keys of the released zips in it."""
    found = list_kept(aws, region, name)
    return found is not None, frozenset(one.key for one in found or ())


def list_kept(aws: Aws, region: str, name: str) -> list[KeptFile] | None:
    """Return the files of releases in an artifact bucket; None where there is no bucket."""
    found: list[KeptFile] = []
    with failures.explained(region, "s3"):
        pages = aws.s3(region).get_paginator("list_objects_v2")
        try:
            for page in pages.paginate(
                Bucket=name, Prefix=buckets.ARTIFACTS, ExpectedBucketOwner=aws.account(region)
            ):
                found += [
                    KeptFile(one["Key"], one["Size"], one["LastModified"])
                    # S3 always counts; a page of a proxy that can be read as XML does not.
                    for one in (page["Contents"] if page["KeyCount"] else ())
                ]
        except ClientError as error:
            if failures.is_missing(error):
                return None
            raise
    return found


def read_target(aws: Aws, region: str, want: Desired, bucket: str) -> Held:
    """Read the versions and pointers of one target in one region.

    Where AWS Signer signs it, a version that holds the signed zip has the digest of the built one.
    """
    client = aws.lambda_(region)
    with failures.explained(region, "lambda"):
        versions = tuple(
            _detailed(client, want.name, version) if version.semver == want.version else version
            for version in list_versions(client, want.name)
        )
    if want.signing:
        versions = _as_built(Signer(aws, region, bucket, want.signing), want, versions)
    return Held(versions, pointers.read(aws, region, want.place))


def _as_built(signer: Signer, want: Desired, versions: tuple[Version, ...]) -> tuple[Version, ...]:
    if not any(version.sha256 for version in versions):
        return versions
    signed = signer.find(want.built_digest)
    names = {want.sha256: f"{want.sha256} (unsigned)"}
    names |= {signed.sha256: want.sha256} if signed else {}
    return tuple(
        dataclasses.replace(one, sha256=names.get(one.sha256, one.sha256)) if one.sha256 else one
        for one in versions
    )


def list_versions(client: LambdaClient, name: str) -> list[Version]:
    """Return the versions of a layer, lowest first, without digests and permissions."""
    found: list[Version] = []
    pages = client.get_paginator("list_layer_versions").paginate(LayerName=name)
    try:
        for page in pages:
            found += [_listed(dict(one)) for one in page["LayerVersions"]]
    except ClientError as error:
        if not failures.is_missing(error):
            raise
    return sorted(found, key=lambda version: version.number)


def _listed(one: dict[str, Any]) -> Version:
    description = str(one.get("Description", ""))
    label = labels.parse(description)
    return Version(
        number=int(one["Version"]),
        arn=str(one["LayerVersionArn"]),
        description=description,
        semver=label.semver if label else None,
        placeholder=description == labels.PLACEHOLDER,
        runtimes=tuple(one.get("CompatibleRuntimes", ())),
        architectures=tuple(one.get("CompatibleArchitectures", ())),
        license=str(one.get("LicenseInfo", "")),
        created=str(one.get("CreatedDate", "")),
    )


def _detailed(client: LambdaClient, name: str, version: Version) -> Version:
    """Return the version with its digest, size and permissions."""
    answer = client.get_layer_version(LayerName=name, VersionNumber=version.number)
    grants, foreign = read_grants(client, name, version.number)
    return dataclasses.replace(
        version,
        sha256=answer["Content"]["CodeSha256"],
        size=answer["Content"]["CodeSize"],
        grants=grants,
        foreign_statements=foreign,
    )


def read_grants(
    client: LambdaClient, name: str, number: int
) -> tuple[frozenset[Grant], tuple[str, ...]]:
    """Return the permissions layersmith gave, and the ids of statements of others."""
    try:
        answer = client.get_layer_version_policy(LayerName=name, VersionNumber=number)
    except ClientError as error:
        if failures.is_missing(error):
            return frozenset(), ()
        raise
    grants: set[Grant] = set()
    foreign: list[str] = []
    for statement in json.loads(answer["Policy"])["Statement"]:
        grant = _grant(statement)
        if grant:
            grants.add(grant)
        else:
            foreign.append(str(statement.get("Sid", "")))
    return frozenset(grants), tuple(sorted(foreign))


def _grant(statement: dict[str, Any]) -> Grant | None:
    """Return the grant of a statement if it is one of ours and still says what its id says."""
    sid = str(statement.get("Sid", ""))
    if not sid.startswith("layersmith-"):
        return None
    grant = Grant(sid.removeprefix("layersmith-"))
    principal = statement.get("Principal")
    if isinstance(principal, dict):
        principal = principal.get("AWS")
    condition = statement.get("Condition", {}).get("StringEquals", {})
    organization = next(
        (v for k, v in condition.items() if k.lower() == "aws:principalorgid"), None
    )
    if grant.principal == "public":
        fits = principal == "*" and not condition
    elif grant.principal.startswith("o-"):
        fits = principal == "*" and organization == grant.principal
    else:
        fits = grant.principal in str(principal)
    return grant if fits else None

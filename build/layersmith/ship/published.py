"""Fetches a published layer with its manifest: a layer version, a zip, or a release on GitHub."""

from __future__ import annotations

import base64
import hashlib
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from layersmith import cache
from layersmith.assemble import manifest as manifests
from layersmith.base import http, routes
from layersmith.errors import ConfigError, ProofError, ShipError
from layersmith.ship.aws import buckets, failures, labels
from layersmith.ship.release import tagging
from layersmith.supply.reproduce import Published

if TYPE_CHECKING:
    from collections.abc import Iterable

    from layersmith.ship.aws.accounts import AccountAccess
    from layersmith.ship.github import Repository

TIMEOUT = 120.0
"""Seconds without an answer after which a download fails."""

TARGET = re.compile(r"(?P<layer>.+)-python3-(?P<minor>\d+)-(?P<architecture>arm64|x86_64)")
"""A layer's name in AWS (labels.layer_name)."""


def of_zip(place: str, folder: Path, manifest: str | None = None) -> Published:
    """Return a zip with its manifest, which lies beside it unless it is named.

    Args:
        place: A file, or an address.
        folder: Where downloads go.
        manifest: A file or address.

    Raises:
        ShipError: One of them cannot be downloaded.
        ProofError: There is no such file.
        BuildError: The manifest is missing or damaged.
    """
    path = _local(place, folder)
    beside = f"{place.removesuffix('.zip')}.json"
    return Published(path, manifests.read(_local(manifest or beside, folder)), place)


def of_version(
    arn: str, access: AccountAccess, stack: str, folder: Path, manifest: str | None = None
) -> Published:
    """Return a layer version as Lambda holds it, with the manifest that publish kept.

    Args:
        arn: ARN of the layer version.
        access: How the account is reached.
        stack: Name of the installation, part of the artifact bucket's name.
        folder: Where downloads go.
        manifest: File or address of the manifest, for a layer of another account.

    Raises:
        ConfigError: It is not the ARN of a layer version.
        ShipError: layersmith did not publish it, its manifest is not in the bucket, or Lambda
            gives out other bytes than it names.
        AwsFailure: AWS refused.
    """
    if not labels.is_layer_version(arn):
        raise ConfigError(f"{arn} is not the ARN of a layer version", hint="end it in its number")
    region, name = arn.split(":")[3], arn.split(":")[6]
    aws = access.clients([region])[region]
    with failures.explained(region, "lambda"):
        answer = aws.lambda_(region).get_layer_version_by_arn(Arn=arn)
    content = answer["Content"]
    path = folder / f"{name}.zip"
    cache.write_bytes(path, _download(content["Location"]))
    digest = base64.b64encode(hashlib.sha256(path.read_bytes()).digest()).decode()
    if digest != content["CodeSha256"]:
        raise ShipError(
            f"{arn}: Lambda gave out a zip with SHA-256 {digest}, not {content['CodeSha256']}",
            cause="a proxy changed what was downloaded",
            hint="try again from another network",
        )
    if manifest:
        return Published(path, manifests.read(_local(manifest, folder)), arn)
    label, found = labels.parse(answer.get("Description", "")), TARGET.fullmatch(name)
    if label is None or found is None:
        raise ShipError(
            f"{arn} was not published by layersmith",
            cause="its description does not end in `[layersmith VERSION sha256:...]`",
            hint="name the manifest by --manifest FILE",
        )
    runtime = f"python3.{found['minor']}"
    file = f"{found['layer']}-{label.semver}-{runtime}-{found['architecture']}.json"
    bucket = buckets.artifact_bucket(stack, aws.account(region), region)
    key = f"{buckets.ARTIFACTS}{found['layer']}/{label.semver}/{file}"
    try:
        with failures.explained(region, "s3"):
            body = aws.s3(region).get_object(
                Bucket=bucket, Key=key, ExpectedBucketOwner=aws.account(region)
            )["Body"]
            cache.write_bytes(folder / file, body.read())
    except failures.AwsFailure as failure:
        if isinstance(failure.__cause__, ClientError) and failures.is_missing(failure.__cause__):
            raise ShipError(
                f"the manifest of {arn} is not in the artifact bucket",
                cause=f"{key} is not in {bucket}: `publish` keeps it in the layer's first region",
                hint="ask for the ARN of that region, or name the manifest by --manifest FILE",
            ) from None
        raise
    return Published(path, manifests.read(folder / file), arn)


def of_release(tag: str, repository: Repository, folder: Path) -> list[Published]:
    """Return the zips of a release on GitHub with their manifests.

    Args:
        tag: Its tag, such as ``imaging-v1.2.0``.
        repository: Where it is.
        folder: Where downloads go.

    Raises:
        ConfigError: It is not the tag of a layer.
        ShipError: GitHub refused, or there is no such release, or it has no zip.
    """
    layer = tagging.layer_of(tag)
    if layer is None:
        raise ConfigError(
            f"{tag} is neither an ARN, nor a zip, nor the tag of a layer",
            hint="a zip ends in .zip; a tag is written as in imaging-v1.2.0",
        )
    repository.download(tag, f"{layer}-{tag.removeprefix(f'{layer}-v')}-", folder)
    found = [_beside(path, f"{tag}: {path.name}") for path in sorted(folder.glob("*.zip"))]
    if not found:
        raise ShipError(
            f"there is no release {tag} with a zip on GitHub",
            cause="the tag was never released, or its release failed",
            hint="see `gh release list`, or name a zip",
        )
    return found


def pick(seed: str, repository: Repository, folder: Path) -> list[Published]:
    """Return one zip of one release, the same for the same seed and the same releases.

    Args:
        seed: Such as a date.
        repository: Where releases are.
        folder: Where downloads go.

    Returns:
        The zip; nothing where no layer was ever released.

    Raises:
        ShipError: GitHub refused.
    """
    since = datetime.min.replace(tzinfo=UTC)
    tags = sorted(tag for tag in repository.released(since) if tagging.layer_of(tag))
    if not tags:
        return []
    number = int(hashlib.sha256(seed.encode()).hexdigest(), 16)
    found = of_release(tags[number % len(tags)], repository, folder)
    return [found[number // len(tags) % len(found)]]


def only(
    found: Iterable[Published], runtimes: list[str], architectures: list[str]
) -> list[Published]:
    """Return what runtimes and architectures let through.

    Raises:
        ConfigError: Nothing is left.
    """
    left = [
        one
        for one in found
        if (not runtimes or one.manifest.runtime in runtimes)
        and (not architectures or one.manifest.architecture in architectures)
    ]
    if not left:
        raise ConfigError("no zip of the release matches --runtime and --arch")
    return left


def _beside(path: Path, name: str) -> Published:
    return Published(path, manifests.read(path.with_suffix(".json")), name)


def _local(place: str, folder: Path) -> Path:
    """Return a file, downloaded if it is an address."""
    if "://" not in place:
        if Path(place).is_file() or place.endswith(".json"):
            return Path(place)
        raise ProofError(
            f"{place} does not exist", hint="name an ARN, a zip, or the tag of a release"
        )
    path = folder / place.partition("?")[0].rpartition("/")[2]
    cache.write_bytes(path, _download(place))
    return path


def _download(address: str) -> bytes:
    where = address.partition("?")[0]
    try:
        with routes.client(timeout=TIMEOUT) as client:
            return http.get(client, address).content
    except http.RequestFailed as problem:
        raise ShipError(
            f"{where} cannot be downloaded: {str(problem).replace('the index', 'the server')}",
            cause="the address is wrong or has expired, or a proxy stands before it",
        ) from None

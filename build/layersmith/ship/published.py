"""What is published: a layer with its manifest, and what advisories say of all that there is.

A layer comes from a layer version, a zip, or a release on GitHub.

Of advisories it is said which published versions they are about, where these are, and what to do
about it. The index says what is published, and the manifest and SBOM of a release what it holds.
What was yanked is left out: it is withdrawn already.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections import defaultdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from botocore.exceptions import ClientError

from layersmith import cache
from layersmith.assemble import manifest as manifests
from layersmith.base import http, routes
from layersmith.base.versions import order
from layersmith.errors import ConfigError, ProofError, ShipError
from layersmith.ship.aws import buckets, failures, labels
from layersmith.ship.release import tagging
from layersmith.supply import advisories, subjects
from layersmith.supply.reproduce import Published

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from layersmith.ship.arns import Index
    from layersmith.ship.aws.accounts import AccountAccess
    from layersmith.ship.github import Repository
    from layersmith.supply.advisories import AdvisoryFinding, AdvisoryReport
    from layersmith.supply.subjects import AdvisorySubject

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


class PublishedVersion(NamedTuple):
    """One version of one target, in whatever regions."""

    layer: str
    version: str
    runtime: str
    architecture: str

    @property
    def stem(self) -> str:
        """Name of its files in a release, without suffix."""
        return "-".join(self)

    @property
    def name(self) -> str:
        """Its name for people, and as a target of findings."""
        return f"{self.layer} {self.version} ({self.runtime}, {self.architecture})"


def not_yanked(index: Index) -> dict[PublishedVersion, list[str]]:
    """Return every published version with its regions, without what was yanked."""
    found: dict[PublishedVersion, list[str]] = defaultdict(list)
    for one in index.layers:
        if one.yanked is None:
            place = PublishedVersion(one.layer, one.version, one.runtime, one.architecture)
            found[place].append(one.region)
    return dict(found)


def fetch_manifests(
    places: Sequence[PublishedVersion], folder: Path, repository: Repository
) -> None:
    """Save the manifests and SBOMs of released versions to a folder.

    Raises:
        ShipError: GitHub refused.
    """
    for place in places:
        tag = tagging.tag_name(place.layer, place.version)
        repository.download(tag, f"{place.stem}.", folder, suffixes=(".json",))


def gather(
    places: Sequence[PublishedVersion], folder: Path
) -> tuple[list[AdvisorySubject], list[str]]:
    """Return what published versions hold, and the names of those of which nothing is known.

    Args:
        places: The versions.
        folder: With manifests and SBOMs of releases.

    Raises:
        BuildError: A manifest or SBOM is damaged.
    """
    found: list[AdvisorySubject] = []
    unknown = []
    for place in places:
        path, bill = folder / f"{place.stem}.json", folder / f"{place.stem}.cdx.json"
        if not path.is_file():
            unknown.append(place.name)
            continue
        found += subjects.of_manifest(manifests.read(path), place.name)
        if bill.is_file():
            found += subjects.of_bill(bill, subjects.LockPlace(place.name)).bundled
        else:
            unknown.append(f"libraries bundled in {place.name}")
    return found, unknown


def advisory_issue(
    report: AdvisoryReport,
    places: dict[PublishedVersion, list[str]],
    unknown: Sequence[str] = (),
) -> str:
    """Return the body of the issue: versions, regions, advisories, and the bump that fixes each.

    Args:
        report: What was found on published versions.
        places: Every published version with its regions.
        unknown: What was not looked up.
    """
    dated = f", data of {report.dated:%Y-%m-%d}" if report.dated else ""
    lines = [f"Looked up in {report.source}{dated}.", ""]
    if not report.open:
        lines.append("No advisory counts on a published version.")
    for one in report.open:
        its = [place for place in places if place.name in one.targets]
        lines += [f"### [{one.id}]({one.url}): {one.subject}, {one.level}", ""]
        lines += [_plain(one.summary), ""] if one.summary else []
        lines += ["| layer | version | runtimes | regions |", "|---|---|---|---|"]
        lines += _rows(its, places)
        lines += ["", f"- {advisories.bump(one)}", *_releases(one, its, places), ""]
    lines += [f"- {text}" for text in report.problems]
    if report.is_stale:
        lines.append(f"- the data is {advisories.days(report.age)} old")
    if unknown:
        lines += ["", f"Not looked up: {', '.join(unknown)}."]
    return "\n".join(lines).rstrip() + "\n"


def _plain(text: str) -> str:
    """Return a text of somebody else's as one that mentions nobody and links nowhere."""
    return f"`{text.replace('`', chr(39))}`"


def _rows(its: Sequence[PublishedVersion], places: dict[PublishedVersion, list[str]]) -> list[str]:
    """Return a row a version, with all of its runtimes and regions."""
    together: dict[tuple[str, str], list[PublishedVersion]] = defaultdict(list)
    for place in its:
        together[place.layer, place.version].append(place)
    rows = []
    for (layer, version), group in sorted(together.items()):
        runtimes = sorted({f"{one.runtime} {one.architecture}" for one in group})
        regions = sorted({region for one in group for region in places[one]})
        rows.append(f"| {layer} | {version} | {', '.join(runtimes)} | {', '.join(regions)} |")
    return rows


def _releases(
    one: AdvisoryFinding,
    its: Sequence[PublishedVersion],
    places: dict[PublishedVersion, list[str]],
) -> list[str]:
    """Return for each layer which version is free of an advisory, or will be."""
    lines = []
    for layer in sorted({place.layer for place in its}):
        affected = {place.version for place in its if place.layer == layer}
        newest = max({place.version for place in places if place.layer == layer}, key=order)
        if newest not in affected:
            lines.append(f"- {layer} {newest} is published and not affected: move functions to it")
        elif one.fixed:
            following = order(newest).bump_patch()
            lines.append(
                f"- then `layersmith release {layer} --bump patch` ({newest} to {following})"
            )
    return lines

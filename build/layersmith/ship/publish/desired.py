"""From targets and dist/ to what shall be published, checked against the bytes on disk.

``Releases`` gets released zips back from the artifact buckets, so that a region catches up with
them.
"""

from __future__ import annotations

import base64
import fnmatch
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from layersmith import cache, console
from layersmith.assemble import manifest as manifests
from layersmith.base.runtimes import UNZIPPED_LIMIT
from layersmith.config.models import StorageMode
from layersmith.errors import BuildError, ManyErrors, ShipError
from layersmith.ship import github
from layersmith.ship.aws import buckets, failures, labels, regions
from layersmith.ship.publish.models import Desired, Grant
from layersmith.ship.release import tagging

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from layersmith.assemble.manifest import Manifest
    from layersmith.errors import LayersmithError
    from layersmith.plan import Target
    from layersmith.ship.aws.accounts import AccountAccess, Aws
    from layersmith.ship.publish.site import RegionChoice


def from_dist(
    targets: Sequence[Target], dist: Path, root: Path, where: Mapping[str, Sequence[str]]
) -> list[Desired]:
    """Return what shall be published, in the order of the targets.

    Args:
        targets: The targets.
        dist: Folder with their zips and manifests.
        root: Folder that paths in layers.yaml are relative to.
        where: Identifier of a target -> the regions it goes to.

    Raises:
        ManyErrors: Zips are missing, damaged or of another version; all are named.
    """
    found: list[Desired] = []
    problems: list[LayersmithError] = []
    for target in targets:
        try:
            found.append(one(target, dist, root, where[target.identifier]))
        except (BuildError, ShipError) as problem:
            problems.append(problem)
    if problems:
        raise ManyErrors(problems)
    return found


def one(target: Target, dist: Path, root: Path, where: Sequence[str]) -> Desired:
    """Return what shall be published of one target.

    Raises:
        ShipError: The zip is missing, damaged, too large, or has no region to go to.
        BuildError: The manifest is missing or cannot be read.
    """
    manifest = manifests.read(dist / f"{target.stem}.json")
    path = dist / manifest.artifact.filename
    _same_bytes(target, path, manifest)
    if manifest.artifact.unzipped > UNZIPPED_LIMIT:
        raise ShipError(
            f"{path.name} holds {manifest.artifact.unzipped:,} bytes of files",
            target=target.identifier,
            cause=f"Lambda takes {UNZIPPED_LIMIT:,} at most",
            hint="split the layer, or run `python build/layers.py slim`",
        )
    if not where:
        raise ShipError(
            "there is no region to publish to",
            target=target.identifier,
            hint="add `regions` to the layer or to `defaults` in layers.yaml, or pass --region",
        )
    settings = target.settings
    reference = settings.storage is StorageMode.REFERENCE
    if reference and settings.principals:
        raise ShipError(
            "`storage: reference` and `principals` exclude each other",
            target=target.identifier,
            cause="Lambda reads the zip from the artifact bucket, which it may do for this account "
            "only",
            hint="remove `principals`, or set `storage: copy`",
        )
    return Desired(
        identifier=target.identifier,
        layer=target.layer,
        runtime=target.runtime.name,
        architecture=target.architecture,
        version=target.version,
        name=labels.layer_name(target.layer, target.runtime.name, target.architecture),
        zip_path=path,
        sha256=manifest.artifact.code_sha256,
        size=manifest.artifact.zipped,
        unzipped=manifest.artifact.unzipped,
        description=labels.describe(manifest.description, target.version, manifest.artifact.sha256),
        license=settings.license or "",
        grants=frozenset(Grant(principal) for principal in settings.principals),
        align=settings.align,
        regions=tuple(where),
        modules=modules(manifest, list(settings.import_exceptions)),
        smoke=root / settings.smoke if settings.smoke else None,
        beside=(
            *(labels.layer_name(o.layer, o.runtime.name, o.architecture) for o in target.beside),
            *(one.arn for one in settings.beside if not isinstance(one, str)),
        ),
        reference=reference,
        managed=tuple(dict.fromkeys(one.managed for one in manifest.dropped if one.managed)),
    )


def modules(manifest: Manifest, exceptions: Sequence[str]) -> tuple[str, ...]:
    """Return the modules that the canary imports: the top-level ones that can be imported.

    Args:
        manifest: The layer's manifest.
        exceptions: Globs of modules that cannot be imported by design.
    """
    names = {name for dist in manifest.distributions for name in dist.modules}
    return tuple(
        sorted(n for n in names if not any(fnmatch.fnmatchcase(n, glob) for glob in exceptions))
    )


def _same_bytes(target: Target, path: Path, manifest: Manifest) -> None:
    if manifest.version != target.version or manifest.identifier != target.identifier:
        raise ShipError(
            f"{path.name} was built as {manifest.identifier} {manifest.version}",
            target=target.identifier,
            hint="build it anew: `nox -s build`",
        )
    if not path.is_file():
        raise ShipError(
            f"{path.name} is not in {path.parent}",
            target=target.identifier,
            cause="the target has not been built here",
            hint="run `nox -s build`, or `python build/layers.py publish fetch` for released zips",
        )
    digest = cache.sha256_file(path)
    said = base64.b64encode(bytes.fromhex(digest)).decode()
    if digest != manifest.artifact.sha256 or said != manifest.artifact.code_sha256:
        raise ShipError(
            f"{path.name} is not the file that its manifest describes",
            target=target.identifier,
            cause="the zip was changed or damaged after it was built",
            hint="run `nox -s build` to make it anew",
        )


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
                one(target, self.dist, self.root, names)
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
        """Fetch a target's files; return whether its zip was there.

        Any region may have been the pilot, so that one that fails leaves the others to be asked.
        """
        if self.on_github:
            tag = tagging.tag_name(target.layer, target.version)
            return github.Repository.current().download(tag, f"{target.stem}.", self.dist)
        failed: failures.AwsFailure | None = None
        for region in names:
            try:
                if self._from(region, target):
                    return True
            except failures.AwsFailure as failure:
                if failure.kind in failures.OF_THE_RUN:
                    raise
                failed = failed or failure
        if failed:
            raise failed
        return False

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

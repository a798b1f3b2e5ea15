"""From targets and dist/ to what shall be published, checked against the bytes on disk."""

from __future__ import annotations

import base64
import fnmatch
from typing import TYPE_CHECKING

from layersmith import cache
from layersmith.assemble import manifest as manifests
from layersmith.base.runtimes import UNZIPPED_LIMIT
from layersmith.config.models import StorageMode
from layersmith.errors import BuildError, ManyErrors, ShipError
from layersmith.ship.aws import labels
from layersmith.ship.publish.models import Desired, Grant

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from layersmith.assemble.manifest import Manifest
    from layersmith.errors import LayersmithError
    from layersmith.plan import Target


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

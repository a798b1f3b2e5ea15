"""The same requirements without the build: what installing them to a folder leaves.

Their bytecode, if an installer makes any, is compared with the time of its source, which a zip
keeps only to two seconds and Lambda not at all; so there is none here, as there is none in
effect on Lambda.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from layersmith.prove import layer_zip, sites

if TYPE_CHECKING:
    from pathlib import Path

    from layersmith.assemble.manifest import Manifest
    from layersmith.base.runtimes import Runtime


def install(
    layer: Path, manifest: Manifest, runtime: Runtime, architecture: str, into: Path
) -> Path:
    """Install everything that was resolved for a layer into a folder that stands for /opt.

    Args:
        layer: The zip, for its local packages, which no index has.
        manifest: Its manifest, which lists what was resolved, left out or not.
        runtime: The Lambda runtime.
        architecture: To install for, ``arm64`` or ``x86_64``.
        into: The folder, which is made.

    Raises:
        ProofError: A distribution has no wheel, or the index does not answer.
    """
    site = into / "python"
    site.mkdir(parents=True)
    local = {one.name for one in manifest.distributions if one.origin in {"local", "files"}}
    pins = [f"{o.name}=={o.version}" for o in manifest.distributions if o.name not in local]
    pins += [f"{one.name}=={one.version}" for one in manifest.dropped]
    if pins:
        sites.install_for(runtime, architecture, site, pins, what="the plain installation")
    _copy_local(layer, manifest, local, into)
    return into


def _copy_local(layer: Path, manifest: Manifest, local: set[str], into: Path) -> None:
    wanted = [
        record.path
        for record in manifest.files
        if record.distribution in local and not record.path.endswith(".pyc")
    ]
    with layer_zip.opened(layer) as archive:
        for path in wanted:
            archive.extract(path, into)

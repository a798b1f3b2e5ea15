"""Makes the twin of a layer: the same layer for the architecture of this machine.

Everything that is not native code is taken from the built zip, as it was pruned, stubbed and
compiled. Native files are replaced by those of the same version of the same distribution for the
host. What a twin proves is the layer's Python and its completeness; that its native code loads
on the target is for the ARM64 proof.
"""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from layersmith.base import architectures, elf
from layersmith.errors import ProofError
from layersmith.prove import layer_zip, sites

if TYPE_CHECKING:
    from collections.abc import Sequence

    from layersmith.assemble.manifest import Manifest
    from layersmith.base.runtimes import Runtime
    from layersmith.prove.runners import Runner


def make(layer: Path, manifest: Manifest, runtime: Runtime, architecture: str, into: Path) -> Path:
    """Write the twin as a folder, which stands for /opt, and return it.

    Args:
        layer: The built zip.
        manifest: Its manifest.
        runtime: The Lambda runtime.
        architecture: Of this machine, ``arm64`` or ``x86_64``.
        into: The folder, which is made.

    Raises:
        ProofError: A distribution with native code has no wheel for this machine, or a native
            file comes from no distribution.
    """
    if without(manifest):
        raise ProofError(
            f"{layer.name} holds native files that exist for {manifest.architecture} only",
            cause="`files` of layers.yaml brings them, and no index has them for this machine",
            hint=f"prove it in a container, or on a machine with {manifest.architecture}",
        )
    native = _unpack_portable(layer, into)
    owners = {record.path: record.distribution for record in manifest.files}
    wanted = {owners[path] for path in native if path in owners}
    pins = [
        f"{distribution.name}=={distribution.version}"
        for distribution in manifest.distributions
        if distribution.name in wanted
    ]
    if pins:
        with tempfile.TemporaryDirectory(prefix="layersmith-twin-") as folder:
            sites.install_for(runtime, architecture, Path(folder), pins, what="the twin")
            _copy_native(Path(folder), into, native, manifest, architecture)
    return into


def without(manifest: Manifest) -> bool:
    """Whether a layer has no twin: native files of it come from no distribution."""
    return any(one.origin == "files" and one.native for one in manifest.distributions)


def placed(
    layers: Sequence[tuple[Path, Manifest]], runner: Runner, folder: Path
) -> tuple[Path, ...]:
    """Return what stands for layers on a runner: their zips, or the folders of their twins.

    Args:
        layers: Zips and manifests, in their order.
        runner: An open runner.
        folder: Where twins are made.

    Raises:
        ProofError: A layer has no twin.
    """
    below = stand_in([manifest for _, manifest in layers], runner, folder / "managed:")
    if not runner.facts.twin:
        return (*below, *(path for path, _ in layers))
    twins = (
        make(path, manifest, runner.runtime, runner.architecture, folder / manifest.layer)
        for path, manifest in layers
    )
    return (*below, *twins)


def stand_in(manifests: Sequence[Manifest], runner: Runner, folder: Path) -> tuple[Path, ...]:
    """Return what stands for the managed layers below some layers: none, or one folder.

    Nobody but their owner has their zips. What the layers need of them is installed from the
    package index, in the versions with which the layers are locked.

    Args:
        manifests: Of the layers.
        runner: An open runner.
        folder: The folder, which is made where it is needed.

    Raises:
        ProofError: A distribution has no wheel for the runner, or the index does not answer.
    """
    needed = {one.name: one for manifest in manifests for one in manifest.dropped if one.managed}
    if not needed:
        return ()
    pins = [f"{name}=={one.version}" for name, one in sorted(needed.items())]
    what = f"the stand-in for {', '.join(sorted({str(one.managed) for one in needed.values()}))}"
    sites.install_for(runner.runtime, runner.architecture, folder / "python", pins, what=what)
    return (folder,)


def _unpack_portable(layer: Path, into: Path) -> list[str]:
    """Unpack what runs anywhere, and return the paths of what does not."""
    native = []
    with layer_zip.opened(layer) as archive:
        for member in archive.infolist():
            if member.is_dir():
                continue
            content = archive.read(member)
            if elf.is_elf(content):
                native.append(member.filename)
                continue
            place = into / member.filename
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(content)
    return native


def _copy_native(
    installed: Path, into: Path, native: list[str], manifest: Manifest, architecture: str
) -> None:
    """Copy the counterparts of native files, and whole folders of bundled libraries.

    Bundled libraries have a hash of their content in their names, so they have no counterparts
    by name; extensions that were pruned from the layer stay away.
    """
    # The machine stands in names of extensions, and in those of folders (ddtrace's libddwaf).
    built_for = architectures.get(manifest.architecture).wheel
    machine = re.compile(rf"(?<![A-Za-z0-9]){built_for}(?![A-Za-z0-9])")
    renamed = {machine.sub(architectures.get(architecture).wheel, path) for path in native}
    libraries = {path.rpartition("/")[0] for path in native if _is_bundled(path)}
    for path in sorted(installed.rglob("*")):
        inner = f"{manifest.site}{path.relative_to(installed).as_posix()}"
        if path.is_dir() or not (inner in renamed or inner.rpartition("/")[0] in libraries):
            continue
        place = into / inner
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(path.read_bytes())


def _is_bundled(path: str) -> bool:
    """Return whether a path lies in a folder that auditwheel made, such as numpy.libs."""
    return path.rpartition("/")[0].endswith(".libs")

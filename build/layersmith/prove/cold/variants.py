"""Prepares what is timed: the function and /opt of each variant, for one runner.

The variant ``plain`` has the same requirements without the build: what installing them to a folder
leaves. Their bytecode, if an installer makes any, is compared with the time of its source, which a
zip keeps only to two seconds and Lambda not at all; so there is none here, as there is none in
effect on Lambda.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from layersmith.prove import layer_zip, sites, twin
from layersmith.prove.cold import measure
from layersmith.prove.layer_zip import unpack

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from layersmith.assemble.manifest import Manifest
    from layersmith.base.runtimes import Runtime
    from layersmith.plan import Target
    from layersmith.prove.cold.models import VariantName
    from layersmith.prove.runners import Runner


@dataclass(frozen=True)
class Built:
    """A target with its artifact.

    Attributes:
        target: The target.
        manifest: Its manifest.
        layer: Its zip.
        root: Folder that the paths of layers.yaml are relative to.
        beside: Zips and manifests of the layers that lie below it.
    """

    target: Target
    manifest: Manifest
    layer: Path
    root: Path
    beside: Sequence[tuple[Path, Manifest]] = ()

    @property
    def has_twin(self) -> bool:
        """Whether it and what lies below it can be made for another architecture."""
        manifests = [self.manifest, *(manifest for _, manifest in self.beside)]
        return not any(twin.without(manifest) for manifest in manifests)

    @property
    def has_sources(self) -> bool:
        """Whether it holds bytecode beside sources, so that it can be started without."""
        return any("/__pycache__/" in record.path for record in self.manifest.files)

    def handler(self, name: VariantName) -> Path | None:
        """Return the module beside the smoke file that a variant runs, or None.

        For ``tests/smoke/x.py`` that is ``x_coldstart.py``, and ``x_floor.py`` for the floor.
        """
        if self.target.settings.smoke is None:
            return None
        smoke = self.root / self.target.settings.smoke
        suffix = "floor" if name == "floor" else "coldstart"
        found = smoke.with_name(f"{smoke.stem}_{suffix}.py")
        return found if found.is_file() else None

    def imports(self) -> list[str]:
        """Return the top-level modules of what the layer asks for, not of what comes with it."""
        asked = {canonicalize_name(Requirement(r).name) for r in self.manifest.inputs.requirements}
        return sorted(
            module
            for one in self.manifest.distributions
            if one.name in asked or one.origin == "local"
            for module in one.modules
        )


Way = tuple["VariantName", Built]
"""A variant, and which build of the target it is made of."""


def prepare(
    built: Built, name: VariantName, runner: Runner, folder: Path, variables: Mapping[str, str]
) -> measure.Startable:
    """Return a variant's function, and the bytes that it has under /opt.

    Args:
        built: The target.
        name: The variant.
        runner: What will start it, which decides the architecture.
        folder: Where its folders are made.
        variables: Environment variables of the function.
    """
    code = measure.function(folder / f"code-{name}", built.handler(name))
    if name == "floor":
        return measure.Startable(name, measure.specification(code, (), variables))
    if built.handler(name) is None:
        lines = [f"import {module}" for module in built.imports()]
        (code / "layersmith_function.py").write_text(
            "\n".join([*lines, "", "def handler(event, context):", "    return None", ""])
        )
    opt = _opt(built, name, runner, folder / name)
    layers = below(built, runner, folder / f"{name}-beside", opt)
    spec = measure.specification(code, layers, variables)
    return measure.Startable(name, spec, measure.unpacked_size(opt))


def below(built: Built, runner: Runner, folder: Path, opt: Path) -> tuple[Path, ...]:
    """Return a layer's folder with the layers that lie below it in front."""
    managed = twin.stand_in([built.manifest], runner, folder / "managed:")
    return (*twin.placed(built.beside, runner, folder), *managed, opt)


def _opt(built: Built, name: VariantName, runner: Runner, into: Path) -> Path:
    runtime, architecture = built.target.runtime, runner.architecture
    if name == "plain":
        return _install_plain(built.layer, built.manifest, runtime, architecture, into)
    if name == "no-bytecode":
        return _without_bytecode(_opt(built, "layer", runner, into))
    if runner.facts.twin:
        return twin.make(built.layer, built.manifest, runtime, architecture, into)
    return unpack((built.layer,), into)


def _without_bytecode(opt: Path) -> Path:
    for path in list(opt.rglob("__pycache__")):
        shutil.rmtree(path)
    return opt


def _install_plain(
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

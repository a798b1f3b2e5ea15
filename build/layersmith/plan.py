"""From the configuration to an ordered list of targets. Pure: no file is read, nothing started."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeAlias

from layersmith.base import architectures as machines
from layersmith.base import runtimes
from layersmith.config.models import Contents, Layer
from layersmith.errors import ConfigError, did_you_mean
from layersmith.recipes.apply import AppliedRecipes, apply
from layersmith.recipes.book import RecipeBook

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from layersmith.config.models import Config, Function, ManagedContents
    from layersmith.recipes.apply import LockedDistribution

PACKAGES = "python"
"""Where Lambda's Python runtimes look for packages in a layer, and the build for those of all."""

EMULATOR = "x86_64"
"""Architecture of the runners that emulate the others."""

MOST_JOBS = 256
"""Jobs that one matrix of GitHub Actions may have (docs.github.com, Actions limits, 2026)."""


UNVERSIONED = "0.0.0"
"""What stands for the semantic version of a function's package: it is deployed, not published."""


@dataclass(frozen=True)
class Brought:
    """A distribution that a layer of a function, or a managed layer beside a layer, brings.

    Attributes:
        name: Normalized name.
        version: Its version in the layer; empty for a local package.
        layer: Name of the layer.
        together: What goes with it; nothing, as the lock of the function decides.
        managed: Whether it is a managed layer.
    """

    name: str
    version: str
    layer: str
    together: tuple[str, ...] = ()
    managed: bool = False


Provided: TypeAlias = "runtimes.ProvidedDistribution | Brought"
"""What stays out of a zip because it is there without it."""


@dataclass(frozen=True)
class Target:
    """One layer, or the package of one function, for one runtime on one architecture.

    Attributes:
        layer: Name of the layer, or of the function, in layers.yaml.
        runtime: The Lambda runtime.
        architecture: ``arm64`` or ``x86_64``.
        settings: The layer's settings, with the defaults applied.
        others: The layers of layers.yaml that lie beside it, by name.
        book: The recipes that there are.
        recipes: What recipes changed in ``settings``; nothing before `Target.under`.
        function: The function, where it is the package of one; its layers are ``others``.
        brought: By normalized name, what the function's layers bring; nothing before
            `lock.with_layers`.
    """

    layer: str
    runtime: runtimes.Runtime
    architecture: str
    settings: Layer
    others: Mapping[str, Layer] = field(default_factory=dict)
    book: RecipeBook = field(default_factory=RecipeBook)
    recipes: AppliedRecipes = field(default_factory=AppliedRecipes)
    function: Function | None = None
    brought: Mapping[str, Brought] = field(default_factory=dict)

    def under(self, locked: Sequence[LockedDistribution]) -> Target:
        """Return the target with what the recipes of its locked distributions change.

        Args:
            locked: What it is locked to.

        Raises:
            ConfigError: A recipe is not valid.
        """
        written = replace(self, settings=self.recipes.written or self.settings)
        settings, applied = apply(written.settings, locked, self.book, written.provided)
        return replace(self, settings=settings, recipes=applied)

    def stub_folder(self, name: str, root: Path) -> Path:
        """Return the folder of the stub that replaces a distribution.

        Args:
            name: Normalized name of the distribution.
            root: Folder of layers.yaml.
        """
        return self.recipes.stubs.get(name) or root / self.settings.stubs[name].path

    @property
    def identifier(self) -> str:
        """Name of the target everywhere: ``chromadb-vector-python3.13-arm64``."""
        return f"{self.layer}-{self.runtime.name}-{self.architecture}"

    @property
    def place(self) -> tuple[str, str, str]:
        """Layer, runtime and architecture: what its pointers are found by."""
        return (self.layer, self.runtime.name, self.architecture)

    @property
    def provided(self) -> Mapping[str, Provided]:
        """By normalized name, what is left to the runtime and to the layers of a function."""
        settings = self.settings
        decided = {*settings.excludes, *settings.stubs}
        brought = {**self.managed, **self.brought}
        found: dict[str, Provided] = {**self.runtime.left_out(settings.keep_provided)}
        found |= {n: one for n, one in brought.items() if n not in settings.keep_provided}
        return {name: one for name, one in found.items() if name not in decided}

    def provider(self, name: str) -> str:
        """Return who provides a distribution: the runtime, or a layer beside the zip."""
        one = self.provided.get(name)
        if not isinstance(one, Brought):
            return self.runtime.name
        return f"the {'managed ' if one.managed else ''}layer {one.layer}"

    @property
    def managed(self) -> dict[str, Brought]:
        """By normalized name, what managed layers bring that functions use beside the layer.

        Lambda looks into them before it looks into the runtime; of two, the first is taken.
        """
        found: dict[str, Brought] = {}
        for layer, versions in self.managed_layers.items():
            for one, version in versions.items():
                if one not in self.settings.keep_provided:
                    found.setdefault(one, Brought(one, version, layer, managed=True))
        return found

    @property
    def managed_layers(self) -> dict[str, dict[str, str]]:
        """The managed layers beside the layer, each with its distributions and their versions."""
        found = {}
        for given in self.settings.managed_layers:
            name = given if isinstance(given, str) else given.name
            known = runtimes.managed_layer(name)
            found[name] = known.on(self.runtime.name) if known else {}
            if not isinstance(given, str) and given.distributions is not None:
                found[name] = dict(given.distributions)
        return found

    @property
    def version(self) -> str:
        """Semantic version of the layer."""
        return self.settings.version

    @property
    def stem(self) -> str:
        """Name of the artifacts in dist/, without suffix."""
        if self.function:
            return self.identifier
        return f"{self.layer}-{self.version}-{self.runtime.name}-{self.architecture}"

    @property
    def uv_platform(self) -> str:
        """The target's platform as uv spells it."""
        return self.runtime.uv_platform(self.architecture)

    @property
    def beside(self) -> list[Target]:
        """The targets whose layers lie beside this one, for its runtime and architecture."""
        return [
            Target(name, self.runtime, self.architecture, settings, book=self.book)
            for name, settings in self.others.items()
        ]


def plan(
    config: Config,
    *,
    layers: Sequence[str] = (),
    only_runtimes: Sequence[str] = (),
    architectures: Sequence[str] = (),
    book: RecipeBook | None = None,
    packages: bool = False,
) -> list[Target]:
    """Return the targets of ``config``, in the order of layers.yaml, filtered.

    Args:
        config: The validated configuration.
        layers: Names of layers, or of functions, to keep; empty keeps all.
        only_runtimes: Names of runtimes to keep; empty keeps all.
        architectures: Architectures to keep; empty keeps all.
        book: The recipes that there are; by default those that layersmith brings.
        packages: Plan the packages of functions as well, after the layers.

    Raises:
        ConfigError: A filter names what does not exist, or nothing is left.
    """
    packaged = {n: one for n, one in config.functions.items() if one.package and packages}
    _known(layers, [*config.layers, *packaged], "layer")
    for name in only_runtimes:
        runtimes.get(name)
    for name in architectures:
        machines.get(name)
    settings = {**config.layers, **{name: _as_layer(config, name) for name in packaged}}
    targets = [
        Target(
            name,
            runtimes.get(runtime),
            architecture,
            layer.model_copy(update={"budgets": layer.budgets.on(architecture)}),
            _others(config, layer),
            book or RecipeBook(),
            function=packaged.get(name),
        )
        for name, layer in settings.items()
        if not layers or name in layers
        for runtime in layer.runtimes
        if not only_runtimes or runtime in only_runtimes
        for architecture in layer.architectures
        if not architectures or architecture in architectures
    ]
    if not targets:
        raise ConfigError(
            "no target matches the filters",
            cause="no layer is built for that runtime and architecture",
            hint="run `python build/layers.py plan` to see all targets",
        )
    return targets


def _as_layer(config: Config, name: str) -> Layer:
    """Return the package of a function as a layer: its code as files, its layers beside it."""
    function = config.functions[name]
    layers = [config.layers[one] for one in function.layers]
    default = config.defaults
    return Layer.model_construct(
        **{key: getattr(function, key) for key in Contents.model_fields},
        description=f"the function {name}",
        version=UNVERSIONED,
        requirements=function.requirements,
        extras=function.extras,
        files={PACKAGES: str(function.code)},
        beside=[*function.layers],
        managed_layers=_managed(layers),
    ).model_copy(
        update={
            "runtimes": function.runtimes
            or common([one.runtimes for one in layers] or [default.runtimes or []]),
            "architectures": function.architectures
            or common([one.architectures for one in layers] or [default.architectures]),
        }
    )


def _managed(layers: Sequence[Layer]) -> list[str | ManagedContents]:
    """Return the managed layers beside some layers, each once."""
    found: list[str | ManagedContents] = []
    for layer in layers:
        found += [one for one in layer.managed_layers if one not in found]
    return found


def common(lists: Sequence[Sequence[str]]) -> list[str]:
    """Return what all of some lists hold, in the order of the first."""
    return [one for one in lists[0] if all(one in other for other in lists)]


def _others(config: Config, layer: Layer) -> dict[str, Layer]:
    return {name: config.layers[name] for name in layer.beside if isinstance(name, str)}


def matrix(targets: Sequence[Target], *, emulate: bool = False) -> dict[str, Any]:
    """Return GitHub's job matrix: one entry a target, with the runner that fits it.

    Args:
        targets: The targets of the run.
        emulate: Build arm64 targets on x86-64 runners, where QEMU runs the proofs.

    Raises:
        ConfigError: GitHub would refuse so many jobs.
    """
    if len(targets) > MOST_JOBS:
        raise ConfigError(
            f"the job matrix would have {len(targets)} jobs; GitHub runs at most {MOST_JOBS}",
            cause="every target is a job",
            hint="plan a job for each runtime or layer: `plan --matrix --runtime python3.13`",
        )
    return {"include": rows(targets, emulate=emulate)}


def rows(targets: Sequence[Target], *, emulate: bool = False) -> list[dict[str, str]]:
    """Return what a job needs to know of each target; the arguments are those of matrix."""
    return [
        {
            "target": target.identifier,
            "layer": target.layer,
            "version": target.version,
            "runtime": target.runtime.name,
            "architecture": target.architecture,
            "python-version": target.runtime.python_version,
            "runner": machines.get(EMULATOR if emulate else target.architecture).runner,
        }
        for target in targets
    ]


def _known(asked: Iterable[str], known: Iterable[str], what: str) -> None:
    names = list(known)
    for name in asked:
        if name not in names:
            raise ConfigError(
                f"unknown {what} {name!r}",
                hint=did_you_mean(name, names, f"known: {', '.join(names)}"),
            )

"""What a target's lock comes to: which modules are in the layer, were pruned, or were left out.

A missing module of the closure is a broken layer; one outside of it belongs to a distribution
that nobody asked for. Where the two cannot be told apart, the closure has it.
"""

from __future__ import annotations

import contextlib
import csv
import io
import re
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from packaging.requirements import InvalidRequirement
from packaging.utils import canonicalize_name

from layersmith.assemble.prune import rules as prune_rules
from layersmith.assemble.wheel import headers
from layersmith.base import damage, legacy, modules, runtimes
from layersmith.base.runtimes import marker_environment
from layersmith.errors import ProofError
from layersmith.prove import layer_zip
from layersmith.prove.smoke import failures

if TYPE_CHECKING:
    import zipfile
    from collections.abc import Iterable, Iterator

    from packaging.requirements import Requirement

    from layersmith.assemble.manifest import Manifest
    from layersmith.base.runtimes import Runtime

_DIST_INFO = re.compile(
    r"python/(?:lib/python3\.\d+/site-packages/)?[^/]+\.dist-info/(?:RECORD|METADATA)"
)

_PYTHON = frozenset().union(*map(runtimes.stdlib, runtimes.RUNTIMES.values())) - {"distutils"}
"""Modules that a runtime's own Python has or had; distutils left it with 3.12."""

OWN = {"local", "files"}
"""Origins whose code is the user's own: what it imports has to be asked for."""


@dataclass(frozen=True)
class Installed:
    """A distribution as its dist-info in the layer describes it.

    Attributes:
        name: Normalized name.
        record: The paths of its RECORD, with python/ in front.
        requires: What it needs on the target without any extra, normalized names.
        extras: What else its extras need.
    """

    name: str
    record: tuple[str, ...]
    requires: frozenset[str]
    extras: frozenset[str]


@dataclass(frozen=True)
class Closure:
    """The distributions of a target, seen from its zip and its manifest.

    Attributes:
        layer: The zip.
        installed: Distributions with a dist-info in the zip.
        runtime: The Lambda runtime.
        manifest: The layer's; None for a zip that the build did not make.
    """

    layer: layer_zip.LayerZip
    installed: tuple[Installed, ...]
    runtime: Runtime
    manifest: Manifest | None = None

    def holds(self, name: str, asker: str | None) -> bool:
        """Whether a missing module belongs to the closure, as far as that can be told.

        Args:
            name: The module that could not be found.
            asker: The module that asked for it.
        """
        owner = self.owner(asker) if asker else None
        return (
            owner in self._own
            or name.partition(".")[0] in _PYTHON
            or self._recorded(name)
            or self.pruned_by(name) is not None
            or any(_within(name, module) for module in self.runtime.provided_modules)
            or self.left_out_with(name, asker) is not None
            or any(self._may_bring(one, name, None) for one in self._managed)
        )

    def left_out_with(self, name: str, asker: str | None) -> str | None:
        """Return the distribution that brings a module and is left out or a stub, or None."""
        owner = self.owner(asker) if asker else None
        candidates = sorted(self.left_out | self._stubs)
        return next((out for out in candidates if self._may_bring(out, name, owner)), None)

    def pruned_by(self, name: str) -> str | None:
        """Return the prune rule that leaves a module or a package around it out, or None."""
        wanted = [one.rule for one in self.manifest.pruned] if self.manifest else []
        for around in _lineage(name):
            path = around.replace(".", "/")
            for candidate in (f"{path}.py", f"{path}/__init__.py", f"{path}.abi3.so"):
                if rule := prune_rules.removing(wanted, candidate):
                    return rule
        return None

    def offered(self, asker: str | None) -> frozenset[str]:
        """Return the distributions that extras of a module's own would bring, and nothing did."""
        owner = self.owner(asker) if asker else None
        found = {name for one in self.installed if one.name == owner for name in one.extras}
        return frozenset(found - self._present - self.left_out)

    def owner(self, module: str) -> str | None:
        """Return the distribution of a module, or None."""
        path = self._places.get(module)
        return self._owners.get(path) if path else None

    def is_top(self, module: str) -> bool:
        """Whether a module is what its distribution is imported as, which is never optional.

        In a namespace that is the package with the distribution's name (``google.cloud.storage``),
        or the only public one that it brings there.
        """
        if "." not in module:
            return True
        owner = self.owner(module)
        outermost = self._outermost.get(owner, frozenset()) if owner else frozenset()
        public = {one for one in outermost if not any(p.startswith("_") for p in one.split("."))}
        return module in public and (canonicalize_name(module) == owner or len(public) == 1)

    def is_plain_library(self, module: str, said: str) -> bool:
        """Whether a file with the name of an extension is none: nothing in it starts a module.

        Args:
            module: The module.
            said: What Python said of it.
        """
        path = self._places.get(module)
        return (
            path is not None
            and said.startswith("dynamic module does not define module export function")
            and not self.layer.holds(path, b"PyInit_")
        )

    @cached_property
    def left_out(self) -> frozenset[str]:
        """Distributions that the layer's own need, and that neither layer nor runtime has."""
        wanted = {name for one in self.installed for name in one.requires}
        if self.manifest:
            wanted |= {name for one in self.manifest.distributions for name in one.requires}
            wanted |= {one.name for one in self.manifest.dropped}
        elsewhere = {one.name for one in self.runtime.provides} | self._managed
        return frozenset(wanted - self._present - elsewhere)

    def _recorded(self, name: str) -> bool:
        """Whether a distribution had the module, or a package around it, or one below it."""
        return any(one in self._modules for one in _lineage(name)) or name in self._namespaces

    def _may_bring(self, distribution: str, name: str, owner: str | None) -> bool:
        brings = self._brings(distribution)
        if brings is not None:
            return any(_within(name, module) for module in brings)
        top = name.partition(".")[0].replace("_", "").lower()
        return top in distribution.replace("-", "") or distribution in self._needs(owner)

    def _brings(self, distribution: str) -> tuple[str, ...] | None:
        """Return the modules of a distribution that is not in the layer, or None if unknown."""
        known = self.manifest.distributions if self.manifest else []
        stub = [one.modules for one in known if one.name == distribution and one.origin == "stub"]
        return tuple(stub[0]) if stub else failures.known().names.get(distribution)

    def _needs(self, owner: str | None) -> frozenset[str]:
        found = {name for one in self.installed if one.name == owner for name in one.requires}
        if self.manifest:
            named = [one for one in self.manifest.distributions if one.name == owner]
            found |= {name for one in named for name in one.requires}
        return frozenset(found)

    @cached_property
    def _present(self) -> frozenset[str]:
        known = {one.name for one in self.manifest.distributions} if self.manifest else set()
        return frozenset(known | {one.name for one in self.installed})

    @cached_property
    def _stubs(self) -> frozenset[str]:
        """Distributions of which a stub is in the layer, which may lack modules."""
        known = self.manifest.distributions if self.manifest else []
        return frozenset(one.name for one in known if one.origin == "stub")

    @cached_property
    def _managed(self) -> frozenset[str]:
        """Distributions that a managed layer brings; proofs have them from the index."""
        dropped = self.manifest.dropped if self.manifest else []
        return frozenset(one.name for one in dropped if one.managed)

    @cached_property
    def _own(self) -> frozenset[str | None]:
        known = self.manifest.distributions if self.manifest else []
        return frozenset(one.name for one in known if one.origin in OWN)

    @cached_property
    def _places(self) -> dict[str, str]:
        return {one.name: one.path for one in modules.modules_of(self.layer.paths)}

    @cached_property
    def _owners(self) -> dict[str, str]:
        found = {path: one.name for one in self.installed for path in one.record}
        files = self.manifest.files if self.manifest else []
        return found | {one.path: one.distribution for one in files}

    @cached_property
    def _outermost(self) -> dict[str, frozenset[str]]:
        """Distribution -> its modules that no package with a file of its own lies around."""
        found: dict[str, set[str]] = {}
        for name, path in self._places.items():
            owner = self._owners.get(path)
            if owner and not any(one in self._places for one in [*_lineage(name)][:-1]):
                found.setdefault(owner, set()).add(name)
        return {owner: frozenset(names) for owner, names in found.items()}

    @cached_property
    def _modules(self) -> frozenset[str]:
        recorded = (path for one in self.installed for path in one.record)
        return frozenset(one.name for one in modules.modules_of([*self.layer.paths, *recorded]))

    @cached_property
    def _namespaces(self) -> frozenset[str]:
        return frozenset(
            name.rsplit(".", count)[0]
            for name in self._modules
            for count in range(1, name.count(".") + 1)
        )


def of(
    zipped: layer_zip.LayerZip, runtime: Runtime, architecture: str, manifest: Manifest | None
) -> Closure:
    """Return the closure of a target.

    Raises:
        ProofError: The zip is damaged.
    """
    environment = marker_environment(runtime, architecture)
    with layer_zip.opened(zipped.path) as archive, damage.told(zipped.path.name, ProofError):
        folders = {path.rpartition("/")[0] for path in zipped.paths if _DIST_INFO.match(path)}
        installed = [_installed(archive, folder, environment) for folder in sorted(folders)]
    return Closure(zipped, tuple(installed), runtime, manifest)


def _installed(archive: zipfile.ZipFile, folder: str, environment: dict[str, str]) -> Installed:
    project = folder.rpartition("/")[2].removesuffix(".dist-info").rpartition("-")[0]
    rows = csv.reader(io.StringIO(_text(archive, f"{folder}/RECORD"), newline=None))
    metadata = headers(_text(archive, f"{folder}/METADATA"))
    site = folder.rpartition("/")[0]
    named = list(_requirements(metadata.get_all("Requires-Dist") or ()))
    needed = {
        canonicalize_name(one.name)
        for one in named
        if one.marker is None or one.marker.evaluate({**environment, "extra": ""})
    }
    return Installed(
        canonicalize_name(project),
        tuple(f"{site}/{row[0]}" for row in rows if row),
        frozenset(needed),
        frozenset({canonicalize_name(one.name) for one in named} - needed),
    )


def _requirements(texts: Iterable[str]) -> Iterator[Requirement]:
    for text in texts:
        # What pip cannot read asks for nothing; the lock has said so.
        with contextlib.suppress(InvalidRequirement):
            yield legacy.requirement(text)


def _text(archive: zipfile.ZipFile, member: str) -> str:
    try:
        return legacy.decode(archive.read(member))
    except KeyError:
        return ""


def _lineage(name: str) -> Iterator[str]:
    """Return a module and the packages around it, the outermost first."""
    parts = name.split(".")
    for count in range(1, len(parts) + 1):
        yield ".".join(parts[:count])


def _within(name: str, module: str) -> bool:
    """Whether two modules are the same, or one lies below the other."""
    return f"{name}.".startswith(f"{module}.") or f"{module}.".startswith(f"{name}.")

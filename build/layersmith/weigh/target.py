"""Weighs a target without building it: what it would install, who pulls it, what a build keeps.

Its files are found by a lock where there is one, else by the resolver.
"""

from __future__ import annotations

import importlib
import tomllib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

from layersmith import lock
from layersmith.assemble import collect, describe, files, prune
from layersmith.assemble.collect import Part
from layersmith.assemble.graph import ROOT, Dependencies, graph_of_parts
from layersmith.assemble.tree import PREFIX, Entry, Tree
from layersmith.base import disk
from layersmith.config.models import Layer, RequirementsFile
from layersmith.errors import BuildError, LockError
from layersmith.lock import inputs as lockinputs
from layersmith.lock import provided, rounds
from layersmith.plan import Target
from layersmith.recipes.apply import AppliedRecipes
from layersmith.weigh import listings as weigh_read
from layersmith.weigh.listings import COMPRESSED_SHARE, Listed, ListingRequest, Traffic, zipped
from layersmith.weigh.models import DistributionWeight, FileWeight, Totals, TrafficRecord

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from layersmith.base.runtimes import Runtime
    from layersmith.lock.inputs import LockInputs
    from layersmith.weigh.listings import Listing


@dataclass(frozen=True)
class Resolved:
    """What a target consists of.

    Attributes:
        files: One file a distribution.
        versions: Name to version.
        inputs: What it was resolved from.
        locked: Whether it is the target's committed lock.
    """

    files: list[ListingRequest]
    versions: dict[str, str]
    inputs: LockInputs
    locked: bool


def target_of(
    name: str,
    requirements: Sequence[str] | RequirementsFile,
    runtime: Runtime,
    architecture: str,
    constraints: Sequence[str] | RequirementsFile = (),
) -> Target:
    """Return a target for requirements that no layers.yaml names."""
    settings = Layer(
        description="weighed, not built",
        version="0.0.0",
        runtimes=[runtime.name],
        architectures=[architecture],
        requirements=_setting(requirements),
        constraints=_setting(constraints),
    )
    return Target(name, runtime, architecture, settings)


def _setting(given: Sequence[str] | RequirementsFile) -> list[str] | RequirementsFile:
    return given if isinstance(given, RequirementsFile) else list(given)


def resolve(target: Target, root: Path, *, refresh: bool = False) -> Resolved:
    """Return the files of a target.

    Args:
        target: The target.
        root: Folder of layers.yaml, or the one in which uv looks for its configuration.
        refresh: Ask the index again where the files of a lock are.

    Raises:
        LockError: There is no solution; the message holds the resolver's explanation as a whole.
    """
    return _by_lock(target, root, refresh) or _by_rounds(target, root)


def _by_lock(target: Target, root: Path, refresh: bool) -> Resolved | None:
    if not disk.is_there(lock.lock_path(target, root)):
        return None
    locked = lock.check(target, root)
    places = lock.urls(locked, target, root=root, refresh=refresh)
    files = [
        ListingRequest(entry.name, entry.filename, entry.sha256, places[entry.sha256][0])
        for entry in locked.entries
    ]
    inputs = lockinputs.collect(target, root, locked.members)
    return Resolved(files, {e.name: e.version for e in locked.entries}, inputs, locked=True)


def _by_rounds(target: Target, root: Path) -> Resolved:
    files, versions = [], {}
    inputs = lockinputs.collect(target, root)
    kept = provided.preferred(target, inputs.pins.items())
    with ThreadPoolExecutor(1) as beside:
        # What reads the files' directories is loaded while uv waits for the index.
        beside.map(importlib.import_module, ("layersmith.base.routes", "httpcore"))
        resolution = rounds.resolution_of(target, inputs, root, kept)
    for offer, file in resolution.chosen:
        if file.sha256 is None:
            raise LockError(
                f"the index gives no SHA-256 for {file.filename}",
                target=target.identifier,
                hint="use an index that serves hashes",
            )
        files.append(ListingRequest(offer.name, file.filename, file.sha256, file.url))
        versions[offer.name] = offer.version
    inputs = lockinputs.collect(target, root, resolution.members(inputs, root))
    return Resolved(files, versions, inputs, locked=False)


BIGGEST = 5
"""Files that are named of each distribution."""

ZIP_ENTRY = 30 + 46
"""Bytes that a zip spends on a member beside its name, written twice (APPNOTE 4.3.7, 4.3.12)."""

ZIP_END = 22
"""Bytes of the record at the end of a zip (APPNOTE 4.3.16)."""


@dataclass(frozen=True)
class ResolvedDistribution:
    """A distribution as recipes look at it before there is a lock; see LockedDistribution."""

    name: str
    version: str
    via: tuple[str, ...]
    is_wheel: bool


@dataclass(frozen=True)
class Weighed:
    """A target on the scales, for the verdict and the advice.

    Attributes:
        target: The target, with what recipes change in its settings.
        root: Folder of layers.yaml, or the one in which uv looks for its configuration.
        resolved: What it resolves to.
        asked: Its requirements (PEP 508).
        parts: Its distributions.
        graph: Which needs which.
        entries: Files of each distribution, as an installer leaves them.
        tree: The files that a build would keep.
        reasons: Name to why a build leaves it out.
        distributions: Their records, the largest first.
        traffic: What was transferred.
    """

    target: Target
    root: Path
    resolved: list[ResolvedDistribution]
    asked: list[str]
    parts: list[Part]
    graph: Dependencies
    entries: Mapping[str, list[Entry]]
    tree: Tree
    reasons: Mapping[str, str]
    distributions: list[DistributionWeight]
    traffic: TrafficRecord

    @property
    def installed(self) -> Totals:
        """Sums as an installer leaves the files."""
        return totals(entry for entries in self.entries.values() for entry in entries)

    @property
    def layer(self) -> Totals:
        """Sums over what a build keeps."""
        return totals(self.tree)

    @cached_property
    def with_every_recipe(self) -> Weighed:
        """The same with ``recipes: all``."""
        written = self.target.recipes.written or self.target.settings
        settings = written.model_copy(update={"recipes": "all"})
        bare = replace(self.target, settings=settings, recipes=AppliedRecipes())
        target = bare.under(self.resolved)
        reasons = _reasons(self.parts, target)
        tree = _tree(self.parts, self.entries, reasons, target, self.root)
        return replace(self, target=target, tree=tree, reasons=reasons)


def weigh(target: Target, root: Path) -> Weighed:
    """Resolve a target, read the directories of its files, and lay them on the scales.

    Args:
        target: The target.
        root: Folder of layers.yaml, or the one in which uv looks for its configuration.

    Raises:
        LockError: It does not resolve.
        BuildError: A wheel cannot be read.
    """
    traffic = Traffic()
    resolved = resolve(target, root)
    try:
        listings = weigh_read.listings(resolved.files, traffic, root)
    except BuildError:
        again = resolve(target, root, refresh=True) if resolved.locked else resolved
        if again.files == resolved.files:
            raise
        # The index has moved the files since their URLs were put into the cache.
        resolved, listings = again, weigh_read.listings(again.files, traffic, root)
    parts = [
        Part(
            wanted.name,
            resolved.versions[wanted.name],
            "wheel" if wanted.filename.endswith(".whl") else "sdist",
            wanted.filename,
            wanted.sha256,
            weigh_read.as_wheel(listing, wanted),
        )
        for wanted, listing in zip(resolved.files, listings, strict=True)
    ]
    entries = {part.name: list(part.wheel.entries) for part in parts if part.wheel}
    for package in resolved.inputs.packages.values():
        parts.append(Part(package.name, _version(package.folder), "local"))
        entries[package.name] = _local(package.name, package.folder)
    modules = files.modules(target, root)
    if modules:
        parts.append(Part(files.MODULES, files.version(modules), "files"))
        entries[files.MODULES] = [one.entry for one in modules]
    own = files.read(target, root)
    if own:
        parts.append(Part(files.OWNER, files.version(own), "files"))
        entries[files.OWNER] = [one.entry for one in own]
    graph = _graph(parts, resolved, target)
    found = _resolved(parts, graph)
    if not resolved.locked:
        # One with a lock comes with its recipes.
        target = target.under(found)
    reasons = _reasons(parts, target)
    record = TrafficRecord(
        requests=traffic.requests,
        received=traffic.received,
        whole=sorted(traffic.whole),
        artifacts=sum(listing.download for listing in listings),
    )
    tree = _tree(parts, entries, reasons, target, root)
    downloads = dict(zip((w.name for w in resolved.files), listings, strict=True))
    return Weighed(
        target=target,
        root=root,
        resolved=found,
        asked=resolved.inputs.requirements,
        parts=parts,
        graph=graph,
        entries=entries,
        tree=tree,
        reasons=reasons,
        distributions=_distributions(parts, entries, graph, reasons, downloads),
        traffic=record,
    )


def _resolved(parts: Iterable[Part], graph: Dependencies) -> list[ResolvedDistribution]:
    via: dict[str, list[str]] = {name: [ROOT] for name in graph.roots}
    for name, needs in graph.edges.items():
        for need in needs:
            via.setdefault(need, []).append(name)
    return [
        ResolvedDistribution(
            part.name, part.version, tuple(via.get(part.name, ())), part.origin == "wheel"
        )
        for part in parts
        if part.origin in {"wheel", "sdist"}
    ]


def totals(entries: Iterable[Entry]) -> Totals:
    """Return the sums over files."""
    files = list(entries)
    return Totals(
        unzipped=sum(entry.size for entry in files),
        zipped=ZIP_END
        + sum(zipped(one) + ZIP_ENTRY + 2 * len(one.path.encode("utf-8")) for one in files),
        native=sum(entry.size for entry in files if describe.is_native(entry)),
        python=sum(entry.size for entry in files if entry.path.endswith(".py")),
        files=len(files),
        distributions=len({entry.distribution for entry in files}),
    )


def _graph(parts: list[Part], resolved: Resolved, target: Target) -> Dependencies:
    asked = resolved.inputs.requirements
    found = graph_of_parts(parts, asked, target)
    roots, edges = list(dict.fromkeys(found.roots)), dict(found.edges)
    for package in resolved.inputs.packages.values():
        local = [str(line) for line in package.metadata.get("dependencies", [])]
        below = graph_of_parts(parts, local, target)
        edges |= below.edges
        edges[package.name] = below.roots
    names = {part.name for part in parts}
    edges = {name: [one for one in needs if one in names] for name, needs in edges.items()}
    reached = Dependencies(roots, edges).reached()
    # What the metadata of an sdist does not tell hangs below the root, so that nothing is lost.
    roots += [part.name for part in parts if part.name not in reached]
    return Dependencies([root for root in roots if root in names], edges)


def _reasons(parts: Iterable[Part], target: Target) -> dict[str, str]:
    reasons = {}
    for part in parts:
        reason = collect.reason_to_drop(part.name, target)
        if reason:
            reasons[part.name] = reason
        elif part.name in target.settings.stubs:
            reasons[part.name] = f"stub: {target.settings.stubs[part.name].reason}"
    return reasons


def _tree(
    parts: Iterable[Part],
    entries: Mapping[str, list[Entry]],
    reasons: Mapping[str, str],
    target: Target,
    root: Path,
) -> Tree:
    """Return the files that a build would keep."""
    tree = Tree()
    for part in parts:
        stub = target.settings.stubs.get(part.name)
        if part.name == files.OWNER:
            # They are never pruned.
            continue
        if stub:
            found = files.of_stub(
                part.name, part.version, stub, target.stub_folder(part.name, root)
            )
        else:
            found = [] if part.name in reasons else entries[part.name]
        for entry in found:
            # Two distributions may own one path; whether their bytes agree a build will see.
            tree.entries.setdefault(entry.path, entry)
    prune.prune(tree, target.settings.prune, target.recipes.uses)
    files.add(tree, files.read(target, root), target)
    return tree


def _version(folder: Path) -> str:
    """Return the version of a local package; ``dynamic`` where only its build knows it."""
    project = tomllib.loads((folder / "pyproject.toml").read_text("utf-8"))["project"]
    return str(project.get("version", "dynamic"))


def _local(name: str, folder: Path) -> list[Entry]:
    base = folder / "src" if (folder / "src").is_dir() else folder
    return [
        Entry(
            PREFIX + path.relative_to(base).as_posix(),
            Listed(path.stat().st_size, round(path.stat().st_size * COMPRESSED_SHARE)),
            name,
        )
        for path in sorted(base.rglob("*.py"))
        if "tests" not in path.relative_to(base).parts
    ]


def _distributions(
    parts: list[Part],
    entries: Mapping[str, list[Entry]],
    graph: Dependencies,
    reasons: Mapping[str, str],
    listings: Mapping[str, Listing],
) -> list[DistributionWeight]:
    sizes = {name: sum(entry.size for entry in found) for name, found in entries.items()}
    small = {name: sum(zipped(entry) for entry in found) for name, found in entries.items()}
    retained, retained_zipped = graph.retained(sizes), graph.retained(small)
    chains = graph.chains()
    found = [
        DistributionWeight(
            name=part.name,
            version=part.version,
            filename=part.filename,
            origin=_origin(part),
            download=listings[part.name].download if part.name in listings else None,
            unzipped=sizes[part.name],
            zipped=small[part.name],
            native=sum(e.size for e in entries[part.name] if describe.is_native(e)),
            python=sum(e.size for e in entries[part.name] if e.path.endswith(".py")),
            files=len(entries[part.name]),
            retained=retained[part.name],
            retained_zipped=retained_zipped[part.name],
            requires=list(graph.edges.get(part.name, ())),
            chain=chains[part.name],
            left_out=reasons.get(part.name),
            license=part.wheel.license.shown if part.wheel else None,
            biggest=_biggest(entries[part.name]),
        )
        for part in parts
    ]
    return sorted(found, key=lambda one: (-one.unzipped, one.name))


def _origin(part: Part) -> str:
    return part.origin if part.origin in {"wheel", "local", "files"} else "sdist"


def _biggest(entries: list[Entry]) -> list[FileWeight]:
    largest = sorted(entries, key=lambda entry: (-entry.size, entry.path))[:BIGGEST]
    return [FileWeight(path=e.inner, size=e.size, zipped=zipped(e)) for e in largest]

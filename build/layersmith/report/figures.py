"""What the pictures of the report show, as plain data; the template and the script draw it."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, NamedTuple

from layersmith.assemble.graph import Dependencies, graph_of
from layersmith.assemble.tree import PREFIX
from layersmith.base import modules
from layersmith.console import counted
from layersmith.report.records import variant

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from layersmith.assemble.manifest import Manifest
    from layersmith.prove.cold.importtime import Import, ImportTree
    from layersmith.report.records import ReportedArtifact

KINDS = ("native", "python", "bytecode", "data")
"""What a file of a layer is, in the order of the legend."""

LEAST_SHARE = 0.004
"""Share of all imports below which modules are drawn together: some pixels of a wide screen."""

PALETTE = 7
"""Distributions that have a colour of their own; the page holds as many."""

MOST_FILES = 35_000
"""Files of all targets that the page holds one by one, at some 60 bytes each: 2 MB."""

SUMMED = {
    "strip": ("stripped", "symbol tables and debug sections of native code"),
    "files": ("own files", "what the key `files` of layers.yaml adds"),
    "lite BLAS": ("lite BLAS", "in the place of the OpenBLAS that numpy brings"),
}
"""Steps of a manifest that are shown as they are: name on the page, and what it does."""


def kind(path: str) -> str:
    """Return what a file is: one of ``KINDS``."""
    name = PurePosixPath(path).name
    if modules.is_native(name):
        return "native"
    if name.endswith(".pyc"):
        return "bytecode"
    return "python" if name.endswith(".py") else "data"


def files(manifest: Manifest, most: int = MOST_FILES) -> dict[str, Any]:
    """Return the files of a layer as a tree: distributions, folders, files.

    A folder is an object, a file ``[bytes, bytes in the zip, number of its kind]``. Folders that
    hold nothing but one folder are one node with it.

    Args:
        manifest: The layer.
        most: Files that are listed one by one; smaller ones are summed up by folder.
    """
    sizes = sorted((one.size for one in manifest.files), reverse=True)
    least = sizes[most] if len(sizes) > most else -1
    root: dict[str, Any] = {}
    for file in manifest.files:
        *folders, name = file.path.removeprefix(PREFIX).split("/")
        node = root.setdefault(file.distribution, {})
        for folder in folders:
            node = node.setdefault(f"{folder}/", {})
        leaf = [file.size, file.zipped, KINDS.index(kind(file.path))]
        if file.size > least:
            node[name] = leaf
        else:
            rest = node.setdefault(f"smaller files, {kind(file.path)}", [0, 0, leaf[2]])
            rest[0], rest[1] = rest[0] + leaf[0], rest[1] + leaf[1]
    return {name: _joined(node) for name, node in root.items()}


def _joined(node: Any) -> Any:
    if isinstance(node, list):
        return node
    found = {}
    for name, child in node.items():
        below = _joined(child)
        while isinstance(below, dict) and len(below) == 1:
            ((inner, only),) = below.items()
            if not isinstance(only, dict):
                break
            name, below = f"{name}{inner}", only  # noqa: PLW2901 -- the name of both
        found[name] = below
    return found


class BuildStep(NamedTuple):
    """One step from a plain installation to a layer, in unzipped bytes."""

    name: str
    text: str
    delta: int
    """Bytes that it adds; negative where it saves."""
    after: int
    whole: bool = False
    """Whether it is a sum: the first and the last of all steps."""


def waterfall(one: ReportedArtifact) -> list[BuildStep]:
    """Return what each step of a build saved; nothing for manifests that do not record it."""
    manifest = one.manifest
    sizes = manifest.steps
    if not sizes:
        return []
    plain = variant(one.cold_start, "plain") if one.cold_start else None
    start = plain.unzipped if plain else one.weighing.installed.unzipped if one.weighing else 0
    deltas: list[tuple[str, str, int]] = []
    if start > sizes["collect"]:
        first = ("plain installation", "all that the lock resolves, as an installer leaves it")
        deltas.append(("left out", _left_out(manifest), sizes["collect"] - start))
    else:
        start = sizes["collect"]
        first = ("plain wheels", "all files of the distributions in the layer")
    recipes = sum(rule.unzipped for rule in manifest.pruned if rule.rule.startswith("recipe:"))
    built = list(sizes.items())
    changes = {name: size - before for (_, before), (name, size) in itertools.pairwise(built)}
    # Last of all, the files RECORD follow what was compiled, or else what was pruned.
    changes["bytecode" if changes["bytecode"] else "prune"] += (
        manifest.artifact.unzipped - built[-1][1]
    )
    pruned = changes["prune"] + recipes
    deltas.append(("pruned", "tests, type stubs, headers and the like", pruned))
    deltas += [(*SUMMED[name], changes[name]) for name in SUMMED if name in changes]
    deltas.append(("recipes", "what the distributions do without here", -recipes))
    deltas.append(("bytecode", _bytecode(manifest), changes["bytecode"]))
    steps, size = [BuildStep(*first, start, start, whole=True)], start
    for name, text, delta in deltas:
        size += delta
        if delta:
            steps.append(BuildStep(name, text, delta, size))
    return [*steps, BuildStep("this layer", "what the zip holds", size, size, whole=True)]


def _left_out(manifest: Manifest) -> str:
    stubs = sum(one.origin == "stub" for one in manifest.distributions)
    said = counted(len(manifest.dropped), "distribution") + " left out"
    return f"{said}, {stubs} replaced by stubs" if stubs else said


def _bytecode(manifest: Manifest) -> str:
    if manifest.bytecode.note:
        return manifest.bytecode.note
    return {
        "only": "compiled, and the sources left out",
        "none": "none",
    }.get(manifest.bytecode.mode, "compiled beside the sources")


@dataclass
class Pulled:
    """A distribution below the one that pulls it by the shortest way.

    Attributes:
        name: Its name.
        version: Its version; empty where the manifest does not say.
        unzipped: Bytes of its own.
        retained: Bytes that would go if it went: its own and of all that it alone pulls.
        note: Why it weighs nothing: a stub, or left out.
        also: What else needs it.
        below: What it pulls.
    """

    name: str
    version: str
    unzipped: int
    retained: int
    note: str
    also: list[str]
    below: list[Pulled] = field(default_factory=list)


def pulls(manifest: Manifest) -> list[Pulled]:
    """Return who pulls what: every distribution once, the weightiest first."""
    graph = graph_of(manifest)
    known = {one.name: one for one in manifest.distributions}
    dropped = {one.name: one for one in manifest.dropped}
    roots = list(dict.fromkeys([*graph.roots, *(n for n in known if not _needed(n, manifest))]))
    dependencies = Dependencies(roots, graph.edges)
    retained = dependencies.retained({name: one.unzipped for name, one in known.items()})
    nodes: dict[str, Pulled] = {}
    chains = dependencies.chains()
    for name, chain in sorted(chains.items(), key=lambda item: (-retained[item[0]], item[0])):
        one, gone = known.get(name), dropped.get(name)
        parent = chain[-2] if len(chain) > 1 else None
        note = "a stub" if one and one.origin == "stub" else ""
        nodes[name] = Pulled(
            name,
            one.version if one else gone.version if gone else "",
            one.unzipped if one else 0,
            retained[name],
            f"left out: {gone.reason}" if gone else note,
            sorted(dist for dist, needs in graph.edges.items() if name in needs and dist != parent),
        )
    for name, chain in chains.items():
        if len(chain) > 1:
            nodes[chain[-2]].below.append(nodes[name])
    for node in nodes.values():
        node.below.sort(key=lambda below: (-below.retained, below.name))
    return sorted(
        (nodes[name] for name, chain in chains.items() if len(chain) == 1),
        key=lambda node: (-node.retained, node.name),
    )


def _needed(name: str, manifest: Manifest) -> bool:
    return any(name in one.requires for one in manifest.distributions)


class Band(NamedTuple):
    """An import below the one that caused it."""

    label: str
    microseconds: int
    colour: str
    below: list[Band]
    gap: int
    """Microseconds in the module itself, and in imports that are too short to be drawn."""


def flame(tree: ImportTree) -> list[Band]:
    """Return import times as bands: a module above those that it imported first."""
    total = sum(root.cumulative_us for root in tree.roots)
    return list(_bands(tree.roots, total * LEAST_SHARE, legend(tree)))


def legend(tree: ImportTree) -> list[str]:
    """Return the distributions that have a colour of their own, in the order of the colours."""
    return list(tree.by_distribution)[:PALETTE]


def _bands(nodes: Sequence[Import], least: float, top: list[str]) -> Iterator[Band]:
    """Yield what is long enough to be seen; imports are at most as deep as Python's own stack."""
    for node in nodes:
        if node.cumulative_us < least:
            continue
        below = list(_bands(node.children, least, top))
        gap = node.cumulative_us - sum(one.microseconds for one in below)
        colour = "other" if node.distribution else "std"
        if node.distribution in top:
            colour = f"c{top.index(node.distribution)}"
        yield Band(node.module, node.cumulative_us, colour, below, max(0, gap))

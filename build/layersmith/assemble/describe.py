"""What the manifest says of distributions, files and what was left out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from layersmith.assemble import wheel
from layersmith.assemble.bill.licenses import License
from layersmith.assemble.files import OWNER
from layersmith.assemble.manifest import Distribution, FileRecord, KeptRecord, PrunedRule
from layersmith.assemble.tree import PREFIX
from layersmith.base import elf, modules

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from layersmith.assemble.collect import Part
    from layersmith.assemble.tree import Entry, Tree


def distributions(
    tree: Tree,
    parts: Sequence[Part],
    edges: Mapping[str, Sequence[str]],
    sizes: Mapping[str, int],
) -> list[Distribution]:
    """Return the record of every distribution, by name."""
    files: dict[str, list[Entry]] = {}
    for entry in tree:
        files.setdefault(entry.distribution, []).append(entry)
    return [
        _distribution(part, files.get(part.name, []), edges.get(part.name, []), sizes)
        for part in parts
    ]


def _distribution(
    part: Part, entries: list[Entry], requires: Sequence[str], sizes: Mapping[str, int]
) -> Distribution:
    terms = part.wheel.license if part.wheel else License()
    return Distribution(
        name=part.name,
        version=part.version,
        origin=part.origin,
        filename=part.filename,
        sha256=part.sha256,
        unzipped=sum(entry.size for entry in entries),
        zipped=sum(sizes[entry.path] for entry in entries),
        native=sum(entry.size for entry in entries if is_native(entry)),
        bytecode=sum(entry.size for entry in entries if entry.path.endswith(".pyc")),
        files=len(entries),
        modules=wheel.top_level_modules(
            entry.inner for entry in entries if entry.path.startswith(PREFIX)
        ),
        requires=list(requires),
        license=terms.shown,
        license_expression=terms.expression,
    )


def is_native(entry: Entry) -> bool:
    """Whether a file looks like a shared library by its name, or is a program of `files`."""
    if entry.distribution == OWNER:
        return elf.is_elf(entry.source.read())
    return modules.is_native(entry.path)


def files(tree: Tree, sizes: Mapping[str, int]) -> list[FileRecord]:
    """Return the record of every file, in the order of the zip."""
    return [
        FileRecord(
            path=entry.path,
            size=entry.size,
            zipped=sizes[entry.path],
            distribution=entry.distribution,
        )
        for entry in tree.sorted()
    ]


def pruned(tree: Tree) -> list[PrunedRule]:
    """Return what every rule removed, by rule."""
    totals: dict[str, list[int]] = {}
    for removed in tree.removed:
        total = totals.setdefault(removed.rule, [0, 0])
        total[0] += 1
        total[1] += removed.size
    return [
        PrunedRule(rule=rule, files=count, unzipped=size)
        for rule, (count, size) in sorted(totals.items())
    ]


def kept(tree: Tree) -> list[KeptRecord]:
    """Return what no rule removed although it matches, by path."""
    return [
        KeptRecord(path=path, rule=kept.rule, reason=kept.reason)
        for path, kept in sorted(tree.kept.items())
    ]

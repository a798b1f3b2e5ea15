"""Turns what was not touched into candidates, and what survived of them into lines for layers.yaml.

Candidates are whole distributions, folders and single modules.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from layersmith import console
from layersmith.assemble.graph import graph_of
from layersmith.base import modules
from layersmith.prove.slim.models import Candidate
from layersmith.prove.slim.trace import unit

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from layersmith.assemble.manifest import FileRecord, Manifest
    from layersmith.prove.slim.models import Kind, Risk

PREFIX = "python/"
_LEGAL = re.compile(r"(licen[cs]e|copying|notice|authors|patents)", re.IGNORECASE)
_CODE = (".py", ".so")


@dataclass(frozen=True)
class Unit:
    """A module or file, with its bytecode.

    Attributes:
        path: As slim_trace.unit() writes it, without python/.
        distribution: Whose it is.
        files: Its files in the layer.
        zipped: Bytes in the zip.
        unzipped: Bytes under /opt.
    """

    path: str
    distribution: str
    files: int
    zipped: int
    unzipped: int

    @property
    def is_code(self) -> bool:
        """Whether it can be imported."""
        return self.path.endswith(_CODE)


def propose(
    manifest: Manifest,
    touched: Collection[str],
    reached: Mapping[str, list[str]],
    at_least: int = 0,
) -> list[Candidate]:
    """Return the candidates of a layer, the largest first.

    Stubs and local packages are never proposed, as they are the user's own; neither are metadata,
    licences, nor bundled libraries, which extensions need and the loader alone knows of.

    Args:
        manifest: Of the layer.
        touched: Units that its proofs touched, with python/ in front.
        reached: Modules that loaded code names -> what names them.
        at_least: Bytes under /opt below which a candidate is not worth a line.
    """
    own = {one.name for one in manifest.distributions if one.origin in {"stub", "local", "files"}}
    asked = set(graph_of(manifest).roots)
    names = {module.path: module.name for module in modules.modules_of(_paths(manifest))}
    named = {
        unit(path).removeprefix(PREFIX): reached[n] for path, n in names.items() if n in reached
    }
    used = {path.removeprefix(PREFIX) for path in touched}
    by_distribution: dict[str, list[Unit]] = defaultdict(list)
    for one in units(manifest.files):
        by_distribution[one.distribution].append(one)
    found: list[Candidate] = []
    for name, parts in by_distribution.items():
        idle = not any(one.path in used for one in parts)
        if name in own or (idle and name in asked):
            continue
        loose = [one for one in parts if one.path not in used and _may_go(one)]
        if idle and loose:
            found.append(_candidate("exclude", name, parts, named))
        elif loose:
            gone = {one.path for one in loose}
            staying = [u.path for us in by_distribution.values() for u in us if u.path not in gone]
            found += _of_files(loose, staying, named)
    return sorted(
        (one for one in found if one.unzipped >= at_least),
        key=lambda one: (-one.unzipped, one.pattern),
    )


def units(files: Iterable[FileRecord]) -> list[Unit]:
    """Return the units of a layer by path."""
    groups: dict[str, list[FileRecord]] = defaultdict(list)
    for file in files:
        groups[unit(file.path).removeprefix(PREFIX)].append(file)
    return [
        Unit(
            path,
            group[0].distribution,
            len(group),
            sum(file.zipped for file in group),
            sum(file.size for file in group),
        )
        for path, group in sorted(groups.items())
    ]


def _paths(manifest: Manifest) -> list[str]:
    return [file.path for file in manifest.files]


def _of_files(
    loose: list[Unit], staying: Iterable[str], named: Mapping[str, list[str]]
) -> list[Candidate]:
    """Return candidates for folders of which nothing stays, and for single modules elsewhere."""
    found = []
    covered: set[str] = set()
    for folder in _folders(loose, staying):
        inside = [one for one in loose if one.path.startswith(f"{folder}/")]
        covered |= {one.path for one in inside}
        pattern = f"{'' if '/' in folder else '/'}{escaped(folder)}/"
        found.append(_candidate("prune", pattern, inside, named))
    # Data in a folder whose code is used is most often what that code reads.
    single = [one for one in loose if one.path not in covered and one.is_code]
    found += [_candidate("prune", pattern_of(one.path), [one], named) for one in single]
    return found


def _may_go(one: Unit) -> bool:
    folders = one.path.split("/")[:-1]
    return not (
        _is_metadata(one.path)
        or any(folder.endswith(".libs") for folder in folders)
        or _LEGAL.search(one.path.rpartition("/")[2])
    )


def _is_metadata(path: str) -> bool:
    return path.split("/", 1)[0].endswith((".dist-info", ".egg-info"))


def _folders(loose: list[Unit], staying: Iterable[str]) -> list[str]:
    """Return the topmost folders with nothing in them that stays."""
    occupied = {parent for path in staying for parent in _parents(path)}
    free = {parent for one in loose for parent in _parents(one.path)} - occupied
    return sorted(folder for folder in free if not free.intersection(_parents(folder)))


def _parents(path: str) -> list[str]:
    parts = path.split("/")[:-1]
    return ["/".join(parts[:count]) for count in range(1, len(parts) + 1)]


def pattern_of(path: str) -> str:
    """Return the gitignore pattern for one unit, the same for every runtime and machine."""
    anchor = "" if "/" in path else "/"
    if path.endswith(".so"):
        # Both `_simd.cpython-313-aarch64-linux-gnu.so` and `_simd.abi3.so` are meant.
        return f"{anchor}{escaped(path.removesuffix('.so'))}.*so"
    return f"{anchor}{escaped(path)}"


def escaped(path: str) -> str:
    """Return a path in which nothing is special to gitignore."""
    return re.sub(r"([\\*?\[\]!#])", r"\\\1", path)


def _candidate(
    kind: Kind, pattern: str, covered: list[Unit], named: Mapping[str, list[str]]
) -> Candidate:
    inside = {one.path for one in covered}
    gone = {_module_path(path) for path in inside}
    # What goes as well may name it: only what stays counts.
    by = sorted(
        {
            other
            for path in inside
            for other in named.get(path, [])
            if other.replace(".", "/") not in gone
        }
    )
    risk: Risk = "unnamed"
    if by:
        risk = "named"
    elif not any(one.is_code for one in covered):
        risk = "data"
    return Candidate(
        kind=kind,
        pattern=pattern,
        distribution=covered[0].distribution,
        risk=risk,
        named_by=by,
        units=sorted(inside),
        files=sum(one.files for one in covered),
        zipped=sum(one.zipped for one in covered),
        unzipped=sum(one.unzipped for one in covered),
    )


def _module_path(path: str) -> str:
    return path.removesuffix(".py").removesuffix("/__init__").removesuffix(".so")


REASON = "no proof of the layer touches it"
_PLAIN = re.compile(r"^[A-Za-z0-9_/][\w./*-]*$")


def fragment(layer: str, survived: Sequence[Candidate], needless: Sequence[str] = ()) -> str:
    """Return a fragment to be merged into layers.yaml, with what each line saves.

    Args:
        layer: Name of the layer.
        survived: What passed the proofs.
        needless: Patterns of ``import-exceptions`` that can go.
    """
    excludes = [one for one in survived if one.kind == "exclude"]
    prunes = [one for one in survived if one.kind == "prune"]
    lines = ["layers:", f"  {layer}:"]
    if excludes:
        lines += ["    excludes:"]
        lines += [f"      {one.pattern}: {REASON}  {_comment(one)}" for one in excludes]
    if prunes:
        lines += ["    prune:", "      add:"]
        lines += [f"        - {_scalar(one.pattern)}  {_comment(one)}" for one in prunes]
    if not survived:
        lines[-1] += " {}  # nothing more can go"
    if needless:
        lines.append("    # no longer needed under import-exceptions:")
        lines += [f"    #   {pattern}" for pattern in needless]
    return "\n".join(lines) + "\n"


def _comment(one: Candidate) -> str:
    saves = f"# {console.size(one.zipped)} zipped, {console.size(one.unzipped)} unzipped"
    if one.risk == "data":
        return f"{saves}; data"
    if one.named_by:
        more = f" and {len(one.named_by) - 2} more" if len(one.named_by) > 2 else ""
        return f"{saves}; named by {', '.join(one.named_by[:2])}{more}"
    return saves


def _scalar(text: str) -> str:
    """Return a pattern as YAML; JSON's strings are YAML's, too."""
    return text if _PLAIN.match(text) else json.dumps(text)

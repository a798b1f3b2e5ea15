"""What would make a target smaller, each with the bytes saved; the data are in advice.toml."""

from __future__ import annotations

import functools
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from layersmith.assemble import collect
from layersmith.weigh.listings import zipped
from layersmith.weigh.models import Advice

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from layersmith.assemble.tree import Entry
    from layersmith.weigh.target import Weighed

DATA = Path(__file__).with_name("advice.toml")

LITE_BLAS = 900_000
"""Bytes of the BLAS that takes OpenBLAS's place with ``lite-blas`` (liteblas)."""

OPENBLAS = "numpy.libs/"
"""Where numpy's wheels keep OpenBLAS and what it needs."""

FOREIGN = (".dll", ".dylib", ".exe", ".bat", ".ps1", ".pdb")
"""Ends of files that Linux never loads."""

WORTH = 100_000
"""Bytes from which advice is given."""


@functools.cache
def known() -> dict[str, list[dict[str, Any]]]:
    """Return the tables of advice.toml."""
    with DATA.open("rb") as stream:
        return tomllib.load(stream)


def advise(weighed: Weighed) -> list[Advice]:
    """Return what would make a target smaller, the most bytes first.

    Args:
        weighed: The target on the scales.
    """
    found = [
        *_lighter(weighed),
        *_optional(weighed),
        *_provided(weighed),
        *_managed(weighed),
        *_extras(weighed),
        *_platform(weighed),
        *_blas(weighed),
        *_recipes(weighed),
    ]
    return sorted(found, key=lambda one: (-one.unzipped, one.kind, one.subject))


def sizes(weighed: Weighed, names: Iterable[str]) -> tuple[int, int]:
    """Return the unzipped and zipped bytes that a build keeps of some distributions."""
    wanted = set(names)
    entries = [entry for entry in weighed.tree if entry.distribution in wanted]
    return sum(entry.size for entry in entries), sum(zipped(entry) for entry in entries)


def _present(weighed: Weighed) -> set[str]:
    return {entry.distribution for entry in weighed.tree}


def _lighter(weighed: Weighed) -> Iterator[Advice]:
    present = _present(weighed)
    for row in known()["lighter"]:
        if row["name"] not in present:
            continue
        gone = weighed.graph.dominated(row["name"])
        unzipped, packed = sizes(weighed, gone)
        # What is there anyway, such as psycopg beside psycopg-binary, costs nothing more.
        more = (0, 0) if row["instead"] in present else (row["unzipped"], row["zipped"])
        if unzipped - more[0] >= WORTH:
            yield Advice(
                kind="lighter",
                subject=row["name"],
                text=f"{row['instead']} in its place: {row['note']}",
                unzipped=unzipped - more[0],
                zipped=max(0, packed - more[1]),
                estimate=True,
                source=row["source"],
                date=row["date"],
                removes=gone,
            )


def _optional(weighed: Weighed) -> Iterator[Advice]:
    present = _present(weighed)
    for row in known()["optional"]:
        name = row["name"]
        if name not in present or row["by"] not in present or name in _roots(weighed):
            continue
        if row["by"] not in {one for one, needs in weighed.graph.edges.items() if name in needs}:
            continue
        gone = weighed.graph.dominated(name)
        unzipped, packed = sizes(weighed, gone)
        if unzipped >= WORTH:
            loses = f"; lost: {row['loses']}" if "loses" in row else ""
            yield Advice(
                kind="optional",
                subject=name,
                text=f"exclude it from {row['by']}: {row['note']}{loses}",
                unzipped=unzipped,
                zipped=packed,
                loses=row.get("loses"),
                source=row["source"],
                date=row["date"],
                removes=gone,
            )


def _provided(weighed: Weighed) -> Iterator[Advice]:
    for name, reason in weighed.reasons.items():
        if reason != collect.PROVIDED_REASON:
            continue
        entries = weighed.entries[name]
        unzipped = sum(entry.size for entry in entries)
        if unzipped >= WORTH:
            yield Advice(
                kind="provided",
                subject=name,
                text="the runtime brings it along: a build leaves it out unless `keep-provided`"
                " names it",
                unzipped=unzipped,
                zipped=sum(zipped(entry) for entry in entries),
                done=True,
                removes=[name],
            )


def _managed(weighed: Weighed) -> Iterator[Advice]:
    present = _present(weighed)
    for layer in weighed.target.runtime.managed:
        shared = sorted(present & layer.contents)
        unzipped, packed = sizes(weighed, shared)
        if unzipped < WORTH or not present & layer.worth_it:
            continue
        yield Advice(
            kind="managed layer",
            subject=layer.name,
            text=f"holds {', '.join(shared)} ({layer.arn}): your zip gets smaller, and the layer"
            " still counts against the limit of the function; it chooses the versions",
            unzipped=unzipped,
            zipped=packed,
            source=layer.source,
            date=layer.date,
            removes=shared,
        )


def _extras(weighed: Weighed) -> Iterator[Advice]:
    """Say what every extra brings: those asked for here, and those that distributions ask for."""
    wheels = {part.name: part.wheel for part in weighed.parts if part.wheel}
    present = _present(weighed)
    for (name, extra), askers in sorted(_askers(weighed).items()):
        if name not in wheels:
            continue
        plain = {_name(one) for one in wheels[name].requirements(weighed.target)}
        more = wheels[name].requirements(weighed.target, frozenset({extra}))
        edges = [(name, _name(one)) for one in more if _name(one) not in plain]
        gone = sorted(present - weighed.graph.reached(edges)) if edges else []
        unzipped, packed = sizes(weighed, gone)
        if unzipped < WORTH:
            continue
        others = ", ".join(filter(None, sorted(askers)))
        # What layers.yaml itself asks for is wanted: nothing is to be excluded behind its back.
        asked = "" in askers or not others
        how = "drop the extra" if asked else f"{others} asks for it: exclude {', '.join(gone)}"
        yield Advice(
            kind="extra",
            subject=f"{name}[{extra}]",
            text=f"{how}, where nothing of yours needs it",
            unzipped=unzipped,
            zipped=packed,
            loses="what the extra is for",
            removes=gone,
        )


def _askers(weighed: Weighed) -> dict[tuple[str, str], set[str]]:
    """Return who asks for which extra: (name, extra) to names, "" for what is asked for here."""
    asked: dict[tuple[str, str], set[str]] = {}
    lines = [("", Requirement(line)) for line in weighed.asked]
    for part in weighed.parts:
        if part.wheel:
            lines += [(part.name, one) for one in part.wheel.requirements(weighed.target)]
    for who, requirement in lines:
        for extra in requirement.extras:
            asked.setdefault((_name(requirement), extra), set()).add(who)
    return asked


def _name(requirement: Requirement) -> str:
    return canonicalize_name(requirement.name)


def _roots(weighed: Weighed) -> set[str]:
    return {canonicalize_name(Requirement(line).name) for line in weighed.asked}


def _platform(weighed: Weighed) -> Iterator[Advice]:
    by_name: dict[str, list[Entry]] = {}
    for entry in weighed.tree:
        if entry.path.lower().endswith(FOREIGN):
            by_name.setdefault(entry.distribution, []).append(entry)
    for name, entries in by_name.items():
        unzipped = sum(entry.size for entry in entries)
        if unzipped >= WORTH:
            patterns = sorted({"*." + entry.path.rpartition(".")[2].lower() for entry in entries})
            yield Advice(
                kind="platform",
                subject=name,
                text=f"{len(entries)} files for other systems; `prune: {{add: {patterns}}}`",
                unzipped=unzipped,
                zipped=sum(map(zipped, entries)),
            )


def _blas(weighed: Weighed) -> Iterator[Advice]:
    entries = [
        entry
        for entry in weighed.tree
        if entry.distribution == "numpy" and entry.inner.startswith(OPENBLAS)
    ]
    unzipped = sum(entry.size for entry in entries) - LITE_BLAS
    if unzipped >= WORTH:
        done = weighed.target.settings.lite_blas
        yield Advice(
            kind="lite-blas",
            subject="numpy",
            text="`lite-blas: true` puts a small BLAS and LAPACK in the place of OpenBLAS; large"
            " matrix products get slower",
            unzipped=unzipped,
            zipped=max(0, sum(map(zipped, entries)) - LITE_BLAS // 2),
            loses="speed of large matrix products",
            done=done,
        )


def _recipes(weighed: Weighed) -> Iterator[Advice]:
    """Say what `recipes: all` leaves out, with the lite BLAS where numpy's recipe brings it."""
    bold = weighed.with_every_recipe
    blas = [one for one in _blas(bold) if one.done and not weighed.target.settings.lite_blas]
    now, then = weighed.layer, bold.layer
    unzipped = now.unzipped - then.unzipped + sum(one.unzipped for one in blas)
    if unzipped < WORTH:
        return
    names = sorted(use.name for use in bold.target.recipes.uses if use.taken)
    yield Advice(
        kind="recipes",
        subject=", ".join(names),
        text="`recipes: all` leaves out what a recipe knows to be rarely used;"
        " `layersmith recipe show NAME` lists what is lost",
        unzipped=unzipped,
        zipped=now.zipped - then.zipped + sum(one.zipped for one in blas),
        loses="what the recipes name",
    )

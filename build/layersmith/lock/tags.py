"""Which wheels a target can use, and in which order (PEP 425, PEP 600)."""

from __future__ import annotations

import functools
import re
from dataclasses import replace
from typing import TYPE_CHECKING

from packaging.tags import Tag, compatible_tags, cpython_tags
from packaging.utils import InvalidWheelFilename, parse_wheel_filename

from layersmith.base import architectures

if TYPE_CHECKING:
    from collections.abc import Iterable

    from layersmith.base.runtimes import Runtime

LEGACY = {17: "manylinux2014", 12: "manylinux2010", 5: "manylinux1"}
"""glibc 2.x to the name it had before PEP 600."""

NEWEST_GLIBC = (2, 99)
"""Above all that a wheel names."""

_MANYLINUX = re.compile(r"manylinux_(\d+)_(\d+)_")


def platforms(runtime: Runtime, architecture: str) -> list[str]:
    """Return the platform tags that a runtime takes, best first.

    A wheel that asks for a newer glibc comes first, as in pip and uv: it is the more specific.
    """
    known = architectures.get(architecture)
    machine = known.wheel
    _, newest = runtime.glibc
    found: list[str] = []
    for minor in range(newest, known.oldest_glibc - 1, -1):
        found.append(f"manylinux_2_{minor}_{machine}")
        if minor in LEGACY:
            found.append(f"{LEGACY[minor]}_{machine}")
    return [*found, f"linux_{machine}"]


@functools.lru_cache(maxsize=32)
def ranked(runtime: Runtime, architecture: str) -> dict[Tag, int]:
    """Return every tag that a runtime takes with its rank; 0 is best."""
    version, names = (3, runtime.minor), platforms(runtime, architecture)
    # The ABI is given, because packaging would derive it from the interpreter of the host.
    tags = [
        *cpython_tags(python_version=version, abis=[runtime.tag], platforms=names),
        *compatible_tags(python_version=version, interpreter=runtime.tag, platforms=names),
    ]
    return {tag: rank for rank, tag in reversed(list(enumerate(tags)))}


def rank(filename: str, runtime: Runtime, architecture: str) -> int | None:
    """Return how well a wheel fits a runtime, 0 being best, or None where it does not fit."""
    try:
        _, _, _, tags = parse_wheel_filename(filename)
    except InvalidWheelFilename:
        return None
    known = ranked(runtime, architecture)
    return min((known[tag] for tag in tags if tag in known), default=None)


def best(filenames: Iterable[str], runtime: Runtime, architecture: str) -> str | None:
    """Return the wheel that an installer would take, or None where none fits.

    Of several that fit equally well, the highest build number wins (PEP 427).
    """
    fitting = [
        (-place, parse_wheel_filename(name)[2], name)
        for name in filenames
        if (place := rank(name, runtime, architecture)) is not None
    ]
    return max(fitting)[2] if fitting else None


def glibc_floor(
    filenames: Iterable[str], runtime: Runtime, architecture: str
) -> tuple[int, int] | None:
    """Return the oldest glibc with which a runtime could use one of some wheels.

    Returns:
        None where none is for its Python and machine, or none names a glibc.
    """
    newer = replace(runtime, system=replace(runtime.system, glibc=NEWEST_GLIBC))
    known = ranked(newer, architecture)
    floors = []
    for name in filenames:
        if rank(name, newer, architecture) is None:
            continue
        tags = [tag for tag in parse_wheel_filename(name)[3] if tag in known]
        named = [_MANYLINUX.match(tag.platform) for tag in tags]
        floors += [min((int(one[1]), int(one[2])) for one in named if one)] if any(named) else []
    return min(floors, default=None)

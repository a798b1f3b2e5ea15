"""Refuses what its wheels alone make too large, by their directories on the index."""

from __future__ import annotations

from typing import TYPE_CHECKING

from layersmith.assemble import budgets, describe
from layersmith.assemble.manifest import FileRecord
from layersmith.assemble.prune import metadata
from layersmith.base import runtimes
from layersmith.errors import BuildError, LockError
from layersmith.weigh import target as weighing
from layersmith.weigh.listings import zipped

if TYPE_CHECKING:
    from pathlib import Path

    from layersmith.assemble.manifest import Manifest
    from layersmith.plan import Target
    from layersmith.weigh.target import Weighed

EXPANSION = 12
"""Bytes of files per byte of a wheel, at most: an assumption, far above that of text (4.3)."""


def may_exceed(target: Target, download: int) -> bool:
    """Whether wheels of so many bytes could be too large, so that it is worth to ask.

    Args:
        target: What is built.
        download: Bytes of its wheels.
    """
    limits = target.settings.budgets
    unzipped = limits.unzipped or runtimes.UNZIPPED_LIMIT
    return download * EXPANSION > unzipped or download > (limits.zipped or download)


def check(target: Target, root: Path, last_release: Manifest | None) -> None:
    """Judge the least that a layer can become; what cannot be read is left to the build.

    Args:
        target: What is built; it has a lock.
        root: Folder of layers.yaml.
        last_release: Manifest that ``budgets.growth`` is judged against.

    Raises:
        BudgetError: It cannot fit.
    """
    try:
        weighed = weighing.weigh(target, root)
    except (BuildError, LockError):
        # The download that follows meets the same obstacle, and says what it is.
        return
    edges = {name: list(needs) for name, needs in weighed.graph.edges.items()}
    graph = describe.Graph(list(weighed.graph.roots), edges)
    mode = budgets.possible_mode(target)
    budgets.check(target, _files(weighed), graph, last_release=last_release, mode=mode)


def _files(weighed: Weighed) -> list[FileRecord]:
    """Return the files of wheels that no later step makes smaller."""
    settings = weighed.target.settings
    wheels = {part.name for part in weighed.parts if part.origin == "wheel"}
    return [
        FileRecord(
            path=entry.path,
            size=entry.size,
            zipped=zipped(entry),
            distribution=entry.distribution,
        )
        for entry in weighed.tree
        if entry.distribution in wheels - set(settings.build)
        and not entry.path.endswith(metadata.SUFFIX)
        and not ((settings.strip or settings.lite_blas) and describe.is_native(entry))
    ]

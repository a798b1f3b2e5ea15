"""The prune step: what a layer does without, and what has to stay for what is left."""

from __future__ import annotations

from typing import TYPE_CHECKING

from layersmith.assemble.prune import collisions, metadata, rescue
from layersmith.assemble.prune.metadata import leave_out_descriptions
from layersmith.assemble.prune.rules import PruneRule, default_rules, is_metadata, prune, unmatched

if TYPE_CHECKING:
    from collections.abc import Sequence

    from layersmith.assemble.tree import Tree
    from layersmith.config.models import Prune
    from layersmith.recipes.models import RecipeUse

__all__ = [
    "PruneRule",
    "default_rules",
    "finish",
    "is_metadata",
    "leave_out_descriptions",
    "prune",
    "unmatched",
]


def finish(tree: Tree, wanted: Prune, recipes: Sequence[RecipeUse] = ()) -> None:
    """Prune ``tree``, then look into what is left: imports, entry points, owners, metadata.

    Args:
        tree: The files of a layer.
        wanted: What layers.yaml says.
        recipes: The recipes that apply.

    Raises:
        BuildError: Two distributions own a path that is left, with different content.
        ConfigError: A pattern of layers.yaml cannot be read.
    """
    rescue.rescue(tree, prune(tree, wanted, recipes))
    metadata.correct(tree)
    collisions.settle(tree)
    leave_out_descriptions(tree, wanted)

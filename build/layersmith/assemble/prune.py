"""Leaves files out of a layer by rules that are data (prune_rules.toml)."""

from __future__ import annotations

import functools
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pathspec import GitIgnoreSpec

from layersmith.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from layersmith.assemble.tree import Entry, Tree
    from layersmith.config.models import Prune

RULES_FILE = Path(__file__).with_name("prune_rules.toml")


@dataclass(frozen=True)
class PruneRule:
    """A named set of gitignore patterns over paths below python/."""

    name: str
    why: str
    spec: GitIgnoreSpec


@functools.cache
def default_rules() -> tuple[PruneRule, ...]:
    """Return the built-in rules in the order in which they are applied."""
    with RULES_FILE.open("rb") as stream:
        table = tomllib.load(stream)
    return tuple(
        PruneRule(name, rule["why"], GitIgnoreSpec.from_lines(rule["patterns"]))
        for name, rule in table.items()
    )


def prune(tree: Tree, wanted: Prune) -> None:
    """Remove from ``tree`` what the rules name; metadata and what ``keep`` names stay.

    Raises:
        ConfigError: A pattern of layers.yaml cannot be read.
    """
    keep = _spec(wanted.keep, "keep")
    rules = list(default_rules()) if wanted.defaults else []
    for pattern in wanted.add:
        rules.append(PruneRule(pattern, "layers.yaml", _spec([pattern], "add")))
    for rule in rules:

        def goes(entry: Entry, rule: PruneRule = rule) -> bool:
            path = entry.inner
            return (
                not is_metadata(path) and rule.spec.match_file(path) and not keep.match_file(path)
            )

        tree.remove_where(rule.name, goes)


def is_metadata(path: str) -> bool:
    """Whether a path below python/ belongs to a distribution's metadata."""
    return path.split("/", 1)[0].endswith(".dist-info")


def _spec(patterns: Sequence[str], key: str) -> GitIgnoreSpec:
    try:
        return GitIgnoreSpec.from_lines(patterns)
    except ValueError as problem:
        raise ConfigError(f"prune: {key}: {problem}") from problem

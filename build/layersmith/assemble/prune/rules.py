"""Leaves files out of a layer by rules that are data (rules.toml), judged by their paths alone."""

from __future__ import annotations

import functools
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pathspec import GitIgnoreSpec

from layersmith.assemble.tree import PREFIX, Exemption
from layersmith.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from layersmith.assemble.tree import Entry, Tree
    from layersmith.config.models import Prune

DATA = Path(__file__).with_name("rules.toml")


@dataclass(frozen=True)
class PruneRule:
    """A named set of gitignore patterns over paths below python/."""

    name: str
    why: str
    spec: GitIgnoreSpec


@dataclass(frozen=True)
class Gone:
    """What a built-in rule removed at one path.

    Attributes:
        rule: Name of the rule.
        owners: The file of each distribution that has this path.
    """

    rule: str
    owners: tuple[Entry, ...]


@functools.cache
def default_rules() -> tuple[PruneRule, ...]:
    """Return the built-in rules in the order in which they are applied."""
    return _rules(_data()["prune"])


@functools.cache
def public(rule: str) -> tuple[PruneRule, ...]:
    """Return what stays although a built-in rule matches it and no layer imports it."""
    return _rules(_data()["public"].get(rule, {}))


@functools.cache
def words(rule: str) -> frozenset[str]:
    """Return the words in the patterns of a built-in rule: names of folders, and suffixes."""
    return frozenset(re.findall(r"\w+", " ".join(_data()["prune"][rule]["patterns"])))


@functools.cache
def documents() -> GitIgnoreSpec:
    """Return the patterns of files next to the packages that no code reads."""
    return GitIgnoreSpec.from_lines(_data()["documents"]["patterns"])


@functools.cache
def namespace_words() -> frozenset[str]:
    """Return every name that the file of a package may mention that is only a namespace."""
    return frozenset(_data()["namespace"]["words"])


@functools.cache
def _data() -> dict[str, Any]:
    with DATA.open("rb") as stream:
        return tomllib.load(stream)


def _rules(table: Mapping[str, Any]) -> tuple[PruneRule, ...]:
    return tuple(
        PruneRule(name, rule["why"], GitIgnoreSpec.from_lines(rule["patterns"]))
        for name, rule in table.items()
    )


def prune(tree: Tree, wanted: Prune) -> dict[str, Gone]:
    """Remove from ``tree`` what the rules name; metadata and what ``keep`` names stay.

    Returns:
        What built-in rules alone removed, by path: it may be put back. What a pattern of
        layers.yaml matches stays away, since users decide.

    Raises:
        ConfigError: A pattern of layers.yaml cannot be read.
    """
    keep = _spec(wanted.keep, "keep")
    asked = [PruneRule(one, "layers.yaml", _spec([one], "add")) for one in wanted.add]
    gone = {}
    for rule in default_rules() if wanted.defaults else ():
        for path in _matches(tree, rule, keep):
            found = _first(public(rule.name), path)
            if found:
                tree.kept[path] = Exemption(rule.name, found.why)
                continue
            removed = tree.remove(path, rule.name)
            if not _first(asked, path):
                gone[path] = Gone(rule.name, removed)
    for rule in asked:
        for path in _matches(tree, rule, keep):
            tree.remove(path, rule.name)
    return gone


def _matches(tree: Tree, rule: PruneRule, keep: GitIgnoreSpec) -> list[str]:
    return [
        entry.path
        for entry in tree
        if not is_metadata(entry.inner)
        and rule.spec.match_file(entry.inner)
        and not keep.match_file(entry.inner)
    ]


def _first(rules: Sequence[PruneRule], path: str) -> PruneRule | None:
    inner = path.removeprefix(PREFIX)
    return next((rule for rule in rules if rule.spec.match_file(inner)), None)


def removing(names: Sequence[str], path: str) -> str | None:
    """Return the first of some rules that removes a path below python/, or None.

    Args:
        names: Rules as a manifest names them: built-in ones, or patterns of layers.yaml.
        path: The path, whether there is such a file or not.
    """
    built_in = {rule.name: rule.spec for rule in default_rules()}
    for name in names:
        if (built_in.get(name) or _spec([name], "add")).match_file(path):
            return name
    return None


def is_metadata(path: str) -> bool:
    """Whether a path below python/ belongs to a distribution's metadata."""
    return path.split("/", 1)[0].endswith(".dist-info")


def _spec(patterns: Sequence[str], key: str) -> GitIgnoreSpec:
    try:
        return GitIgnoreSpec.from_lines(patterns)
    except ValueError as problem:
        raise ConfigError(f"prune: {key}: {problem}") from problem

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
from layersmith.recipes.apply import rule as recipe_rule

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from layersmith.assemble.tree import Entry, Tree
    from layersmith.config.models import Prune
    from layersmith.recipes.models import RecipeUse

DATA = Path(__file__).with_name("rules.toml")

CACHES = "caches"
"""The rule that removes the bytecode of another machine."""


@dataclass(frozen=True)
class PruneRule:
    """A named set of gitignore patterns over paths below python/.

    Attributes:
        name: Its name in the manifest.
        why: Why it removes, or keeps.
        spec: The patterns.
        owner: Distribution whose recipe has it; what others need of that is put back.
        pattern: The pattern of a recipe.
    """

    name: str
    why: str
    spec: GitIgnoreSpec
    owner: str | None = None
    pattern: str = ""

    @functools.cached_property
    def may_match(self) -> Callable[[str], object]:
        """Says of a path below python/, quickly, whether the patterns can match it at all."""
        return _any_of([self.spec])


def _any_of(specs: Iterable[GitIgnoreSpec]) -> Callable[[str], object]:
    """Return a search for what any pattern names; what else is negated only takes away from it."""
    patterns = [
        re.sub(r"\(\?P<\w+>", "(?:", one.regex.pattern)
        for spec in specs
        for one in spec.patterns
        if one.include and one.regex is not None
    ]
    return re.compile("|".join(f"(?:{one})" for one in patterns) or r"(?!)").search


@dataclass(frozen=True)
class Gone:
    """What a built-in rule, or one of a recipe, removed at one path.

    Attributes:
        rule: Name of the rule.
        owners: The file of each distribution that has this path.
        token: What a source mentions that refers to it.
        but_for: Distribution whose recipe removed it: its own references do not count.
    """

    rule: str
    owners: tuple[Entry, ...]
    token: str
    but_for: str | None = None


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


def prune(tree: Tree, wanted: Prune, recipes: Sequence[RecipeUse] = ()) -> dict[str, Gone]:
    """Remove from ``tree`` what the rules name; metadata and what ``keep`` names stay.

    What recipes keep stays whatever built-in rules and recipes say; bytecode of the machine that
    made a wheel never does.

    Returns:
        What built-in rules and recipes alone removed, by path: it may be put back. What a pattern
        of layers.yaml matches stays away, since users decide.

    Raises:
        ConfigError: A pattern of layers.yaml cannot be read.
    """
    keep = _spec(wanted.keep, "keep")
    asked = [PruneRule(one, "layers.yaml", _spec([one], "add")) for one in wanted.add]
    kept = [_of_recipe(use.name, one, why) for use in recipes for one, why in use.keep.items()]
    costly = [_of_recipe(use.name, one, why) for use in recipes for one, why in use.prune.items()]
    gone = {}
    rules = (*(default_rules() if wanted.defaults else ()), *costly)
    named = _any_of(rule.spec for rule in (*rules, *asked))
    # Few files of many are named by any rule, and there are many rules.
    paths = [one.path for one in tree if named(one.inner) and not is_metadata(one.inner)]
    for rule in rules:
        for path in _matches(tree, paths, rule, keep):
            found = _first(public(rule.name), path)
            found = found or (_first(kept, path) if rule.name != CACHES else None)
            if found:
                tree.kept[path] = Exemption(rule.name, found.why)
                continue
            removed = tree.remove(path, rule.name)
            # Where a recipe names it as well, its distribution is known to do without it.
            by = _first(costly, path) or rule
            if not _first(asked, path):
                gone[path] = Gone(rule.name, removed, token(path, by), by.owner)
    for rule in asked:
        for path in _matches(tree, paths, rule, keep):
            tree.remove(path, rule.name)
    return gone


def is_kept(path: str, wanted: Prune) -> bool:
    """Whether layers.yaml keeps what is at a path, whatever built-in rules say.

    Raises:
        ConfigError: A pattern of layers.yaml cannot be read.
    """
    return _spec(wanted.keep, "keep").match_file(path.removeprefix(PREFIX))


def unmatched(tree: Tree, recipes: Sequence[RecipeUse]) -> dict[str, list[str]]:
    """Return the patterns of recipes that match nothing of what a tree has or had.

    Args:
        tree: The files of a layer, pruned.
        recipes: The recipes that apply.

    Returns:
        Name of the recipe to its patterns.
    """
    every = [*tree.entries, *tree.kept, *(one.path for one in tree.removed)]
    paths = [path.removeprefix(PREFIX) for path in every]
    found = {
        use.name: [
            one for one in use.prune if not any(GitIgnoreSpec.from_lines([one]).match_files(paths))
        ]
        for use in recipes
    }
    return {name: patterns for name, patterns in found.items() if patterns}


def token(path: str, rule: PruneRule) -> str:
    """Return the part of a path that brought a rule upon it; who refers to the file mentions it."""
    parts = [part.split(".", 1)[0] for part in path.removeprefix(PREFIX).split("/")]
    if rule.owner is None:
        return next((part for part in parts if part in words(rule.name)), parts[-1])
    named = re.findall(r"\w+", rule.pattern)
    return next((part for part in reversed(parts) if part in named), parts[-1])


def _of_recipe(name: str, pattern: str, why: str) -> PruneRule:
    spec = GitIgnoreSpec.from_lines([pattern])
    return PruneRule(recipe_rule(name), why, spec, name, pattern)


def _matches(tree: Tree, paths: Sequence[str], rule: PruneRule, keep: GitIgnoreSpec) -> list[str]:
    """Return which of some paths a rule removes, of those that are still there."""
    inside = ((path, path.removeprefix(PREFIX)) for path in paths if path in tree)
    return [
        path
        for path, inner in inside
        if rule.may_match(inner) and rule.spec.match_file(inner) and not keep.match_file(inner)
    ]


def _first(rules: Sequence[PruneRule], path: str) -> PruneRule | None:
    inner = path.removeprefix(PREFIX)
    may = (rule for rule in rules if rule.may_match(inner))
    return next((rule for rule in may if rule.spec.match_file(inner)), None)


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

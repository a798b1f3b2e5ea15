"""What the recipes of locked distributions change in the settings of a layer, and who needs what.

The settings of layers.yaml win over every recipe. Dependencies are only left out where nobody in
the layer is known to need them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from layersmith.config.models import Stub
from layersmith.recipes.models import RecipeUse

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence
    from pathlib import Path

    from layersmith.config.models import Layer
    from layersmith.recipes.book import KnownRecipe, RecipeBook

BLAS_OWNER = "numpy"
"""The one distribution whose BLAS can be replaced."""


class LockedDistribution(Protocol):
    """A distribution as a lock names it."""

    @property
    def name(self) -> str:
        """Normalized name."""

    @property
    def version(self) -> str:
        """Exact version."""

    @property
    def via(self) -> tuple[str, ...]:
        """Normalized names of what asks for it, and something else for the layer itself."""

    @property
    def is_wheel(self) -> bool:
        """Whether its file is a wheel."""


@dataclass(frozen=True)
class AppliedRecipes:
    """What recipes did to a layer.

    Attributes:
        uses: The recipes that apply, by name.
        stubs: Distribution to the folder of its stub, absolute, for those that recipes bring.
        warnings: What the user should know.
        written: The settings as layers.yaml has them; None where no recipe was looked for.
    """

    uses: tuple[RecipeUse, ...] = ()
    stubs: Mapping[str, Path] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    written: Layer | None = None


def rule(name: str) -> str:
    """Return what a prune rule of a distribution's recipe is called."""
    return f"recipe:{name}"


def apply(
    settings: Layer,
    locked: Sequence[LockedDistribution],
    book: RecipeBook,
    provided: Collection[str] = (),
) -> tuple[Layer, AppliedRecipes]:
    """Return the settings of a layer with what recipes add, and what that was.

    Args:
        settings: The settings as layers.yaml has them.
        locked: What the layer is locked to.
        book: The recipes.
        provided: Normalized names that the layer leaves to the runtime.

    Raises:
        ConfigError: A recipe is not valid.
    """
    gone = {*settings.excludes, *settings.stubs, *provided}
    known = {
        entry.name: (entry, recipe)
        for entry in locked
        if entry.name not in gone and (recipe := book.get(entry.name))
    }
    warnings = tuple(
        f"the recipe of {name} is not applied: {entry.version} is locked, and the recipe is known"
        f" to fit {recipe.content.versions}"
        for name, (entry, recipe) in known.items()
        if not recipe.content.fits(entry.version)
    )
    fitting = {n: pair for n, pair in known.items() if pair[1].content.fits(pair[0].version)}
    leaving = _left_out(settings, locked, [recipe for _, recipe in fitting.values()], gone)
    out = {*gone, *leaving.owners}
    uses = tuple(
        _use(entry, recipe, settings, leaving)
        for name, (entry, recipe) in sorted(fitting.items())
        if name not in out
    )
    stubs = {name: leaving.by[owner] for name, owner in leaving.stubs().items()}
    stub_settings = {
        name: Stub(path=one.content.stubs[name].path, reason=one.content.stubs[name].reason)
        for name, one in stubs.items()
    }
    excludes = {name: why for use in uses for name, why in (use.excludes | use.orphans).items()}
    changed = settings.model_copy(
        update={
            "excludes": {**excludes, **settings.excludes},
            "stubs": {**stub_settings, **settings.stubs},
            "lite_blas": settings.lite_blas or any(use.lite_blas for use in uses),
        }
    )
    folders = {name: one.stub(name) for name, one in stubs.items()}
    return changed, AppliedRecipes(uses, folders, warnings, settings)


def takes(settings: Layer, name: str) -> bool:
    """Whether a layer takes what costs something from the recipe of a distribution."""
    return settings.recipes == "all" or name in settings.recipes


def _left_out(
    settings: Layer,
    locked: Sequence[LockedDistribution],
    fitting: Sequence[KnownRecipe],
    gone: Collection[str],
) -> _Leaving:
    """Return what the recipes leave out whose own distributions stay."""
    asked_by = {entry.name: entry.via for entry in locked}
    taken = [recipe for recipe in fitting if takes(settings, recipe.name)]
    while True:
        leaving = _Leaving(settings, asked_by, taken, gone)
        staying = [recipe for recipe in taken if recipe.name not in leaving.owners]
        if len(staying) == len(taken):
            return leaving
        taken = staying


class _Leaving:
    """Which dependencies the recipes in use leave out, and on whose behalf.

    Attributes:
        by: The recipes in use by name.
        owners: What is left out -> the recipe that does so.
        withheld: Recipe -> what it would leave out and does not, with the reason.
    """

    def __init__(
        self,
        settings: Layer,
        asked_by: Mapping[str, Collection[str]],
        taken: Sequence[KnownRecipe],
        gone: Collection[str],
    ) -> None:
        self.by = {recipe.name: recipe for recipe in taken}
        wanted: dict[str, list[str]] = {}
        for recipe in taken:
            for name in (*recipe.content.excludes, *recipe.content.stubs):
                if name in asked_by and name not in gone and name not in settings.keep_provided:
                    wanted.setdefault(name, []).append(recipe.name)
        needed = needed_by(asked_by, wanted, gone)
        self.owners = {name: who[0] for name, who in wanted.items() if name not in needed}
        self.withheld = {
            owner: {name: f"{needed[name]} needs it" for name in needed if owner in wanted[name]}
            for owner in self.by
        }
        self._orphans = self._orphaned(asked_by, gone, settings.keep_provided)
        self.owners |= {name: self.owners[root] for name, root in self._orphans.items()}

    def _orphaned(
        self,
        asked_by: Mapping[str, Collection[str]],
        gone: Collection[str],
        kept: Collection[str],
    ) -> dict[str, str]:
        """Return what only the left out need -> one of them that a recipe leaves out."""
        before = {*gone, *orphans(asked_by, gone)}
        found = orphans(asked_by, {*gone, *self.owners})
        return {
            name: root
            for name, root in found.items()
            if name not in before and name not in kept and root in self.owners
        }

    def stubs(self) -> dict[str, str]:
        """Return what a stub replaces -> the recipe that brings the stub."""
        return {
            name: owner
            for name, owner in self.owners.items()
            if name not in self._orphans and name in self.by[owner].content.stubs
        }

    def excludes(self, owner: str) -> Iterator[tuple[str, str]]:
        """Yield the dependencies that a recipe leaves out, and what is lost."""
        content = self.by[owner].content
        for name, who in sorted(self.owners.items()):
            if who == owner and name not in {*self._orphans, *content.stubs}:
                yield name, content.excludes[name]

    def orphans(self, owner: str) -> Iterator[tuple[str, str]]:
        """Yield what nobody needs any more where a recipe leaves out its dependencies."""
        for name, root in sorted(self._orphans.items()):
            if self.owners[name] == owner:
                yield name, f"only {root} needs it, which the recipe of {owner} leaves out"


def _use(
    entry: LockedDistribution, recipe: KnownRecipe, settings: Layer, leaving: _Leaving
) -> RecipeUse:
    content, taken = recipe.content, recipe.name in leaving.by
    free = {
        "name": recipe.name,
        "version": entry.version,
        "team": recipe.team,
        "taken": taken and content.costs,
        "optional": content.optional,
        "keep": content.keep,
        "libraries": content.libraries,
        "environment": content.environment,
    }
    if not taken:
        return RecipeUse.model_validate(free)
    stubs = {name: owner for name, owner in leaving.stubs().items() if owner == recipe.name}
    costly = {
        "prune": content.prune,
        "excludes": dict(leaving.excludes(recipe.name)),
        "orphans": dict(leaving.orphans(recipe.name)),
        "stubs": {name: content.stubs[name].reason for name in stubs},
        "lite_blas": content.lite_blas if _may_replace_blas(entry, settings) else None,
        "bytecode": content.bytecode if _may_drop_sources(settings) else None,
        "withheld": leaving.withheld[recipe.name],
    }
    return RecipeUse.model_validate({**free, **costly})


def _may_drop_sources(settings: Layer) -> bool:
    """Whether a recipe decides on bytecode: layers.yaml has not."""
    return not {"bytecode", "optimize"} & settings.model_fields_set


def _may_replace_blas(entry: LockedDistribution, settings: Layer) -> bool:
    """Whether a recipe decides on the lite BLAS: layers.yaml has not, and a wheel is used."""
    decided = "lite_blas" in settings.model_fields_set or entry.name in settings.build
    return entry.name == BLAS_OWNER and entry.is_wheel and not decided


UNKNOWN = "something"
"""Stands for who asks for a distribution of which a lock does not say it."""


def orphans(asked_by: Mapping[str, Collection[str]], left_out: Collection[str]) -> dict[str, str]:
    """Return what a layer does not need once some distributions are left out of it.

    Args:
        asked_by: Normalized name to the names of what asks for it.
        left_out: Normalized names that stay out of the layer.

    Returns:
        Normalized name to the name in ``left_out`` that brought it; those names themselves are
        not in it. A distribution that something kept asks for is none, nor is one that nothing
        is known to ask for.
    """
    gone: dict[str, str] = {name: name for name in left_out if name in asked_by}
    changed = True
    while changed:
        changed = False
        for name, via in asked_by.items():
            if name not in gone and via and all(who in gone for who in via):
                gone[name] = gone[next(iter(via))]
                changed = True
    return {name: root for name, root in gone.items() if name not in left_out}


def needed_by(
    asked_by: Mapping[str, Collection[str]],
    wanted: Mapping[str, Collection[str]],
    left_out: Collection[str],
) -> dict[str, str]:
    """Return what cannot be left out, each with one of those that need it.

    A distribution can be left out where everything that asks for it is left out as well or does
    without it.

    Args:
        asked_by: Normalized name to the names of what asks for it.
        wanted: What is to be left out -> the names of those that do without it.
        left_out: Normalized names that stay out in any case.
    """
    found: dict[str, str] = {}
    while True:
        out = {*left_out, *wanted} - found.keys()
        out |= orphans(asked_by, out).keys() - found.keys()
        lacking = {
            name: who
            for name in wanted
            if name not in found
            for who in asked_by.get(name) or (UNKNOWN,)
            if who not in out and who not in wanted[name]
        }
        if not lacking:
            return found
        found |= lacking

"""Says what recipes did to layers: what was left out, what is lost by it, what to set."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from layersmith.assemble.manifest import Manifest
    from layersmith.recipes.models import RecipeUse


def of_build(manifests: Iterable[Manifest]) -> list[str]:
    """Return what recipes cost, and which variables matter: once for a layer, not for a target.

    Args:
        manifests: Of the targets that were built.
    """
    said = (f"{one.layer}: {text}" for one in manifests for text in _notes(one.recipes))
    return list(dict.fromkeys(said))


def warnings(manifest: Manifest) -> list[str]:
    """Return which parts of recipes did nothing in a layer."""
    return [
        f"the recipe of {use.name} names {pattern}, which matches no file of {use.name}"
        f" {use.version}"
        for use in manifest.recipes
        for pattern in use.unmatched
    ]


def _notes(uses: Iterable[RecipeUse]) -> Iterator[str]:
    for use in uses:
        if use.losses:
            yield f"recipe of {use.name}, not in the layer: {'; '.join(_lost(use))}"
        if use.orphans:
            yield f"recipe of {use.name}, needed by nothing else: {', '.join(use.orphans)}"
        if use.withheld:
            kept = ", ".join(f"{name} ({why})" for name, why in sorted(use.withheld.items()))
            yield f"recipe of {use.name}, kept all the same: {kept}"
        for name, variable in use.environment.items():
            yield f"set {name}={variable.value} on its functions: {variable.reason}"


def _lost(use: RecipeUse) -> list[str]:
    """Return what is lost, each once; distributions by name, files by what they are for."""
    named = [f"{name} ({lost})" for name, lost in {**use.excludes, **use.stubs}.items()]
    blas = [use.lite_blas] if use.lite_blas else []
    sources = [f"sources ({use.bytecode.reason})"] if use.bytecode else []
    return [*named, *blas, *sources, *dict.fromkeys(use.prune.values())]

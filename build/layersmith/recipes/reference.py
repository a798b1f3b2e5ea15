"""The page about recipes, docs/recipes.md, and their JSON Schema, from models and data."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING, Any

from layersmith import console
from layersmith.config.schema import RECIPE_SECTIONS, of_keys, of_model
from layersmith.recipes.book import RecipeBook
from layersmith.recipes.models import Recipe

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from layersmith.recipes.book import KnownRecipe
    from layersmith.recipes.models import Measured

INTRODUCTION = """\
# Recipes

This file is generated from build/layersmith/recipes: change the models or the recipes there and run
`python build/layers.py schema --write`.

A recipe is what is known of one distribution: a TOML file with the distribution's normalized name,
`numpy.toml`. layersmith brings those that are listed below.

## How a recipe applies

- A recipe applies to a layer whose lock holds the distribution in a version that fits `versions`.
  Outside of that range nothing of it applies: `build` warns, `recipe check` fails.
- What costs nothing applies by itself: modules that need not be importable (`optional`), files that
  no prune rule removes (`keep`), libraries that are loaded by name (`libraries`), and environment
  variables that functions should set (`environment`).
- What loses something (`prune`, `excludes`, `stubs`, `lite-blas`, `bytecode`) applies where a
  layer, or `defaults`, asks for it:

```yaml
layers:
  search:
    description: vector search
    version: 1.0.0
    requirements: [chromadb-client]
    recipes: all              # or a list: [numpy, pydantic]
```

- The layer's own keys win: what it lists under `prune.keep` stays, what it lists under `excludes`
  or `stubs` is decided, `keep-provided` is never excluded, `lite-blas: false` is respected, and
  with `bytecode` or `optimize` it decides on bytecode for all of its distributions.
- `prune` reckons with the other distributions: what one of their modules imports, or names as an
  attribute of an import (`np.random`), is put back together with what that needs. Only the
  distribution of the recipe itself is expected to do without it. Your own code is not looked at:
  read what is lost.
- `excludes` and `stubs` leave out a dependency only where everything that asks for it is left out
  as well, or is a distribution whose recipe is in use and names it too. What layers.yaml itself
  asks for stays. What only the left out distributions need goes with them.
- `build` prints what every recipe costs, and the manifest records it under `recipes`. A pattern
  that matches nothing is a warning.

## Recipes of your own

`recipe-folder` at the top level of layers.yaml names a folder with recipes in the same format. A
recipe there replaces the one that layersmith brings for the same distribution; `build` says so.

```console
$ layersmith recipe draft mypackage --write     # start one from what smoke and slim find
$ layersmith recipe check mypackage             # build it plain and thin, and compare
$ layersmith recipe list                        # all recipes that there are
```

`recipe check` builds two layers of the requirements of `proof`, one unchanged and one with
`recipes: all`, runs the snippet in both, and compares what it prints. It fails where an answer
differs, the snippet or smoke of the thin layer fails, the locked version is out of range, a pattern
matches nothing, a module under `optional` is not there or imports in both layers, or nothing is
saved. `--write` stores zips and starts as `measured`.
"""


def schema() -> dict[str, Any]:
    """Return the JSON Schema of a recipe."""
    return of_model(Recipe, "recipe of layersmith")


def render() -> str:
    """Return docs/recipes.md.

    Raises:
        ConfigError: A shipped recipe is not valid.
    """
    document = schema()
    definitions = {"Recipe": document, **document["$defs"]}
    parts = {"Recipe": "Keys", **RECIPE_SECTIONS}
    lines = [INTRODUCTION]
    for name, heading in parts.items():
        lines += [*of_keys(heading, name, definitions), ""]
    book = RecipeBook()
    known = [recipe for name in book.names() if (recipe := book.get(name))]
    return "\n".join([*lines, *_table(known), *(line for one in known for line in _one(one))])


def _table(known: list[KnownRecipe]) -> Iterator[str]:
    yield from ("## What there is", "")
    yield "| distribution | versions | zip, plain and thin | start, plain and thin | measured |"
    yield "|---|---|---|---|---|"
    for one in known:
        measured = _newest(one.content.measured)
        figures = _figures(measured) if measured else "- | - | -"
        yield f"| [{one.name}](#{one.name}) | {one.content.versions or 'any'} | {figures} |"
    newest = [_newest(one.content.measured) for one in known]
    yield from ("", _medians([one for one in newest if one]))
    yield ""


def _medians(measured: list[Measured]) -> str:
    zips = statistics.median(one.thin_zip / one.plain_zip for one in measured)
    starts = statistics.median(one.thin_start / one.plain_start for one in measured)
    return (
        f"Median of the {len(measured)} that are measured: the zip is {zips:.2f} of the plain"
        f" layer's, the start {starts:.2f}. Both hold bytecode, and a start is mostly the imports"
        " that the work needs, which a recipe leaves as they are."
    )


def _newest(measured: list[Measured]) -> Measured | None:
    return max(measured, key=lambda one: (one.date, one.runtime), default=None)


def _figures(one: Measured) -> str:
    where = f"{one.version}, {one.runtime} on {one.architecture}, {one.date}"
    sizes = f"{console.megabytes(one.plain_zip)}, {console.megabytes(one.thin_zip)}"
    return f"{sizes} | {one.plain_start:.0f} ms, {one.thin_start:.0f} ms | {where}"


def _one(recipe: KnownRecipe) -> Iterator[str]:
    content = recipe.content
    yield from (f"### {recipe.name}", "")
    free = {
        "need not be importable": content.optional,
        "is always kept": content.keep,
        "is loaded by name": content.libraries,
        "should be set": {
            f"{name}={one.value}": one.reason for name, one in content.environment.items()
        },
    }
    stubs = {name: stub.reason for name, stub in content.stubs.items()}
    blas = {"OpenBLAS": content.lite_blas} if content.lite_blas else {}
    sources = {"*.py": content.bytecode.reason} if content.bytecode else {}
    costly = {
        "is left out with `recipes`": {**content.excludes, **blas, **sources, **content.prune},
        "is replaced by a stub with `recipes`": stubs,
    }
    for what, found in {**free, **costly}.items():
        yield from _list(what, found)
    yield f"Sources: {'; '.join(content.source)}."
    yield ""


def _list(what: str, found: Mapping[str, str]) -> Iterator[str]:
    """Yield what a recipe names, those with one reason together."""
    by_reason: dict[str, list[str]] = {}
    for name, reason in found.items():
        by_reason.setdefault(reason, []).append(f"`{name}`")
    if by_reason:
        yield from (f"What {what}:", "")
        yield from (f"- {', '.join(names)}: {reason}" for reason, names in by_reason.items())
        yield ""

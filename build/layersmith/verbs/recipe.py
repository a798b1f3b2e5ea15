"""`recipe`: list, show, draft and prove recipes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from packaging.utils import canonicalize_name

from layersmith import cache, console, process
from layersmith.base import architectures, runtimes
from layersmith.config import loader
from layersmith.errors import ConfigError, LayersmithError, ManyErrors, ProofError, did_you_mean
from layersmith.recipes.book import SHIPPED, RecipeBook
from layersmith.verbs import options

if TYPE_CHECKING:
    import argparse

    from layersmith.checking import Bench
    from layersmith.prove.models import RecipeCheck
    from layersmith.recipes.book import KnownRecipe

EPILOG = """\
list prints the recipes that there are, show the file of one. check builds two layers of what the
proof of a recipe requires, one unchanged and one with `recipes: all`, runs the snippet in both and
compares what it prints, the zips and the starts; --write stores them in the recipe. draft starts a
recipe: modules that cannot be imported become `optional`; with --snippet, what `slim` finds that
the snippet does not need is left out. docs/recipes.md describes recipes.

examples:
  python build/layers.py recipe list
  python build/layers.py recipe show numpy
  python build/layers.py recipe check numpy pydantic --runner host
  python build/layers.py recipe check --docker --write
  python build/layers.py recipe check --since origin/main
  python build/layers.py recipe draft mypackage --snippet work.py --write
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the sub-verbs and their options."""
    parser.epilog = EPILOG
    verbs = parser.add_subparsers(dest="step", required=True, metavar="list|show|check|draft")
    known = verbs.add_parser("list", help="list the recipes that there are")
    show = verbs.add_parser("show", help="print a recipe")
    show.add_argument("name", metavar="NAME", help="the distribution")
    check = verbs.add_parser("check", help="prove recipes: plain and thin side by side")
    check.add_argument("name", nargs="*", metavar="NAME", help="distributions (default: all)")
    check.add_argument("--since", metavar="REF", help="only recipes that changed since a git ref")
    options.add_starts(check, 5, "5; 0: measure no starts", least=0)
    draft = verbs.add_parser("draft", help="start a recipe")
    draft.add_argument("name", metavar="NAME", help="the distribution")
    draft.add_argument(
        "--require",
        action="append",
        metavar="REQUIREMENT",
        help="what to install (default: NAME; repeatable)",
    )
    draft.add_argument(
        "--snippet", type=Path, metavar="FILE", help="Python that does real work, with asserts"
    )
    for sub in (check, draft):
        sub.add_argument("--write", action="store_true", help="write the recipe, not only print")
        sub.add_argument("--runtime", default=runtimes.DEFAULT, help=f"({runtimes.DEFAULT})")
        sub.add_argument(
            "--arch", default="arm64", choices=architectures.NAMES, help="default: arm64"
        )
        options.add_runner(sub, default="host")
    for sub in (known, show, check, draft):
        options.add_config(sub)


def run(args: argparse.Namespace) -> int:
    """Run the sub-verb."""
    steps = {"list": _list, "show": _show, "check": _check, "draft": _draft}
    return steps[args.step](args)


def _book(args: argparse.Namespace) -> tuple[RecipeBook, Path]:
    """Return the recipes, with a team's own where there is a layers.yaml, and the folder of uv."""
    if not args.config.is_file():
        return RecipeBook(), Path.cwd()
    loaded = loader.load(args.config)
    return options.recipe_book(loaded), loaded.root


def _known(book: RecipeBook, name: str) -> KnownRecipe:
    found = book.get(canonicalize_name(name))
    if found is None:
        raise ConfigError(
            f"there is no recipe for {name}",
            hint=did_you_mean(
                canonicalize_name(name), book.names(), f"run `recipe draft {name}` to start it"
            ),
        )
    return found


def _list(args: argparse.Namespace) -> int:
    book, _ = _book(args)
    known = [_known(book, name) for name in book.names()]
    if args.json:
        console.emit_json(
            [
                {
                    "name": one.name,
                    "file": str(one.path),
                    "team": one.team,
                    **one.content.model_dump(mode="json", by_alias=True, exclude_defaults=True),
                }
                for one in known
            ]
        )
        return 0
    for one in known:
        kind = "leaves something out with `recipes`" if one.content.costs else "costs nothing"
        own = " (yours)" if one.team else ""
        console.emit_text(f"{one.name}{own} {one.content.versions or '(any version)'}: {kind}")
    return 0


def _show(args: argparse.Namespace) -> int:
    found = _known(_book(args)[0], args.name)
    if args.json:
        content = found.content.model_dump(mode="json", by_alias=True, exclude_defaults=True)
        console.emit_json({"name": found.name, "file": str(found.path), **content})
    else:
        console.emit_text(found.path.read_text("utf-8").rstrip())
    return 0


def _bench(args: argparse.Namespace, book: RecipeBook, root: Path) -> Bench:
    from layersmith.checking import Bench  # noqa: PLC0415 -- start-up time

    runtimes.get(args.runtime)
    starts = getattr(args, "starts", 0)
    return Bench(book, root, args.runtime, args.arch, args.runner, args.image, starts)


def _check(args: argparse.Namespace) -> int:
    """Prove recipes.

    Raises:
        ManyErrors: Recipes are not proven; the others were.
    """
    from layersmith import checking  # noqa: PLC0415 -- start-up time

    book, root = _book(args)
    names = args.name or book.names()
    if args.since:
        changed = _changed(book, args.since)
        names = [name for name in names if canonicalize_name(name) in changed]
    recipes = [_known(book, name) for name in names]
    bench = _bench(args, book, root)
    reports: list[RecipeCheck] = []
    errors: list[LayersmithError] = []
    for recipe in recipes:
        try:
            found = checking.check(recipe, bench)
            if args.write:
                checking.store(recipe, found)
        except LayersmithError as problem:
            problem.target = f"recipe of {recipe.name}"
            errors.append(problem)
            continue
        reports.append(found)
        if found.problems:
            text = "\n".join(found.problems)
            errors.append(ProofError(f"not proven: {text}", target=f"recipe of {recipe.name}"))
        elif not args.json:
            _say(found)
    if args.json:
        console.emit_json([report.model_dump(mode="json") for report in reports])
    elif not recipes:
        console.info("no recipe changed")
    if errors:
        raise ManyErrors(errors)
    return 0


def _changed(book: RecipeBook, since: str) -> set[str]:
    """Return the recipes whose file or stubs changed since a git ref, in the working tree too.

    Raises:
        ConfigError: git cannot tell.
    """
    names = set()
    for folder in {path for path in (SHIPPED, book.team) if path}:
        asked = ["git", "diff", "--name-only", "--relative", since, "--", "."]
        try:
            said = process.run(asked, cwd=folder).stdout
        except process.CommandFailed as problem:
            raise ConfigError(f"git cannot compare with {since}", cause=problem.output) from None
        paths = [folder / line for line in said.splitlines()]
        for name in book.names():
            one = _known(book, name)
            stubs = [one.stub(each) for each in one.content.stubs]
            if any(path == one.path or any(s in path.parents for s in stubs) for path in paths):
                names.add(name)
    return names


def _say(found: RecipeCheck) -> None:
    if found.plain is None or found.thin is None:
        console.info(f"{found.name}: costs nothing, and has no proof to run")
        return
    plain, thin = found.plain, found.thin
    starts = ""
    if plain.start_ms is not None and thin.start_ms is not None:
        starts = f", start {plain.start_ms:,.0f} to {thin.start_ms:,.0f} ms"
    console.success(
        f"{found.name} {found.version}: same answers; zip {console.megabytes(plain.zipped, 2)} to"
        f" {console.megabytes(thin.zipped, 2)}{starts}, {found.runner}"
    )


def _draft(args: argparse.Namespace) -> int:
    """Start a recipe.

    Raises:
        ConfigError: There is one already, or no folder to write it to.
    """
    from layersmith import checking  # noqa: PLC0415 -- start-up time

    book, root = _book(args)
    name = canonicalize_name(args.name)
    place = _place(book, name) if args.write else None
    if args.snippet is not None and not args.snippet.is_file():
        raise ConfigError(f"there is no file {args.snippet}")
    snippet = args.snippet.read_text("utf-8") if args.snippet else None
    text = checking.draft(name, _bench(args, book, root), args.require or [name], snippet)
    if place is not None:
        cache.write_text(place, text)
        console.success(f"wrote {place}; say what is lost, and run `recipe check {name}`")
    if args.json:
        console.emit_json({"name": name, "file": str(place) if place else None, "text": text})
    elif place is None:
        console.emit_text(text.rstrip())
    return 0


def _place(book: RecipeBook, name: str) -> Path:
    own = SHIPPED if SHIPPED.is_relative_to(Path.cwd()) else None
    folder = book.team or own
    if folder is None:
        raise ConfigError(
            "there is no folder to write a recipe to",
            hint="name one in layers.yaml as `recipe-folder`, or leave --write out",
        )
    place = folder / f"{name}.toml"
    if place.exists():
        raise ConfigError(f"{place} exists already", hint="edit it, or leave --write out")
    return place

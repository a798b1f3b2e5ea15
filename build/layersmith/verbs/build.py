"""`build`: make the zip, manifest and SBOM of every target."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import yaml
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from layersmith import cache, console, lock, repeats
from layersmith.assemble import budgets, files, outputs
from layersmith.audit import together
from layersmith.base import runtimes
from layersmith.config import loader
from layersmith.errors import BudgetError, ConfigError, LayersmithError, ManyErrors
from layersmith.lock import provided
from layersmith.lock import targets as locking
from layersmith.pipeline import Build
from layersmith.plan import plan
from layersmith.report import tables, unmatched
from layersmith.verbs import options
from layersmith.weigh import claims

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from layersmith.assemble.manifest import Manifest
    from layersmith.config.loader import LoadedConfig
    from layersmith.pipeline import BuildResult

EPILOG = """\
what it does to a target:
  check the lock, fetch what the cache lacks, drop what the runtime provides, apply excludes and
  stubs, prune, strip, compile bytecode, audit every ELF file, judge the budgets, and write
  dist/<layer>-<version>-<runtime>-<arch>.zip with its manifest (.json) and SBOM (.cdx.json).
  dist/latest/<layer>-<runtime>-<arch>.zip is the same file under a name that stays, and
  dist/index.json lists what was built last of every target.
  A function with `package: true` is built the same way, without a version in the name.
  The same inputs give the same bytes on every machine; a second run does nothing.

examples:
  python build/layers.py build
  python build/layers.py build imaging --runtime python3.13 --json
  python build/layers.py build --baseline last-release/   judge budgets.growth against it
  python build/layers.py build requests pillow --runtime python3.13     where no layers.yaml is:
                                       one layer of these requirements, into dist/
"""

AD_HOC = Path("dist") / "ad-hoc"
"""Where a layer that no layers.yaml names is described and locked, below the working directory:
uv's configuration of that folder holds for it."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of the verb."""
    parser.epilog = EPILOG
    options.add_filters(parser)
    options.add_dist(parser)
    parser.add_argument(
        "--baseline",
        type=Path,
        metavar="DIR",
        help="folder with the manifests of the last release, for budgets.growth",
    )
    parser.add_argument(
        "--before",
        type=Path,
        metavar="DIR",
        help="folder with the manifests of the main branch, for the step summary on GitHub",
    )
    parser.add_argument(
        "--force", action="store_true", help="rebuild targets even if they are up to date"
    )


def run(args: argparse.Namespace) -> int:
    """Run the verb.

    Raises:
        ManyErrors: Targets failed; the others were built.
    """
    if args.layer and not args.config.exists():
        _describe(args)
    loaded, targets = options.chosen(args, packages=True)
    functions = [target.function for target in targets if target.function]
    if args.layer and functions:
        # They are judged and proven together.
        args.layer += {layer for function in functions for layer in function.layers}
        loaded, targets = options.chosen(args, packages=True)
    options.warn_of_deprecated(target.runtime.name for target in targets)
    results = Build(
        root=loaded.root,
        dist=args.dist,
        baseline=args.baseline,
        force=args.force,
        quiet=args.quiet or args.json,
        planned=plan(loaded.config, packages=True),
        where=partial(options.place, loaded),
        config=loaded.path,
    ).run(targets)
    if args.json:
        console.emit_json([tables.as_json(result) for result in results])
    else:
        tables.show(results)
    before = tables.manifests_in(args.before)
    tables.step_summary(tables.summary("Layers built", tables.built(results), before))
    _set_outputs(args.dist, results)
    made = [result.manifest for result in results if result.manifest]
    _warn(loaded, made, args.dist)
    _say_all(results, loaded.root)
    errors = [result.error for result in results if result.error]
    try:
        fitting = budgets.check_functions(loaded.config, made, loaded.root)
    except BudgetError as problem:
        errors += problem.parts or [problem]
    if errors:
        raise ManyErrors(errors)
    if {result.status for result in results} == {"unchanged"} and not args.force:
        repeats.allow(loaded.root, *outputs.paths(args.dist, targets))
    if fitting:
        console.info(f"every function fits with its layers; the largest is {fitting[0]}")
    return 0


def _set_outputs(dist: Path, results: Sequence[BuildResult]) -> None:
    """Tell the running GitHub step where the artifacts are."""
    zips = [dist / one.manifest.artifact.filename for one in results if one.manifest]
    index = dist / "index.json"
    tables.step_outputs(
        dist=str(dist.resolve()),
        zips=[str(path.resolve()) for path in zips],
        index=str(index.resolve()) if index.is_file() else "",
    )


def _describe(args: argparse.Namespace) -> None:
    """Write a layers.yaml for requirements on the command line, lock it, and have it built.

    Raises:
        ConfigError: A word is not a requirement, and there is no layers.yaml with such a layer.
        ManyErrors: The requirements do not resolve for a target.
    """
    names = [_name(word) for word in args.layer]
    layer = {"description": "built ad hoc", "version": "0.0.0", "requirements": args.layer}
    targets = {
        "runtimes": args.runtime or [runtimes.DEFAULT],
        "architectures": args.arch or ["arm64"],
    }
    text = yaml.safe_dump({"layers": {names[0]: {**layer, **targets}}}, sort_keys=False)
    args.config, args.layer = AD_HOC / names[0] / loader.FILE_NAME, []
    cache.write_text(args.config, text)
    loaded, chosen = options.chosen(args)
    results = locking.update(chosen, loaded.root, quiet=args.quiet or args.json)
    errors: list[LayersmithError] = [result.error for result in results if result.error]
    if errors:
        raise ManyErrors(errors)
    console.info(f"to keep this layer, start from {args.config.as_posix()} and its locks/")


def _name(word: str) -> str:
    """Return the name of a layer for a requirement."""
    hint = "`python build/layers.py init` writes a layers.yaml for the files of a repository"
    options.refuse_file(word, hint)
    try:
        return canonicalize_name(Requirement(word).name)
    except InvalidRequirement as problem:
        raise ConfigError(
            f"{word!r} is not a requirement: {str(problem).splitlines()[0]}",
            cause="there is no layers.yaml here or above, so the words are taken as requirements",
            hint="quote requirements for the shell: build 'chromadb==1.5.9'",
        ) from None


def _warn(loaded: LoadedConfig, made: list[Manifest], dist: Path) -> None:
    """Warn of what concerns several layers, or a key of layers.yaml."""
    for note in {manifest.bytecode.note for manifest in made}:
        if note:
            console.warn(note)
    for said in [*unmatched.in_locks(loaded, {}), *unmatched.in_layers(loaded, made)]:
        console.warn(said)
    for one in together.check(loaded.config, made, dist):
        console.warn(f"{one.code}: {one.what}; {one.next}")


def _say_all(results: Sequence[BuildResult], root: Path) -> None:
    for result in results:
        _say(result, root)
    for said in tables.of_build(one.manifest for one in results if one.manifest):
        console.info(said)


def _say(result: BuildResult, root: Path) -> None:
    """Say what a user should know of a layer that was built."""
    target, manifest = result.target, result.manifest
    if manifest is None:
        return
    for said in provided.notes_on(target, manifest.inputs.requirements):
        console.info(f"{target.identifier}: {said}")
    hidden = [one.files for one in manifest.pruned if one.rule == files.HIDDEN]
    if hidden:
        left = console.counted(sum(hidden), "hidden file")
        console.info(f"{target.identifier}: left out of its code: {left} (or folders)")
    claimed = claims.notes(target, lock.check(target, root), root, ask=False)
    warnings = [*target.recipes.warnings, *tables.warnings(manifest)]
    for said in [*claimed, *warnings, *manifest.audit.warnings]:
        console.warn(f"{target.identifier}: {said}")

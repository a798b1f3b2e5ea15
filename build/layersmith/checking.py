"""Proves recipes and drafts them: builds layers in a folder of their own, and starts those.

Like the pipeline it stands above the rooms: it needs both the build and the proofs.
"""

from __future__ import annotations

import contextlib
import datetime
import re
import tempfile
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from packaging.version import Version

from layersmith import cache, lock, slimming
from layersmith.base import modules
from layersmith.base.toml import dumps
from layersmith.config import loader
from layersmith.errors import ConfigError, ProofError
from layersmith.lock import targets as locking
from layersmith.pipeline import Build
from layersmith.plan import plan
from layersmith.prove import runners, twin
from layersmith.prove.cold import measure as cold
from layersmith.prove.models import CheckedSide, RecipeCheck
from layersmith.prove.smoke import layer as smoke
from layersmith.recipes.models import Measured, Recipe

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from layersmith.assemble.manifest import Manifest
    from layersmith.plan import Target
    from layersmith.prove.models import FunctionSpec, RunnerKind, SmokeReport
    from layersmith.prove.runners import Runner
    from layersmith.recipes.book import KnownRecipe, RecipeBook

FUNCTION = '''\
"""Runs a recipe's snippet, and answers with what it prints."""

import contextlib
import io

SNIPPET = {snippet!r}


def handler(event, context):
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(SNIPPET, "snippet", "exec"), {{"__name__": "snippet"}})
    return printed.getvalue()
'''

TEST = "test_snippet.py"
MEASURED = "[[measured]]"
MISSING = re.compile(r"No module named '(?P<module>\w+)")
UNSAID = "not used by the snippet: say what is lost"
"""What a draft says of a pattern; its author knows more."""


@dataclass(frozen=True)
class Bench:
    """Where recipes are tried.

    Attributes:
        book: The recipes that there are.
        root: Folder in which uv looks for its configuration.
        runtime: Name of the runtime.
        architecture: What layers are built for.
        kind: ``docker`` or ``host``.
        image: Name of an image instead of the one that would be chosen.
        starts: Fresh processes for each layer.
    """

    book: RecipeBook
    root: Path
    runtime: str
    architecture: str = "arm64"
    kind: RunnerKind = "host"
    image: str | None = None
    starts: int = 5

    @contextlib.contextmanager
    def layers(self, test: str = "", **layers: Mapping[str, Any]) -> Iterator[Workplace]:
        """Give a folder with locked layers, and remove it afterwards.

        Args:
            test: Text of a file that layers may name as their smoke file, ``TEST``.
            layers: Name to settings; what every layer needs is added.

        Raises:
            LayersmithError: The settings are not valid, or there is no solution.
        """
        # Below layers.yaml, so that uv finds the same configuration as for its layers.
        own = (self.root / loader.FILE_NAME).is_file()
        folder = self.root / "dist" if own else Path(tempfile.gettempdir())
        folder.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="layersmith-recipe-", dir=folder) as name:
            root = Path(name)
            common = {"version": "1.0.0", "description": "a recipe on trial"}
            target = {"runtimes": [self.runtime], "architectures": [self.architecture]}
            document = {key: {**common, **target, **one} for key, one in layers.items()}
            (root / TEST).write_text(test, encoding="utf-8")
            (root / loader.FILE_NAME).write_text(yaml.safe_dump({"layers": document}), "utf-8")
            targets = plan(loader.load(root).config, book=self.book)
            for result in locking.update(targets, root, quiet=True):
                if result.error:
                    raise result.error
            yield Workplace(root, [lock.with_recipes(target, root) for target in targets])

    def runner(self, target: Target) -> Runner:
        """Return a runner for a target, not yet open.

        Raises:
            ProofError: It cannot work on this machine.
        """
        return runners.make(self.kind, target.runtime, target.architecture, image=self.image)


@dataclass(frozen=True)
class Workplace:
    """Locked layers in a folder of their own."""

    root: Path
    targets: list[Target]
    built: dict[str, Manifest] = field(default_factory=dict)

    def build(self) -> None:
        """Build every layer.

        Raises:
            LayersmithError: One does not build.
        """
        for result in Build(self.root, self.root / "dist", quiet=True).run(self.targets):
            if result.manifest is None:
                assert result.error is not None
                raise result.error
            self.built[result.target.layer] = result.manifest

    def zipped(self, target: Target) -> Path:
        """Return the zip of a target."""
        return self.root / "dist" / f"{target.stem}.zip"


def check(recipe: KnownRecipe, bench: Bench) -> RecipeCheck:
    """Build layers without a recipe and with all of them, and run the recipe's snippet in both.

    Raises:
        LayersmithError: A layer does not build, or the runtime does not come up.
    """
    proof = recipe.content.proof
    facts = {"name": recipe.name, "runtime": bench.runtime, "architecture": bench.architecture}
    if proof is None:
        problems = ["it leaves something out and has no proof"] if recipe.content.costs else []
        return RecipeCheck(**facts, problems=problems)
    settings = {
        "requirements": proof.requirements or [recipe.name],
        # A recipe of what the runtime brings is proven with what the lock brings.
        "keep-provided": [recipe.name],
    }
    with bench.layers(plain=settings, thin={**settings, "recipes": "all"}) as place:
        place.build()
        with bench.runner(place.targets[0]) as opened:
            specs = {
                target.layer: _function(target, place, recipe, opened) for target in place.targets
            }
            answers = {layer: _answer(spec, opened) for layer, spec in specs.items()}
            failed = any(failure for _, failure in answers.values())
            starts = {} if failed else _starts(specs, place, opened, bench.starts)
            reports = {
                target.layer: smoke.prove(_subject(target, place), opened)
                for target in place.targets
            }
        sides = {
            layer: CheckedSide(
                zipped=place.built[layer].artifact.zipped,
                unzipped=place.built[layer].artifact.unzipped,
                start_ms=starts.get(layer),
                answer=answer,
                failure=failure,
            )
            for layer, (answer, failure) in answers.items()
        }
        thin = next(target for target in place.targets if target.layer == "thin")
        problems = [
            *_problems(recipe, place.built["thin"], thin),
            *_differences(recipe, sides),
            *_smoked(recipe, place, bench, reports),
        ]
        version = _version(place.built["thin"], recipe.name)
        return RecipeCheck(
            **facts,
            version=version,
            runner=opened.facts.described,
            plain=sides["plain"],
            thin=sides["thin"],
            problems=problems,
        )


def _function(
    target: Target, place: Workplace, recipe: KnownRecipe, runner: Runner
) -> FunctionSpec:
    """Return a function that runs the recipe's snippet with a layer."""
    assert recipe.content.proof is not None
    snippet = recipe.content.proof.snippet
    manifest, folder = place.built[target.layer], place.root / f"on-{target.layer}"
    folder.mkdir()
    script = folder / "snippet.py"
    script.write_text(FUNCTION.format(snippet=snippet), encoding="utf-8")
    layers = twin.placed([(place.zipped(target), manifest)], runner, folder / "twin")
    code = cold.function(folder / "code", script)
    return cold.specification(code, layers, manifest.variables)


def _answer(spec: FunctionSpec, runner: Runner) -> tuple[str, str | None]:
    """Return what the snippet prints, and how it fails."""
    with runner.start(spec) as instance:
        answer, error = "", instance.init.error
        if error is None:
            result = instance.invoke({})
            error = result.error
            answer = str(result.payload["answer"]) if result.payload else ""
        if error is None:
            return answer, None
        return answer, "\n".join([str(error), *error.trace, instance.logs()[-2000:]]).strip()


def _starts(
    specs: Mapping[str, FunctionSpec], place: Workplace, runner: Runner, starts: int
) -> dict[str, float]:
    """Return the median start of each layer in milliseconds, measured in turns."""
    if not starts:
        return {}
    timed = [
        cold.Startable(layer, spec, place.built[layer].artifact.unzipped)
        for layer, spec in specs.items()
    ]
    return {one.name: one.total.median for one in cold.in_turns(timed, runner, starts)}


def _smoked(
    recipe: KnownRecipe, place: Workplace, bench: Bench, reports: Mapping[str, SmokeReport]
) -> Iterator[str]:
    """Yield what does not import with the recipe, and the optional modules that need not be said.

    That is what is not there, and what imports with the recipe and without it.
    """
    if not reports["thin"].ok:
        yield f"smoke of the thin layer: {reports['thin'].problems[0]}"
    failed: set[str] = set()
    for report in reports.values():
        failed |= {*report.imports.optional}
        failed |= {name for one in report.imports.failed for name in (one.module, *one.hidden)}
    paths = [file.path for manifest in place.built.values() for file in manifest.files]
    named = [one.name for one in modules.modules_of(paths)]
    for pattern in recipe.content.optional:
        if not any(modules.excepted(name, {pattern: ""}) for name in named):
            yield f"optional: {pattern} matches no module of the layer"
        elif not any(modules.excepted(name, {pattern: ""}) for name in failed):
            said = f"optional: {pattern} imports, with the recipe and without it"
            # A machine may have libraries that Lambda's runtime lacks: libpq, for psycopg.
            where = "; --docker tells whether it does in the Lambda runtime"
            yield said + where * (bench.kind == "host")


def _problems(recipe: KnownRecipe, thin: Manifest, target: Target) -> Iterator[str]:
    """Yield what does not fit the locked version."""
    use = next((one for one in thin.recipes if one.name == recipe.name), None)
    if use is None:
        said = [one for one in target.recipes.warnings if f"of {recipe.name} " in one]
        yield said[0] if said else f"{recipe.name} is not in the layer of its own proof"
        return
    yield from (f"{pattern} matches no file of {use.version}" for pattern in use.unmatched)
    # What its own sample keeps, the recipe leaves out of no layer.
    yield from (f"{name} stays in the layer: {why}" for name, why in use.withheld.items())


def _differences(recipe: KnownRecipe, sides: Mapping[str, CheckedSide]) -> Iterator[str]:
    for name, side in sides.items():
        if side.failure:
            yield f"the snippet fails in the {name} layer: {side.failure}"
    plain, thin = sides["plain"], sides["thin"]
    if plain.failure or thin.failure:
        return
    if plain.answer != thin.answer:
        yield f"the snippet prints {plain.answer!r} plain and {thin.answer!r} thin"
    if recipe.content.costs and thin.zipped >= plain.zipped:
        yield f"it saves nothing: {plain.zipped:,} bytes plain, {thin.zipped:,} thin"


def _version(manifest: Manifest, name: str) -> str | None:
    known = {one.name: one.version for one in manifest.distributions}
    return known.get(name)


def store(recipe: KnownRecipe, found: RecipeCheck) -> None:
    """Write what was measured into a recipe, in the place of what it has for the same target.

    Raises:
        ConfigError: Something follows its ``[[measured]]`` tables.
    """
    if not (found.plain and found.thin and found.version) or found.problems:
        return
    if found.plain.start_ms is None or found.thin.start_ms is None:
        return
    text = recipe.path.read_text("utf-8")
    head, mark, tail = text.partition(f"\n{MEASURED}")
    if mark and set(tomllib.loads(f"{MEASURED}{tail}")) != {"measured"}:
        raise ConfigError(
            f"{recipe.path.name}: other tables follow {MEASURED}",
            hint=f"move {MEASURED} to the end of the file",
            file=str(recipe.path),
        )
    new = Measured(
        runtime=found.runtime,
        architecture=found.architecture,
        version=str(Version(found.version)),
        plain_zip=found.plain.zipped,
        thin_zip=found.thin.zipped,
        plain_start=round(found.plain.start_ms, 1),
        thin_start=round(found.thin.start_ms, 1),
        date=datetime.datetime.now(datetime.UTC).date(),
    )
    where = (new.runtime, new.architecture)
    others = [o for o in recipe.content.measured if (o.runtime, o.architecture) != where]
    every = sorted([*others, new], key=lambda one: (one.runtime, one.architecture))
    blocks = [f"{MEASURED}\n{dumps(one.model_dump(mode='json', by_alias=True))}" for one in every]
    cache.write_text(recipe.path, "\n".join([head.rstrip("\n"), "", "\n".join(blocks)]))


def draft(name: str, bench: Bench, requirements: Sequence[str], snippet: str | None) -> str:
    """Return the text of a recipe: what smoke finds optional and, with a snippet, slim needless.

    Args:
        name: Normalized name of the distribution.
        bench: Where it is tried.
        requirements: What is installed for it (PEP 508).
        snippet: Real work; without it nothing is left out.

    Raises:
        LayersmithError: The layer does not build, or its proofs cannot be run.
    """
    settings: dict[str, Any] = {"requirements": [*requirements], "keep-provided": [name]}
    with bench.layers(plain=settings) as place:
        place.build()
        [target] = place.targets
        with bench.runner(target) as opened:
            report = smoke.prove(_subject(target, place), opened)
        version = _version(place.built["plain"], name)
    optional = _optional(report)
    content: dict[str, Any] = {
        "versions": _versions(version) if version else "",
        "source": [f"draft of {name} {version}: say where each fact is from"],
    }
    tables: dict[str, dict[str, str]] = {"optional": optional}
    if snippet is not None:
        test = f"SNIPPET = {snippet!r}\n\n\ndef test_snippet():\n    exec(SNIPPET, {{}})\n"
        trial = {**settings, "smoke": TEST, "import-exceptions": optional}
        with bench.layers(test, plain=trial) as place, tempfile.TemporaryDirectory() as folder:
            options = slimming.SlimOptions(
                place.root, Path(folder), kind=bench.kind, image=bench.image
            )
            found = slimming.slim(place.targets, options).survived
        for one in found:
            table = "prune" if one.kind == "prune" else "excludes"
            tables.setdefault(table, {})[one.pattern] = UNSAID
    return _rendered(content, tables, requirements, snippet or f"import {name.replace('-', '_')}\n")


def _subject(target: Target, place: Workplace) -> smoke.Subject:
    return smoke.Subject(
        identifier=target.identifier,
        layer=place.zipped(target),
        architecture=target.architecture,
        manifest=place.built[target.layer],
    )


def _optional(report: SmokeReport) -> dict[str, str]:
    found: dict[str, str] = {}
    for failed in report.imports.failed:
        first = failed.failure.chain[-1] if failed.failure.chain else None
        missing = MISSING.search(first.message) if first else None
        reason = f"needs {missing['module']}" if missing else f"{first}"[:160]
        found |= dict.fromkeys([failed.module, *failed.hidden], reason)
    return dict(sorted(found.items()))


def _versions(version: str) -> str:
    """Return the range up to the next version that may break: the major one, or the minor of 0."""
    release = Version(version).release
    first = [0, (release[1] if len(release) > 1 else 0) + 1] if not release[0] else [release[0] + 1]
    return f">={version},<{'.'.join(map(str, first))}"


def _rendered(
    content: Mapping[str, Any],
    tables: Mapping[str, Mapping[str, str]],
    requirements: Sequence[str],
    snippet: str,
) -> str:
    lines = [dumps({key: value for key, value in content.items() if value})]
    lines += [f"[{name}]\n{dumps(table)}" for name, table in tables.items() if table]
    quotes = '"""' if "'''" in snippet else "'''"
    lines.append(
        f"[proof]\n{dumps({'requirements': list(requirements)})}snippet = {quotes}\n"
        f"{snippet.rstrip()}\n{quotes}\n"
    )
    text = "\n".join(lines)
    try:
        Recipe.model_validate(tomllib.loads(text), by_alias=True, by_name=False)
    except ValueError as problem:
        raise ProofError(
            "the draft is not a valid recipe", cause=str(problem)[:1000], hint="report it"
        ) from None
    return text

"""Finds what a layer can do without: builds copies that lack it, and proves each.

Like the pipeline it stands above the rooms: it needs both the build and the proofs.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from layersmith import cache, console, lock
from layersmith.assemble import outputs
from layersmith.config.models import Budgets, BytecodeMode
from layersmith.errors import LayersmithError, ProofError
from layersmith.pipeline import Build
from layersmith.prove import runners
from layersmith.prove.cold.variants import Built, Way
from layersmith.prove.slim import names as slim_names
from layersmith.prove.slim import propose
from layersmith.prove.slim import trace as slim_trace
from layersmith.prove.slim.models import SlimRecord, SlimReport, TargetWeight, WatchRecord, Weight
from layersmith.prove.slim.search import Search, TrialVerdict
from layersmith.prove.smoke import layer as smoke
from layersmith.recipes.apply import AppliedRecipes

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from pathlib import Path

    from layersmith.assemble.manifest import Manifest
    from layersmith.plan import Target
    from layersmith.prove.cold.models import VariantName
    from layersmith.prove.models import RunnerKind, SmokeReport
    from layersmith.prove.runners import Runner
    from layersmith.prove.slim.models import Candidate, Risk


@dataclass(frozen=True)
class SlimOptions:
    """How to search.

    Attributes:
        root: Folder of layers.yaml.
        folder: An empty folder for copies.
        kind: ``docker`` or ``host``.
        image: Name of an image instead of the one that would be chosen.
        bold: Try what loaded code names, and data, too.
        at_least: Bytes under /opt below which a candidate is not worth a line.
        limit: How many copies to build and prove at most, a target.
        dist: Folder of the artifacts; what was watched is recorded beside a zip that is there.
    """

    root: Path
    folder: Path
    kind: RunnerKind = "host"
    image: str | None = None
    bold: bool = False
    at_least: int = 10_000
    limit: int = 40
    dist: Path | None = None


@dataclass
class Copies:
    """Builds copies of one target and proves them.

    Attributes:
        target: As layers.yaml has it.
        options: How to search.
        runner: An open runner.
        last: Manifest and report of the last copy that passed.
    """

    target: Target
    options: SlimOptions
    runner: Runner
    last: tuple[Manifest, SmokeReport] | None = None
    _count: int = field(default=0)

    def prove(self, without: Sequence[Candidate]) -> TrialVerdict:
        """Build and prove the target without some candidates."""
        self._count += 1
        slimmer = lacking(self.target, without)
        dist = self.options.folder / f"{self.target.identifier}-{self._count}"
        [result] = Build(self.options.root, dist, quiet=True).run([slimmer])
        if result.manifest is None:
            return TrialVerdict(texts=(str(result.error),))
        try:
            return self._judge(slimmer, result.manifest, dist)
        finally:
            if without:
                # Copies would crowd the cache; the unchanged layer stays there.
                folder = outputs.cache_folder(result.manifest.inputs.digest)
                shutil.rmtree(folder, ignore_errors=True)
                shutil.rmtree(dist)

    def trace(self) -> tuple[Manifest, Path, frozenset[str]]:
        """Prove the target unchanged.

        Returns:
            Its manifest, a zip of it with sources, and the units that its proofs touched.

        Raises:
            ConfigError: It has no smoke file.
            ProofError: It does not pass its proofs.
        """
        dist = self.options.folder / self.target.identifier
        [result] = Build(self.options.root, dist, quiet=True).run([self.target])
        if result.manifest is None:
            assert result.error is not None
            raise result.error
        zipped = dist / f"{self.target.stem}.zip"
        subject = self._subject(self.target, result.manifest, dist)
        folder = self.options.folder / f"{self.target.identifier}-watched"
        folder.mkdir()
        first_call = self._first_call(result.manifest, zipped)
        found = slim_trace.touched(subject, self.runner, first_call, folder)
        verdict = self._judge(self.target, result.manifest, dist)
        if not verdict.ok:
            raise ProofError(
                "does not pass its proofs unchanged",
                target=self.target.identifier,
                cause="\n".join([*verdict.texts, *(text for _, text in verdict.broken)])[:2000],
                hint="fix the layer first; run `python build/layers.py smoke` for details",
            )
        self._record(result.manifest, found, first_call)
        return result.manifest, self._readable(zipped), found

    def _record(self, manifest: Manifest, found: Collection[str], first_call: Path | None) -> None:
        """Keep what was loaded beside the zip in dist/, for what asks later, e.g. `advisories`."""
        dist = self.options.dist
        if dist is None or not (dist / manifest.artifact.filename).is_file():
            return
        proofs = [self.target.settings.smoke, first_call and "the first call of coldstart"]
        made = WatchRecord(
            identifier=manifest.identifier,
            sha256=manifest.artifact.sha256,
            runner=self.runner.facts,
            proofs=[one for one in proofs if one],
            loaded=slim_trace.in_zip((one.path for one in manifest.files), found),
        )
        path = dist / f"{self.target.stem}.watched.json"
        cache.write_text(path, made.model_dump_json(indent=1) + "\n")

    def _readable(self, zipped: Path) -> Path:
        """Return a zip of the target with sources, as names are read from those."""
        settings = self.target.settings
        if settings.bytecode is not BytecodeMode.ONLY:
            return zipped
        changed = settings.model_copy(update={"bytecode": BytecodeMode.UNCHECKED_HASH})
        # With sources it may well be larger than it may be.
        changed = changed.model_copy(update={"budgets": Budgets()})
        target = replace(self.target, settings=changed)
        dist = self.options.folder / f"{target.identifier}-readable"
        [result] = Build(self.options.root, dist, quiet=True).run([target])
        if result.error:
            raise result.error
        return dist / f"{target.stem}.zip"

    def _judge(self, target: Target, manifest: Manifest, dist: Path) -> TrialVerdict:
        subject = self._subject(target, manifest, dist)
        report = smoke.prove(subject, self.runner)
        tests = report.smoke.tests if report.smoke else []
        texts = [f"{test.name}: {test.text}" for test in tests if test.outcome == "failed"]
        if report.forbidden and (report.forbidden.present or report.forbidden.loaded):
            texts += [text for text in report.problems if "forbid" in text]
        broken = [
            (module, "\n".join(map(str, failed.failure.chain)))
            for failed in report.imports.failed
            for module in (failed.module, *failed.hidden)
        ]
        if not texts and not broken:
            first_call = self._first_call(manifest, subject.layer)
            said = (
                slim_trace.why_first_call_fails(first_call, subject, self.runner)
                if first_call
                else None
            )
            texts += [said] if said else list(report.problems)
        if not texts and not broken:
            self.last = (manifest, report)
        return TrialVerdict(tuple(texts), tuple(broken))

    def _first_call(self, manifest: Manifest, layer: Path) -> Path | None:
        return Built(self.target, manifest, layer, self.options.root).handler("layer")

    def _subject(self, target: Target, manifest: Manifest, dist: Path) -> smoke.Subject:
        settings = target.settings
        return smoke.Subject(
            identifier=target.identifier,
            layer=dist / f"{target.stem}.zip",
            architecture=target.architecture,
            manifest=manifest,
            smoke=self.options.root / settings.smoke if settings.smoke else None,
            exceptions=settings.import_exceptions,
            forbidden=settings.forbid_imports,
            beside=self._beside(),
        )

    def _beside(self) -> list[tuple[Path, Manifest]]:
        """Build the layers that lie beside the target, once, and return them."""
        dist = self.options.folder / "beside"
        for result in Build(self.options.root, dist, quiet=True).run(self.target.beside):
            if result.error:
                raise result.error
        return outputs.built(self.target.beside, dist)


def slim(targets: Sequence[Target], options: SlimOptions) -> SlimReport:
    """Find what all targets of one layer can do without.

    The first target is watched and searched; the others have to pass with what survived there.

    Args:
        targets: Of one layer, at least one.
        options: How to search.

    Raises:
        ConfigError: The layer has no smoke file.
        LayersmithError: It is not built, or not proven, unchanged.
    """
    survived: list[Candidate] = []
    offered: list[Candidate] = []
    weights: list[TargetWeight] = []
    searches: list[Search] = []
    needless: set[str] | None = None
    touched = 0
    for target in targets:
        made = runners.make(options.kind, target.runtime, target.architecture, image=options.image)
        with made as opened:
            copies = Copies(target, options, opened)
            console.info(f"{target.identifier}: watching its proofs, {opened.facts.described}")
            manifest, zipped, used = copies.trace()
            search = Search(copies.prove, limit=options.limit)
            if not searches:
                touched = len(used)
                survived, offered, search.spare = candidates(manifest, zipped, used, options)
            before = _report_of(copies)
            survived = search.run(survived)
            after = _report_of(copies)
        searches.append(search)
        unneeded = set(after[1].imports.unneeded) - set(before[1].imports.unneeded)
        needless = unneeded if needless is None else needless & unneeded
        weights.append(
            TargetWeight(
                identifier=target.identifier,
                runner=after[1].runner,
                before=_weight(before[0]),
                after=_weight(after[0]),
            )
        )
    if options.limit:
        _keep(survived, targets, options.dist)
    layer = targets[0].layer
    return SlimReport(
        layer=layer,
        targets=weights,
        touched=touched,
        survived=survived,
        rejected=[one for search in searches for one in search.rejected],
        offered=offered,
        needless_exceptions=sorted(needless or ()),
        proofs=sum(search.trials for search in searches),
        fragment=propose.fragment(layer, survived, sorted(needless or ())),
    )


def candidates(
    manifest: Manifest, zipped: Path, used: frozenset[str], options: SlimOptions
) -> tuple[list[Candidate], list[Candidate], list[Candidate]]:
    """Return what to try, what is too risky without ``bold``, and what is too small."""
    names = slim_names.Names(zipped)
    loaded = [name for name, path in names.modules.items() if slim_trace.unit(path) in used]
    found = propose.propose(manifest, used, names.reached(loaded))
    allowed: set[Risk] = {"unnamed", "named", "data"} if options.bold else {"unnamed"}
    tried = [one for one in found if one.risk in allowed]
    large = [one for one in tried if one.unzipped >= options.at_least]
    return (
        large,
        [one for one in found if one.risk not in allowed],
        [o for o in tried if o not in large],
    )


def lacking(target: Target, without: Sequence[Candidate]) -> Target:
    """Return a target whose settings leave candidates out."""
    settings = target.settings
    excludes = {one.pattern: propose.REASON for one in without if one.kind == "exclude"}
    patterns = [one.pattern for one in without if one.kind == "prune"]
    prune = settings.prune.model_copy(update={"add": [*settings.prune.add, *patterns]})
    changed = {"excludes": {**settings.excludes, **excludes}, "prune": prune}
    return replace(target, settings=settings.model_copy(update=changed))


def choices(built: Built, folder: Path, dist: Path, root: Path) -> tuple[list[Way], list[str]]:
    """Build a target as it could be built otherwise: other bytecode, other recipes, and slimmer.

    Args:
        built: The target as it is.
        folder: An empty folder for copies.
        dist: Folder of the artifacts, with the records of `slim`.
        root: Folder of layers.yaml.

    Returns:
        The copies, and why some choices were not built.
    """
    target, notes, found = built.target, list[str](), list[Way]()
    same = {built.manifest.artifact.sha256}
    for name, make in _OTHERWISE.items():
        try:
            changed = make(target, dist, root)
            if changed is None:
                continue
            free = changed.settings.model_copy(update={"budgets": Budgets()})
            into = folder / name
            [result] = Build(root, into, quiet=True).run([replace(changed, settings=free)])
        except LayersmithError as problem:
            notes.append(f"{name} is not measured: {problem.message}")
            continue
        if result.manifest is None:
            assert result.error is not None
            notes.append(f"{name} is not measured: {result.error.message}")
        elif result.manifest.artifact.sha256 in same:
            notes.append(f"{name} is not measured: it is the same zip")
        else:
            same.add(result.manifest.artifact.sha256)
            layer = into / f"{target.stem}.zip"
            found.append((name, replace(built, manifest=result.manifest, layer=layer)))
    return found, notes


def _with_bytecode(mode: BytecodeMode) -> Callable[[Target, Path, Path], Target | None]:
    def changed(target: Target, _dist: Path, _root: Path) -> Target | None:
        settings = target.settings
        if settings.bytecode is mode:
            return None
        level = 0 if mode is BytecodeMode.NONE else settings.optimize
        other = settings.model_copy(update={"bytecode": mode, "optimize": level})
        return replace(target, settings=other)

    return changed


def _with_recipes(names: Any) -> Callable[[Target, Path, Path], Target | None]:
    def changed(target: Target, _dist: Path, root: Path) -> Target | None:
        settings = target.recipes.written or target.settings
        if settings.recipes == names:
            return None
        other = settings.model_copy(update={"recipes": names})
        return lock.with_recipes(replace(target, settings=other, recipes=AppliedRecipes()), root)

    return changed


def _slimmed(target: Target, dist: Path, _root: Path) -> Target | None:
    """Return the target without what `slim` found it can do without."""
    path = dist / f"{target.stem}.slim.json"
    try:
        record = SlimRecord.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        raise ProofError(f"`slim {target.layer}` has not been run") from None
    except (OSError, ValidationError) as problem:
        raise ProofError(f"{path.name} cannot be read: {problem}") from problem
    return lacking(target, record.survived)


_OTHERWISE: dict[VariantName, Callable[[Target, Path, Path], Target | None]] = {
    "bytecode-none": _with_bytecode(BytecodeMode.NONE),
    "bytecode-unchecked-hash": _with_bytecode(BytecodeMode.UNCHECKED_HASH),
    "bytecode-only": _with_bytecode(BytecodeMode.ONLY),
    "recipes-none": _with_recipes([]),
    "recipes-all": _with_recipes("all"),
    "slim": _slimmed,
}
"""How a target is changed; None where it is so already."""


def _keep(survived: Sequence[Candidate], weighed: Sequence[Target], dist: Path | None) -> None:
    """Record what a layer can do without beside its zips in dist/, for `coldstart --choices`."""
    for target in weighed:
        if dist is not None and (dist / f"{target.stem}.zip").is_file():
            record = SlimRecord(identifier=target.identifier, survived=list(survived))
            cache.write_text(
                dist / f"{target.stem}.slim.json", record.model_dump_json(indent=1) + "\n"
            )


def _report_of(copies: Copies) -> tuple[Manifest, SmokeReport]:
    assert copies.last is not None
    return copies.last


def _weight(manifest: Manifest) -> Weight:
    made = manifest.artifact
    return Weight(zipped=made.zipped, unzipped=made.unzipped, files=made.files)

"""Proves one target by starting it: imports, forbidden modules, its smoke file."""

from __future__ import annotations

import functools
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from layersmith import cache
from layersmith.base import modules
from layersmith.prove import services, twin
from layersmith.prove.layer_zip import LayerZip
from layersmith.prove.models import (
    FailedImport,
    ForbiddenProof,
    ImportsProof,
    SmokeFileProof,
    SmokeReport,
)
from layersmith.prove.smoke import closure, failures, probing
from layersmith.prove.smoke.failures import cure, diagnose

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from layersmith.assemble.manifest import Manifest
    from layersmith.prove.models import ImportFailure, ImportOutcome
    from layersmith.prove.runners import Runner

PARALLEL = 2
"""Processes at once; CI has two cores."""

OPTIMIZED = (
    "the layer's bytecode has no asserts, and with level 2 no docstrings (`optimize: {}`), which"
    " some packages need; if the layer passes with `optimize: 0`, one of its packages does"
)


@dataclass(frozen=True)
class Subject:
    """A built layer and what layers.yaml says about its proof.

    Attributes:
        identifier: Name of the target.
        layer: The zip.
        architecture: What it is built for.
        manifest: Its manifest; None for a zip that the build did not make.
        smoke: The layer's own test file.
        exceptions: Modules (globs) that may fail to import -> reason.
        forbidden: Modules that must not be loaded.
        beside: Zips and manifests of the layers that lie below it.
    """

    identifier: str
    layer: Path
    architecture: str
    manifest: Manifest | None = None
    smoke: Path | None = None
    exceptions: Mapping[str, str] = field(default_factory=dict)
    forbidden: Sequence[str] = ()
    beside: Sequence[tuple[Path, Manifest]] = ()

    @property
    def variables(self) -> dict[str, str]:
        """The environment variables that recipes want functions to set."""
        return self.manifest.variables if self.manifest else {}


def prove(
    subject: Subject, runner: Runner, show: Callable[..., None] = lambda *_: None
) -> SmokeReport:
    """Start a layer and return what was found; a layer that fails is data.

    Args:
        subject: The layer.
        runner: An open runner of the target's runtime.
        show: Told the phase and how far it is, from several threads.

    Raises:
        ProofError: The machine cannot start anything, or the layer is missing.
        ConfigError: The smoke file is missing, or asks for an unknown service.
    """
    began = time.monotonic()
    zipped = LayerZip(subject.layer)
    with tempfile.TemporaryDirectory(prefix="layersmith-smoke-") as name:
        folder = Path(name)
        layers = placed(subject, runner, folder)
        with ThreadPoolExecutor(max_workers=PARALLEL) as pool:
            importing = pool.submit(_imports, subject, runner, zipped, layers, folder, show=show)
            smoking = pool.submit(_smoke_file, subject, runner, layers, folder)
            imports, loaded = importing.result()
            if subject.smoke and not smoking.done():
                show("smoke file", subject.smoke.name)
            smoke = smoking.result()
    forbidden = _forbidden(subject, zipped, smoke, loaded)
    tested = smoke[0] if smoke else None
    return _report(subject, runner, (imports, forbidden, tested), time.monotonic() - began)


def placed(subject: Subject, runner: Runner, folder: Path) -> tuple[Path, ...]:
    """Return what stands for the layer and those below it: zips, or the folders of twins.

    The layer itself is the last, so that its files win.
    """
    below = twin.placed(subject.beside, runner, folder / "beside")
    if subject.manifest is None:
        return (*below, subject.layer)
    return (*below, *twin.placed([(subject.layer, subject.manifest)], runner, folder / "twin"))


def _imports(
    subject: Subject,
    runner: Runner,
    zipped: LayerZip,
    layers: Sequence[Path],
    folder: Path,
    *,
    show: Callable[..., None],
) -> tuple[ImportsProof, list[str]]:
    found = modules.modules_of(zipped.paths)
    names = sorted((module.name for module in found), key=lambda name: ("." in name, name))
    code = probing.prepare(folder / "imports", runner.runtime.minor)
    specification = probing.specification(
        code, layers, {**subject.variables, **_bytecode_in_tmp(zipped)}
    )
    outcomes, loaded = probing.import_all(runner, specification, names, subject.forbidden, show)
    return _judge_imports(subject, runner, zipped, found, outcomes), loaded


def _bytecode_in_tmp(zipped: LayerZip) -> dict[str, str]:
    """Let a layer without bytecode keep in /tmp what Python compiles.

    Each failing import would compile its way to the same failure once more. A layer that has
    bytecode is proven with its own, which this variable would hide.
    """
    if any("/__pycache__/" in path for path in zipped.paths):
        return {}
    return {"PYTHONPYCACHEPREFIX": "/tmp/pycache"}  # noqa: S108 -- the runtime's, not this host's


def _judge_imports(
    subject: Subject,
    runner: Runner,
    zipped: LayerZip,
    found: Sequence[modules.Module],
    outcomes: Sequence[ImportOutcome],
) -> ImportsProof:
    held = closure.of(zipped, runner.runtime, subject.architecture, subject.manifest)
    by_recipes = failures.optional_by_recipes(subject.manifest)
    excused: dict[str, str] = {}
    spare: dict[str, str] = {}
    broken: list[ImportOutcome] = []
    for outcome in outcomes:
        if outcome.error is None:
            continue
        pattern = modules.excepted(outcome.module, subject.exceptions)
        if pattern is not None:
            excused[outcome.module] = pattern
        elif why := failures.optional_reason(
            outcome.module, outcome.error, held, by_recipes
        ) or failures.left_out(held, outcome.module, outcome.error):
            spare[outcome.module] = why
        else:
            broken.append(outcome)
    paths = {module.name: module.path for module in found}
    explain = functools.partial(
        diagnose,
        layer=zipped,
        python=runner.runtime.python_version,
        architecture=subject.architecture,
    )
    slowest = sorted(outcomes, key=lambda one: one.ms, reverse=True)[:10]
    return ImportsProof(
        modules=len(outcomes),
        failed=_by_root(broken, paths, explain, functools.partial(cure, closure=held)),
        excepted={module: subject.exceptions[pattern] for module, pattern in excused.items()},
        optional=spare,
        unneeded=[one for one in subject.exceptions if one not in excused.values()],
        slowest_ms={one.module: one.ms for one in slowest},
    )


def _by_root(
    broken: Sequence[ImportOutcome],
    paths: Mapping[str, str],
    explain: Callable[[ImportFailure], str | None],
    remedy: Callable[[ImportFailure], str | None],
) -> list[FailedImport]:
    """Report together what fails for one reason: a broken file breaks all that need it.

    What takes a top-level module along comes first, then what takes the most modules along.
    """
    groups: dict[str, list[tuple[str, ImportFailure]]] = {}
    for outcome in broken:
        if outcome.error:
            root = str(outcome.error.chain[-1]) if outcome.error.chain else outcome.module
            groups.setdefault(root, []).append((outcome.module, outcome.error))
    return [
        FailedImport(
            module=module,
            path=paths.get(module, ""),
            failure=failure,
            diagnosis=explain(failure),
            cure=remedy(failure),
            hidden=[name for name, _ in rest],
        )
        for (module, failure), *rest in sorted(groups.values(), key=_weight)
    ]


def _weight(group: list[tuple[str, ImportFailure]]) -> tuple[bool, int]:
    return all("." in name for name, _ in group), -len(group)


def _smoke_file(
    subject: Subject, runner: Runner, layers: Sequence[Path], folder: Path
) -> tuple[SmokeFileProof, list[str]] | None:
    if subject.smoke is None:
        return None
    wanted = services.wanted_by(subject.smoke)
    code = probing.prepare(folder / "smoke", runner.runtime.minor, subject.smoke)
    hosts = (runner.service_host, runner.service_name)
    with services.serve(wanted, *hosts, subject.manifest) as variables:
        specification = probing.specification(code, layers, variables)
        with probing.start(runner, specification) as instance:
            tests = probing.run_smoke_file(instance, subject.smoke.name)
            peak = instance.peak_memory()
            loaded = probing.loaded(instance, subject.forbidden) if instance.alive else []
            proof = SmokeFileProof(
                file=subject.smoke.name,
                services=list(wanted),
                init_ms=instance.init.duration_ms,
                tests=tests,
                peak_memory=peak,
            )
    return proof, loaded


def _forbidden(
    subject: Subject,
    zipped: LayerZip,
    smoke: tuple[SmokeFileProof, list[str]] | None,
    loaded_by_imports: list[str],
) -> ForbiddenProof | None:
    """A vector session says more than importing everything: it is what a function does."""
    if not subject.forbidden:
        return None
    names = [module.name for module in modules.modules_of(zipped.paths)]
    present = [name for name in names if any(_covers(p, name) for p in subject.forbidden)]
    return ForbiddenProof(
        patterns=list(subject.forbidden),
        present=present,
        loaded=smoke[1] if smoke else loaded_by_imports,
        after="smoke file" if smoke else "imports",
    )


def _covers(pattern: str, name: str) -> bool:
    return modules.excepted(name, {pattern: ""}) is not None


def _report(
    subject: Subject,
    runner: Runner,
    found: tuple[ImportsProof, ForbiddenProof | None, SmokeFileProof | None],
    seconds: float,
) -> SmokeReport:
    imports, forbidden, smoke = found
    if runner.facts.twin:
        # What the host's Python brings beyond Lambda's, such as tkinter, proves no exception wrong.
        warnings = [f"{runner.facts.described}; run it with Docker before it is shipped"]
    else:
        needless = imports.unneeded
        warnings = [f"import-exceptions: nothing needed {one!r}; remove it" for one in needless]
    if not imports.modules and smoke is None:
        warnings.append(
            "the layer has no module and no smoke file: only its audit and the layers that use it"
            " prove it"
        )
    warnings += _stand_ins(subject)
    found_wrong = problems(imports, forbidden, smoke)
    optimize = subject.manifest.bytecode.optimize if subject.manifest else 0
    if found_wrong and optimize:
        warnings.append(OPTIMIZED.format(optimize))
    return SmokeReport(
        identifier=subject.identifier,
        runtime=runner.runtime.name,
        architecture=subject.architecture,
        sha256=cache.sha256_file(subject.layer),
        runner=runner.facts,
        imports=imports,
        forbidden=forbidden,
        smoke=smoke,
        problems=found_wrong,
        warnings=warnings,
        seconds=round(seconds, 2),
    )


def _stand_ins(subject: Subject) -> Iterator[str]:
    """Say what stood for the managed layers, whose zips are not here."""
    manifests = [one for _, one in subject.beside] + [subject.manifest] * bool(subject.manifest)
    found: dict[str, set[str]] = {}
    for one in (one for manifest in manifests if manifest for one in manifest.dropped):
        if one.managed:
            found.setdefault(one.managed, set()).add(f"{one.name} {one.version}")
    for layer, held in found.items():
        yield (
            f"{', '.join(sorted(held))} of the package index stood for the managed layer {layer},"
            " whose own files were not tested"
        )


def problems(
    imports: ImportsProof, forbidden: ForbiddenProof | None, smoke: SmokeFileProof | None
) -> list[str]:
    """Return one text per problem, the likely cause in it."""
    found = [_import_words(failed) for failed in imports.failed]
    found += _forbidden_words(forbidden) if forbidden else []
    found += _smoke_words(smoke) if smoke else []
    if not imports.modules and not (smoke and smoke.tests):
        found.append("the layer holds no module and has no smoke file, so nothing is proven")
    return found


def _import_words(failed: FailedImport) -> str:
    said = " <- ".join(str(cause) for cause in failed.failure.chain)
    text = f"import {failed.module} fails: {said}"
    if failed.hidden:
        shown = ", ".join(failed.hidden[:5]) + (", ..." if len(failed.hidden) > 5 else "")
        text += f"\n  so do {len(failed.hidden)} others for the same reason: {shown}"
    if failed.diagnosis:
        text += f"\n  likely cause: {failed.diagnosis}"
    if failed.cure:
        text += f"\n  what to do: {failed.cure}"
    return text


def _forbidden_words(proof: ForbiddenProof) -> Iterator[str]:
    if proof.present:
        shown = ", ".join(proof.present[:5])
        yield f"forbidden modules are in the layer: {shown} ({len(proof.present)} in all)"
    if proof.loaded:
        yield f"forbidden modules are loaded after the {proof.after}: {', '.join(proof.loaded[:5])}"


def _smoke_words(proof: SmokeFileProof) -> Iterator[str]:
    for test in proof.tests:
        if test.outcome == "failed":
            where = "" if test.phase == "call" else f" in {test.phase}"
            yield f"{proof.file}: {test.name} failed{where}\n{_indented(test.text)}"
    if proof.tests and all(test.outcome == "skipped" for test in proof.tests):
        yield f"{proof.file}: every test was skipped, so nothing is proven"


def _indented(text: str) -> str:
    return "\n".join(f"    {line}" for line in text.strip().splitlines()[-30:])

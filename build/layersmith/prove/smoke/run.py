"""Proves many targets: one runner a runtime, and one target's failure does not stop the others.

Modules that do not import can be accepted: they go into layers.yaml, with the reason found.
"""

from __future__ import annotations

import contextlib
import difflib
import json
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from layersmith import cache, console
from layersmith.assemble import manifest, outputs
from layersmith.base import modules
from layersmith.config import document
from layersmith.errors import LayersmithError, ProofError
from layersmith.prove import runners
from layersmith.prove.smoke import functions, layer

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from layersmith.config.loader import LoadedConfig
    from layersmith.config.models import Function
    from layersmith.plan import Target
    from layersmith.prove.models import FunctionProof, RunnerKind, SmokeReport
    from layersmith.prove.runners import Runner


@dataclass
class SmokeOutcome:
    """What a run found.

    Attributes:
        reports: Of the targets that were started, proven or not.
        functions: Of the functions that were started, with the runtime each ran on.
        errors: Why the run fails, at most one a target or function.
    """

    reports: list[SmokeReport] = field(default_factory=list)
    functions: list[FunctionProof] = field(default_factory=list)
    errors: list[LayersmithError] = field(default_factory=list)


@dataclass(frozen=True)
class SmokeRun:
    """How to prove.

    Attributes:
        loaded: layers.yaml.
        dist: Folder of the artifacts, where the reports go, too.
        kind: ``docker`` or ``host``.
        image: Name of an image instead of the one that would be chosen.
    """

    loaded: LoadedConfig
    dist: Path
    kind: RunnerKind = "docker"
    image: str | None = None

    def run(self, targets: Sequence[Target], *, with_functions: bool = True) -> SmokeOutcome:
        """Prove targets, and the functions that use nothing else."""
        outcome = SmokeOutcome()
        for key in dict.fromkeys((t.runtime, t.architecture) for t in targets):
            chosen = [t for t in targets if (t.runtime, t.architecture) == key]
            try:
                self._run_runtime(chosen, outcome, with_functions=with_functions)
            except LayersmithError as problem:
                problem.target = problem.target or f"{key[0].name}-{key[1]}"
                outcome.errors.append(problem)
        return outcome

    def _run_runtime(
        self, targets: Sequence[Target], outcome: SmokeOutcome, *, with_functions: bool
    ) -> None:
        first = targets[0]
        made = runners.make(self.kind, first.runtime, first.architecture, image=self.image)
        with contextlib.ExitStack() as stack:
            with console.phases(f"{first.runtime.name}-{first.architecture}") as show:
                show("preparing the runtime")
                opened = stack.enter_context(made)
            console.info(f"{first.runtime.name}: {opened.facts.described}")
            for target in targets:
                try:
                    if target.function:
                        self._prove_package(target, target.function, opened, outcome)
                    else:
                        self._prove(target, opened, outcome)
                except LayersmithError as problem:
                    problem.target = target.identifier
                    outcome.errors.append(problem)
            if with_functions:
                self._prove_functions(first, opened, outcome)

    def _prove(self, target: Target, opened: Runner, outcome: SmokeOutcome) -> None:
        settings = target.settings
        subject = layer.Subject(
            identifier=target.identifier,
            layer=self.dist / f"{target.stem}.zip",
            architecture=target.architecture,
            manifest=manifest.read(self.dist / f"{target.stem}.json"),
            smoke=self.loaded.root / settings.smoke if settings.smoke else None,
            exceptions=settings.import_exceptions,
            forbidden=settings.forbid_imports,
            beside=outputs.built(target.beside, self.dist),
        )
        with console.phases(target.identifier) as show:
            report = layer.prove(subject, opened, show)
        outcome.reports.append(report)
        self._record(target, report)
        if not report.ok:
            raise unproven(report)

    def _record(self, target: Target, report: SmokeReport) -> None:
        text = json.dumps(report.model_dump(mode="json"), indent=1) + "\n"
        cache.write_text(self.dist / f"{target.stem}.smoke.json", text)
        for warning in report.warnings:
            console.warn(f"{target.identifier}: {warning}")

    def _prove_package(
        self, target: Target, function: Function, opened: Runner, outcome: SmokeOutcome
    ) -> None:
        """Start a function from its own zip, with its layers."""
        layers = outputs.built(target.beside, self.dist)
        package = outputs.built([target], self.dist)[0]
        started = time.monotonic()
        proof = functions.prove(
            target.layer, function, layers, opened, self.loaded, package=package
        )
        outcome.functions.append(proof)
        seconds = time.monotonic() - started
        report = functions.report(proof, package[1], opened, seconds)
        self._record(target, report)
        if proof.error:
            raise _failed(proof)

    def _prove_functions(self, first: Target, opened: Runner, outcome: SmokeOutcome) -> None:
        for name, function in self.loaded.config.functions.items():
            if function.code is None or function.event is None or function.package:
                continue
            try:
                layers = functions.layers_of(
                    function, self.loaded, self.dist, first.runtime, first.architecture
                )
                if layers is None:
                    continue
                proof = functions.prove(name, function, layers, opened, self.loaded)
                outcome.functions.append(proof)
                if proof.error:
                    raise _failed(proof)
            except LayersmithError as problem:
                problem.target = f"function {name}, {first.runtime.name}"
                outcome.errors.append(problem)


def unproven(report: SmokeReport) -> ProofError:
    """Return the error for a layer that was started and failed; its first line says the worst."""
    first, *rest = report.problems
    others = f"\nand {len(rest)} other problem{'s' if len(rest) > 1 else ''}:\n" if rest else ""
    hint = "fix the layer and build it again"
    if report.imports.failed:
        hint += "; `smoke --accept` lists modules that are not meant to be importable under"
        hint += " `import-exceptions`"
    return ProofError(
        f"not proven: {first}{others}" + "\n".join(rest), target=report.identifier, hint=hint
    )


def _failed(proof: FunctionProof) -> ProofError:
    what = "does not start" if proof.duration_ms is None else "does not handle its sample event"
    return ProofError(
        f"{what}: {proof.error}",
        cause="\n".join([*(proof.error.trace if proof.error else []), proof.logs]).strip() or None,
        hint="run it separately with `python build/layers.py smoke --runtime ...` after a change",
    )


EXCEPTIONS = "import-exceptions"


def exceptions_of(report: SmokeReport) -> dict[str, str]:
    """Return what a report leaves to accept: module -> reason, nothing that another one covers."""
    found: dict[str, str] = {}
    for failed in report.imports.failed:
        why = failed.diagnosis or str(failed.failure.chain[0] if failed.failure.chain else "fails")
        for module in [failed.module, *failed.hidden]:
            found[module] = " ".join(why.split())[:200]
    return {
        one: why
        for one, why in sorted(found.items())
        if not any(modules.excepted(one, {other: ""}) for other in found if other != one)
    }


def with_exceptions(loaded: LoadedConfig, wanted: Mapping[str, Mapping[str, str]]) -> str:
    """Return layers.yaml with exceptions added.

    Args:
        loaded: The file.
        wanted: Layer -> module -> reason.

    Raises:
        ConfigError: The file is written in a way that cannot be edited.
    """
    text = loaded.path.read_bytes().decode()
    for name, found in wanted.items():
        path = ("layers", name, EXCEPTIONS)
        # A mapping of the layer's own replaces that of the defaults.
        known = (
            {} if document.has_mapping(text, path) else loaded.config.layers[name].import_exceptions
        )
        text = document.with_entries(text, path, {**known, **found}, file=loaded.path.name)
    return text


def difference(loaded: LoadedConfig, text: str) -> str:
    """Return the change to layers.yaml as a unified diff."""
    before = loaded.path.read_bytes().decode().splitlines(keepends=True)
    after = text.splitlines(keepends=True)
    name = loaded.path.name
    return "".join(difflib.unified_diff(before, after, name, name)).rstrip()


def write_config(loaded: LoadedConfig, text: str) -> None:
    """Write layers.yaml whole or not at all."""
    cache.write_text(loaded.path, text)


def only_imports(report: SmokeReport) -> bool:
    """Whether what a report found is nothing but modules that do not import."""
    return len(report.problems) == len(report.imports.failed)


def to_accept(
    reports: Iterable[SmokeReport], layers: Mapping[str, str]
) -> dict[str, dict[str, str]]:
    """Return what is left to accept by layer, from all its targets.

    Args:
        reports: Of the targets.
        layers: Identifier of a target -> its layer.
    """
    found: dict[str, dict[str, str]] = {}
    for report in reports:
        new = exceptions_of(report)
        if new:
            found.setdefault(layers[report.identifier], {}).update(new)
    return found

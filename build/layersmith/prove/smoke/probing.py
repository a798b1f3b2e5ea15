"""Asks the probe inside a runtime for the proofs: imports, forbidden modules, the smoke file."""

from __future__ import annotations

import shutil
from importlib import resources
from typing import TYPE_CHECKING

from layersmith.errors import ProofError
from layersmith.prove import sites
from layersmith.prove.models import (
    Cause,
    FunctionError,
    FunctionSpec,
    ImportFailure,
    ImportOutcome,
    TestOutcome,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from layersmith.prove.runners import Runner
    from layersmith.prove.runners.instance import Instance

PROBE_MEMORY = 3008
"""MB of memory for the proofs that import everything, which no function would do."""

PROBE_TIMEOUT = 300.0
"""Seconds for one request to the probe, before emulation stretches them."""

IMPORT_TIMEOUT = 60.0
"""Seconds for the import of one module; the largest packages take about ten."""

EMULATED_IMPORT_TIMEOUT = 600.0
"""The same under emulation, ten times as slow where it is not the first import."""

IDLE = 15.0
"""Seconds without processor time after which an import waits for what will not come; Lambda gives
the whole start of a function ten."""

BATCH = 50
"""Modules per request: progress is seen, and what a crash took along is imported again."""


def prepare(folder: Path, minor: int, smoke: Path | None = None) -> Path:
    """Make the folder of the probe function, with pytest where there is a smoke file.

    Args:
        folder: Made anew.
        minor: Minor version of the target's Python, for pytest's bytecode.
        smoke: The smoke file.
    """
    folder.mkdir()
    probe = resources.files("layersmith.prove").joinpath("probe", "layersmith_probe.py")
    (folder / "layersmith_probe.py").write_text(probe.read_text("utf-8"))
    if smoke is not None:
        shutil.copytree(sites.pytest_site(minor), folder / "pytest_site")
        (folder / "smoke").mkdir()
        shutil.copy(smoke, folder / "smoke" / smoke.name)
    return folder


def specification(
    code: Path, layers: Sequence[Path], environment: Mapping[str, str] | None = None
) -> FunctionSpec:
    """Return the probe as a function."""
    return FunctionSpec(
        handler="layersmith_probe.handler",
        code=code,
        layers=tuple(layers),
        memory=PROBE_MEMORY,
        timeout=PROBE_TIMEOUT,
        environment=environment or {},
        name="layersmith-probe",
    )


def start(runner: Runner, spec: FunctionSpec) -> Instance:
    """Start the probe.

    Raises:
        ProofError: The runtime does not come up with the layer in place.
    """
    instance = runner.start(spec)
    if instance.init.error:
        logs = instance.logs()[-2000:]
        instance.close()
        raise ProofError(
            "the runtime did not come up with the layer in place",
            cause=f"{instance.init.error}\n{logs}".strip(),
            hint="a layer that shadows the standard library or the runtime's client does this",
        )
    return instance


def import_all(
    runner: Runner,
    spec: FunctionSpec,
    names: Sequence[str],
    patterns: Sequence[str] = (),
    show: Callable[..., None] = lambda *_: None,
) -> tuple[list[ImportOutcome], list[str]]:
    """Import modules in one process, one after the other.

    Where one ends the process, the rest of its batch is imported one by one in a new process, so
    that the culprit has a name, and the others are proven all the same.

    Raises:
        ProofError: The runtime does not come up at all.
    """
    outcomes: list[ImportOutcome] = []
    show("starting")
    instance = start(runner, spec)
    try:
        for begin in range(0, len(names), BATCH):
            show("importing", f"{min(begin + BATCH, len(names))} of {len(names)} modules")
            batch = names[begin : begin + BATCH]
            answer = instance.invoke(_request(instance, batch))
            if answer.ok:
                outcomes += [ImportOutcome.model_validate(one) for one in answer.payload["modules"]]
                continue
            instance.close()
            outcomes += _one_by_one(runner, spec, batch)
            instance = start(runner, spec)
        return outcomes, loaded(instance, patterns)
    finally:
        instance.close()


def loaded(instance: Instance, patterns: Sequence[str]) -> list[str]:
    """Return the loaded modules that match a pattern, or lie below one that does."""
    answer = instance.invoke({"op": "loaded", "patterns": list(patterns)})
    if answer.error:
        raise ProofError(
            "the runtime ended before its modules were listed", cause=str(answer.error)
        )
    return [str(name) for name in answer.payload["modules"]]


def run_smoke_file(instance: Instance, name: str) -> list[TestOutcome]:
    """Run the smoke file under pytest in the runtime; a crash is a failed test."""
    answer = instance.invoke({"op": "pytest", "file": f"smoke/{name}"})
    if answer.error:
        text = f"{answer.error}\n{instance.logs()[-4000:]}"
        return [TestOutcome(name=name, outcome="failed", phase="call", ms=0.0, text=text)]
    tests = [TestOutcome.model_validate(one) for one in answer.payload["tests"]]
    if answer.payload["exit"] not in {0, 1} and not any(t.outcome == "failed" for t in tests):
        text = f"pytest ended with {answer.payload['exit']}; 5 means that it found no test"
        tests.append(TestOutcome(name=name, outcome="failed", phase="collect", ms=0.0, text=text))
    return tests


def _one_by_one(runner: Runner, spec: FunctionSpec, names: Sequence[str]) -> list[ImportOutcome]:
    outcomes = []
    instance = start(runner, spec)
    try:
        for name in names:
            answer = instance.invoke(_request(instance, [name]))
            if answer.ok:
                outcomes.append(ImportOutcome.model_validate(answer.payload["modules"][0]))
                continue
            outcomes.append(ImportOutcome(module=name, error=_crash(answer.error)))
            instance.close()
            instance = start(runner, spec)
    finally:
        instance.close()
    return outcomes


def _request(instance: Instance, names: Sequence[str]) -> dict[str, object]:
    seconds = EMULATED_IMPORT_TIMEOUT if instance.emulated else IMPORT_TIMEOUT
    return {"op": "import", "modules": list(names), "seconds": seconds, "idle": IDLE}


def _crash(error: FunctionError | None) -> ImportFailure:
    said = error or FunctionError(type="Unknown", message="")
    return ImportFailure(chain=[Cause(type=said.type, message=said.message)])

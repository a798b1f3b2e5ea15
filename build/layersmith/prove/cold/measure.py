"""Measures cold starts: the target in fresh processes, beside what it is to be compared with."""

from __future__ import annotations

import shutil
from importlib import resources
from typing import TYPE_CHECKING, NamedTuple

from layersmith.errors import ProofError
from layersmith.prove.cold import bill, importtime
from layersmith.prove.cold.models import Calibration, Sample, Variant
from layersmith.prove.models import FunctionSpec, InvokeResult

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from layersmith.prove.runners import Runner
    from layersmith.prove.runners.instance import Instance

TIMEOUT = 60.0

WORKLOAD = "imports of the standard library, and compiling 200 classes"


LAZY = {"PYTHON_LAZY_IMPORTS": "all"}
"""Makes every import at the top level of a module lazy (CPython 3.15, Command line and
environment; PEP 810)."""

LAZY_SINCE = 15
"""Minor version of the first CPython that has them."""


def function(folder: Path, handler: Path | None) -> Path:
    """Make the folder of a function that times its own import.

    Args:
        folder: Made anew.
        handler: Its module; None for one that does nothing.
    """
    folder.mkdir(parents=True)
    (folder / "layersmith_cold.py").write_text(_probe("layersmith_cold.py"))
    target = folder / "layersmith_function.py"
    if handler is None:
        target.write_text("def handler(event, context):\n    return None\n")
    else:
        shutil.copy(handler, target)
    return folder


def workload(folder: Path) -> Path:
    """Make the folder of the function that calibrates emulation."""
    made = function(folder, None)
    (made / "layersmith_function.py").write_text(_probe("workload.py"))
    return made


def specification(
    code: Path, layers: tuple[Path, ...], variables: Mapping[str, str] | None = None
) -> FunctionSpec:
    """Return a timed function as Lambda would be told about it."""
    return FunctionSpec(
        handler="layersmith_cold.handler",
        code=code,
        layers=layers,
        memory=bill.WHOLE,
        timeout=TIMEOUT,
        environment=variables or {},
        name="layersmith-coldstart",
    )


class Startable(NamedTuple):
    """A variant that can be started.

    Attributes:
        name: Its name.
        spec: The function.
        unzipped: Bytes under /opt.
        event: Its first event; None for one that only asks to prepare what it needs.
    """

    name: str
    spec: FunctionSpec
    unzipped: int = 0
    event: object = None


def in_turns(variants: Sequence[Startable], runner: Runner, starts: int) -> list[Variant]:
    """Start each of some functions once a round, each time in a fresh process.

    What else the machine does meets all of them alike, so that their ratios hold where their times
    do not. One start more of each comes first and is not counted: it prepares what the function
    needs, and fills the page cache, as a host of Lambda's has filled it for a layer in use.

    Args:
        variants: What is started.
        runner: Where.
        starts: How many rounds.

    Raises:
        ProofError: A function does not come up, or does not answer.
    """
    for one in variants:
        _sample(runner, one, prepare=True)
    samples: list[list[Sample]] = [[] for _ in variants]
    for _ in range(starts):
        for one, found in zip(variants, samples, strict=True):
            found.append(_sample(runner, one, prepare=False))
    return [
        Variant.of(one.name, one.unzipped, found)
        for one, found in zip(variants, samples, strict=True)
    ]


def calibrate(emulated: Runner, native: Runner, code: Path, starts: int) -> Calibration:
    """Measure the workload under emulation and natively.

    Raises:
        ProofError: It does not run on one of both.
    """
    spec = specification(code, ())
    [slow] = in_turns([Startable("floor", spec)], emulated, starts)
    [fast] = in_turns([Startable("floor", spec)], native, max(starts, 5))
    return Calibration(
        workload=WORKLOAD,
        emulated_ms=slow.total.median,
        native_ms=fast.total.median,
        factor=round(slow.total.median / fast.total.median, 3),
    )


def import_tree(
    runner: Runner, spec: FunctionSpec, owners: Mapping[str, str]
) -> list[importtime.Import]:
    """Start a function once more with the interpreter's own import times.

    Raises:
        ProofError: The function does not come up, or does not answer.
    """
    variables = {**spec.environment, importtime.VARIABLE: "1"}
    timed = specification(spec.code, spec.layers, variables)
    with runner.start(timed) as instance:
        answer(instance, {"prepare": True})
        return importtime.parse(instance.logs(), owners)


def unpacked_size(folder: Path) -> int:
    """Return the bytes of all files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _sample(runner: Runner, one: Startable, *, prepare: bool) -> Sample:
    with runner.start(one.spec) as instance:
        found = answer(instance, {"prepare": prepare} if one.event is None else one.event)
        return Sample(
            init_ms=round(instance.init.duration_ms, 3),
            import_ms=round(found.payload["import_ms"], 3),
            call_ms=round(found.duration_ms, 3),
            init_cpu_ms=round(found.payload["init_cpu_ms"], 3),
            call_cpu_ms=round(found.payload["call_cpu_ms"], 3),
            peak_memory=found.peak_memory,
        )


def answer(instance: Instance, event: object) -> InvokeResult:
    """Send a started function its first event, and return what it answers.

    Raises:
        ProofError: It did not come up, or does not answer.
    """
    if instance.init.ok:
        found = instance.invoke(event)
        if found.ok:
            return found
        error = found.error
    else:
        error = instance.init.error
    raise ProofError(
        f"the first call failed: {error}",
        cause="\n".join([*(error.trace if error else []), instance.logs()[-3000:]]).strip(),
        hint="run `python build/layers.py smoke` for details on a layer that does not start",
    )


def _probe(name: str) -> str:
    return resources.files("layersmith.prove").joinpath("probe", name).read_text("utf-8")

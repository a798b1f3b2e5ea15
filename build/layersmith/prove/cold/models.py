"""What cold starts cost, as data: dist/<stem>.coldstart.json, versioned.

All durations are milliseconds.
"""

from __future__ import annotations

import math
import statistics
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from layersmith.base.models import StrictModel
from layersmith.prove.models import RunnerFacts

if TYPE_CHECKING:
    from collections.abc import Sequence

Kind = Literal["measurement", "twin", "estimate"]
"""``measurement``: the layer itself, natively. ``twin``: its twin for the host's architecture,
natively. ``estimate``: the layer under emulation, divided by a factor measured in the same run."""

VariantName = Literal[
    "layer",
    "before",
    "no-bytecode",
    "plain",
    "floor",
    "bytecode-none",
    "bytecode-unchecked-hash",
    "bytecode-only",
    "recipes-none",
    "recipes-all",
    "slim",
    "lazy-imports",
]
"""``layer``: the built zip. ``before``: an earlier zip of the same target. ``no-bytecode``: its
sources alone, compiled anew at every start, where it holds both. ``plain``: the same locked
requirements as installing them to a folder leaves them. ``floor``: the same first call without the
layer. The others are choices: the layer built with another value of ``bytecode`` or ``recipes``, or
with what `slim` proposed, and the layer under the interpreter's own lazy imports."""


class Sample(StrictModel):
    """One start in a fresh process."""

    init_ms: float
    """From the start of the runtime to its first request for an event."""
    import_ms: float
    """Of that, the import of the function's module."""
    call_ms: float
    """The first event, from its hand-out to the complete answer."""
    init_cpu_ms: float | None = None
    """Of INIT, how much the processor worked for the process."""
    call_cpu_ms: float | None = None
    """Of the first event, likewise."""
    peak_memory: int | None = None
    """Bytes."""

    @property
    def total_ms(self) -> float:
        """From the start of the runtime to the first answer."""
        return self.init_ms + self.call_ms


class Spread(StrictModel):
    """How the samples of one phase lie."""

    median: float
    p90: float
    """Nine of ten samples are not above it."""
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Summarize samples, at least one."""
        return cls(
            median=round(statistics.median(values), 2),
            p90=round(percentile(values, 0.9), 2),
            low=round(min(values), 2),
            high=round(max(values), 2),
        )


class Variant(StrictModel):
    """What one way of providing the requirements costs."""

    name: str
    """A `VariantName`, or in `lazy` what was changed."""
    unzipped: int
    """Bytes under /opt."""
    samples: list[Sample]
    init: Spread
    imports: Spread
    call: Spread
    total: Spread
    peak_memory: int | None = None
    """Bytes, the largest of all samples."""

    @classmethod
    def of(cls, name: str, unzipped: int, samples: list[Sample]) -> Variant:
        """Summarize samples, at least one."""
        peaks = [one.peak_memory for one in samples if one.peak_memory is not None]
        return cls(
            name=name,
            unzipped=unzipped,
            samples=samples,
            init=Spread.of([one.init_ms for one in samples]),
            imports=Spread.of([one.import_ms for one in samples]),
            call=Spread.of([one.call_ms for one in samples]),
            total=Spread.of([one.total_ms for one in samples]),
            peak_memory=max(peaks) if peaks else None,
        )


class Ratio(StrictModel):
    """How one variant starts beside another, of starts that followed each other in one run."""

    total: Spread
    """From the start of the runtime to the first answer; below 1 where it starts sooner."""
    init: Spread
    """Of INIT, which is most of the bill."""

    @classmethod
    def of(cls, variant: Variant, beside: Variant) -> Ratio:
        """Divide each start of a variant by that of the other in the same round."""
        rounds = list(zip(variant.samples, beside.samples, strict=True))
        return cls(
            total=Spread.of([one.total_ms / other.total_ms for one, other in rounds]),
            init=Spread.of([one.init_ms / other.init_ms for one, other in rounds]),
        )

    @property
    def text(self) -> str:
        """The median with the lowest and the highest of all rounds: ``0.93 (0.90-0.97)``."""
        return f"{self.total.median:.2f} ({self.total.low:.2f}-{self.total.high:.2f})"


class Against(StrictModel):
    """The same target as it was before, measured in the same run."""

    version: str
    sha256: str
    """Of its zip, in hex."""
    ratio: Ratio | None = None
    """The layer beside it; None where both are the same bytes."""


class Saved(StrictModel):
    """What one change takes off a cold start, of starts that followed each other in one run."""

    ms: Spread
    """From the start of the runtime to the first answer; below 0 where it takes longer."""
    ratio: Ratio
    """With the change beside without."""
    million: float | None = None
    """Of the price of a million cold starts, between the medians: at the function's memory in
    `lazy`, at 1,769 MB in `coldstart`."""

    @classmethod
    def of(cls, changed: Variant, unchanged: Variant, factor: float = 1.0) -> Saved:
        """Compare the starts of each round.

        Args:
            changed: With the change.
            unchanged: Without.
            factor: What measured times are divided by.
        """
        rounds = zip(unchanged.samples, changed.samples, strict=True)
        return cls(
            ms=Spread.of([(one.total_ms - other.total_ms) / factor for one, other in rounds]),
            ratio=Ratio.of(changed, unchanged),
        )


class OtherChoice(StrictModel):
    """The layer as it could be built or started otherwise."""

    name: VariantName
    zipped: int
    """Bytes of its zip."""
    unzipped: int
    """Bytes under /opt of the built architecture."""
    saved: Saved


class Calibration(StrictModel):
    """How much slower than natively this run's emulation is."""

    workload: str
    """What was measured on both sides."""
    emulated_ms: float
    """Median of the workload under emulation, from start to first answer."""
    native_ms: float
    """Median of the same workload on this machine's own processor."""
    factor: float


class Comparison(StrictModel):
    """An estimate beside a measurement of the twin, both of this run."""

    variant: str
    estimate_ms: float
    twin_ms: float
    off_percent: float
    """By how much the estimate is above (+) or below (-) the measurement."""


class BytecodeCost(StrictModel):
    """What a layer's bytecode takes and gives."""

    zipped: int
    """Bytes of the zip."""
    unzipped: int
    """Bytes under /opt."""
    gain_ms: float | None = None
    """By how much the layer starts sooner than its sources alone, divided by the factor; None where
    that was not measured."""


class Billed(StrictModel):
    """What a million cold starts of a variant cost at one size of memory."""

    variant: str
    memory: int
    """MB."""
    init_ms: float
    """Median of INIT, as the model has it."""
    call_ms: float
    """Median of the first invocation, likewise."""
    million: Spread
    """Price of a million cold starts, without requests."""


class InitPhases(StrictModel):
    """Where the milliseconds of INIT go, in medians."""

    runtime_ms: float
    """The interpreter and the runtime client, before the function is imported."""
    layer_ms: float
    """Imports of what the layer brings, with what they import."""
    own_ms: float
    """The function's own module, with what it imports of the standard library and the runtime."""
    modules: dict[str, float] = Field(default_factory=dict)
    """Of ``layer_ms``: what the function imports first of each, the costliest first."""


class ColdStartReport(StrictModel):
    """What starting one target costs."""

    format: Literal[1] = 1
    identifier: str
    runtime: str
    architecture: str
    """What the layer was built for."""
    sha256: str
    """Of the zip, in hex."""
    kind: Kind
    runner: RunnerFacts
    starts: int
    """Fresh processes a variant."""
    variants: list[Variant]
    """As measured; under emulation not yet divided by the factor."""
    twins: list[Variant] = Field(default_factory=list)
    """The same natively on this machine's own processor, beside emulation."""
    calibration: Calibration | None = None
    comparisons: list[Comparison] = Field(default_factory=list)
    """How far off the estimates are, where the twin could be measured, too."""
    against: Against | None = None
    """None where nothing was to be compared with."""
    choices: list[OtherChoice] = Field(default_factory=list)
    """What other choices would save, each built and started in the same run."""
    bytecode: BytecodeCost | None = None
    """None where the layer holds none."""
    phases: InitPhases | None = None
    """Where the INIT of the layer goes; None where its imports could not be recorded."""
    billed: list[Billed] = Field(default_factory=list)
    """What a million cold starts cost, by variant and memory."""
    currency: str = ""
    priced: str = ""
    """Day on which the price of a GB-second was read, ISO 8601."""
    judged_ms: float
    """Median from start to first answer, divided by the factor under emulation."""
    budget_ms: float | None = None
    judged_price: float | None = None
    """Median price of a million cold starts of the layer at 1,769 MB."""
    budget_price: float | None = None
    notes: list[str] = Field(default_factory=list)

    @property
    def factor(self) -> float:
        """What measured times are divided by."""
        return self.calibration.factor if self.calibration else 1.0

    def timed(self, name: VariantName) -> Variant | None:
        """Return a variant as its ratio is taken: of its twin where the layer was emulated."""
        return next((one for one in self.twins or self.variants if one.name == name), None)

    @property
    def change(self) -> str:
        """How it starts beside what was before, in words; empty where that was not measured."""
        found = self.against
        if found is None:
            return ""
        if found.ratio is None:
            return f"the same bytes as {found.version} before"
        return f"cold start {found.ratio.text} of that of {found.version} before"

    @property
    def within(self) -> bool:
        """Whether the budgets hold; true without any."""
        return self.is_soon_enough and self.is_cheap_enough

    @property
    def is_soon_enough(self) -> bool:
        """Whether ``budgets.cold-start`` holds; true without one."""
        return self.budget_ms is None or self.judged_ms <= self.budget_ms

    @property
    def is_cheap_enough(self) -> bool:
        """Whether ``budgets.cold-start-price`` holds; true without one."""
        return self.budget_price is None or (self.judged_price or 0.0) <= self.budget_price


ImportState = Literal["waits", "first-call", "init", "stays", "fails"]
"""``waits``: moved to the statements that use it, neither INIT nor the first invocation imported
it. ``first-call``: the first invocation did. ``init``: INIT did, in a function that it calls.
``stays``: it cannot move. ``fails``: the function does not start, or does not answer, with it
moved."""


class LazyImport(StrictModel):
    """An import at the top level of a function's own module."""

    file: str
    """Relative to the function's code."""
    line: int
    statement: str
    state: ImportState
    why: str = ""
    """Why it stays or fails."""
    saved: Saved | None = None
    """With this import alone moved; None where it does not wait."""


class LazyReport(StrictModel):
    """What a function's own imports cost that its first invocation does not need."""

    format: Literal[1] = 1
    function: str
    runtime: str
    architecture: str
    memory: int
    """MB that the function has, which prices are for."""
    event: str
    """The sample event, relative to layers.yaml."""
    zips: dict[str, str]
    """Name of each of its layers, or its own for its package, to the SHA-256 of its zip, in hex."""
    runner: RunnerFacts
    emulated: bool
    """Whether times are of an emulated processor, so that only their ratios mean anything."""
    starts: int
    """Fresh processes a variant."""
    unchanged: Variant
    imports: list[LazyImport]
    together: Saved | None = None
    """With all imports that wait moved at once; None where there are none."""
    interpreter: Saved | None = None
    """With the interpreter's own lazy imports; None where it has none, or does not start so."""
    notes: list[str] = Field(default_factory=list)
    currency: str = ""


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that ``share`` of all values are not above (nearest rank)."""
    ordered = sorted(values)
    return ordered[max(1, math.ceil(len(ordered) * share)) - 1]

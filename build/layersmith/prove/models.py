"""Functions, what came of starting and invoking them, and what the smoke test found, as data.

What the smoke test found is dist/<stem>.smoke.json, versioned. Durations are milliseconds, sizes
are bytes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from layersmith.base.models import StrictModel

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

INIT_LIMIT = 10.0
"""Seconds that Lambda gives to the initialization of a function (AWS Lambda quota)."""

TEMPORARY_BYTES = 512 * 1024 * 1024
"""Bytes of /tmp where a function does not ask for more (AWS Lambda default)."""

RunnerKind = Literal["docker", "host"]


@dataclass(frozen=True)
class FunctionSpec:
    """A function as Lambda would be told about it.

    Attributes:
        handler: ``module.function`` below ``code``.
        code: Folder that becomes /var/task.
        layers: Zips of layers, or folders of unpacked ones, in the order in which Lambda lays
            them over each other at /opt.
        memory: Memory in MB (MiB, as Lambda counts).
        timeout: Seconds until Lambda ends an invocation.
        environment: Its own environment variables.
        name: Its name.
    """

    handler: str
    code: Path
    layers: tuple[Path, ...] = ()
    memory: int = 512
    timeout: float = 30.0
    environment: Mapping[str, str] = field(default_factory=dict)
    name: str = "function"


class FunctionError(StrictModel):
    """What went wrong in a function, in Lambda's terms."""

    type: str
    """``Runtime.ExitError``, ``Sandbox.Timedout``, or the class of the exception."""
    message: str
    trace: list[str] = []
    """The stack trace, a frame a line, as the runtime sent it."""

    def __str__(self) -> str:
        return f"{self.type}: {self.message}"


class InitResult(StrictModel):
    """How a runtime came up."""

    duration_ms: float
    """From the start of the runtime to its first request for an event, or to its failure."""
    error: FunctionError | None = None

    @property
    def ok(self) -> bool:
        """Whether the function waits for events."""
        return self.error is None


class InvokeResult(StrictModel):
    """What came back for one event."""

    request_id: str
    payload: Any = None
    """The response, from JSON; None where there is an error."""
    error: FunctionError | None = None
    duration_ms: float
    """From the hand-out of the event to the complete answer."""
    peak_memory: int | None = None
    """Largest resident size of the runtime so far in bytes; under emulation with the emulator's
    own. None where it could not be read."""

    @property
    def ok(self) -> bool:
        """Whether the function answered."""
        return self.error is None


class RunnerFacts(StrictModel):
    """Which runner started a function, and on what."""

    kind: RunnerKind
    runtime: str
    architecture: str
    """Of the programs that ran, ``arm64`` or ``x86_64``."""
    image: str | None = None
    """The image, described; None for the host runner."""
    image_id: str | None = None
    interpreter: str | None = None
    """The interpreter of the host runner."""
    emulator: str | None = None
    """``QEMU 10.0.2``, or ``unknown``; None where it ran natively."""
    twin: bool = False
    """Whether a twin of the layer, for the host's architecture, ran in its place: no proof that
    the layer itself starts."""

    @property
    def described(self) -> str:
        """One line for people."""
        if self.twin:
            return f"host twin ({self.architecture}): not a proof of the built architecture"
        how = f"emulated by {self.emulator}" if self.emulator else "native"
        what = self.image or f"host interpreter {self.interpreter}"
        return f"{what}, {self.architecture} {how}"


class Cause(StrictModel):
    """One exception of a chain."""

    type: str
    message: str
    kinds: list[str] = Field(default_factory=list)
    """The classes that its own class comes from, the nearest first."""
    name: str | None = None
    """What could not be imported, where Python itself says so (ImportError.name)."""
    within: str | None = None
    """The nearest loaded package above ``name`` that has a file; None in namespace packages."""
    where: str | None = None
    """The module whose code was running."""
    raised: bool = False
    """Whether that code raised it by a ``raise`` of its own."""
    absent: list[str] = Field(default_factory=list)
    """What the module in ``where`` looked for so far, and nothing had."""

    def __str__(self) -> str:
        return f"{self.type}: {self.message}"


class ImportFailure(StrictModel):
    """Why a module did not import."""

    chain: list[Cause]
    """The exception, and those that it followed from."""
    trace: str = ""


class ImportOutcome(StrictModel):
    """How the import of one module went."""

    module: str
    ms: float = 0.0
    """Milliseconds, with everything that it imported first."""
    error: ImportFailure | None = None


class TestOutcome(StrictModel):
    """How one test of a smoke file went."""

    __test__ = False

    name: str
    outcome: str
    """passed, failed or skipped."""
    phase: str
    """setup, call, teardown or collect."""
    ms: float
    text: str = ""
    """The failure, or the reason of the skip."""


class FailedImport(StrictModel):
    """A module that does not import."""

    module: str
    path: str
    """Its file in the layer."""
    failure: ImportFailure
    diagnosis: str | None = None
    """The cause, found by looking into the layer."""
    cure: str | None = None
    """What to change in layers.yaml, where the cause says it."""
    hidden: list[str] = Field(default_factory=list)
    """Other modules that fail for the same reason."""


class ImportsProof(StrictModel):
    """Every top-level module, then every other module of the layer, in one process."""

    modules: int
    """Number of modules that were imported or failed."""
    failed: list[FailedImport]
    excepted: dict[str, str]
    """Modules that may fail and did: module -> reason in layers.yaml."""
    optional: dict[str, str] = Field(default_factory=dict)
    """Modules that failed and that the layer does not need: module -> why."""
    unneeded: list[str]
    """Patterns of ``import-exceptions`` that no failing module needed."""
    slowest_ms: dict[str, float]
    """The ten slowest modules with what they imported first, in milliseconds."""


class ForbiddenProof(StrictModel):
    """Modules that must not be loaded, and were not."""

    patterns: list[str]
    present: list[str]
    """Files of such modules in the layer."""
    loaded: list[str]
    """Such modules in sys.modules after the smoke file, or after all imports without one."""
    after: Literal["smoke file", "imports"]


class SmokeFileProof(StrictModel):
    """The layer's own tests, run by pytest inside the runtime."""

    file: str
    services: list[str]
    init_ms: float
    tests: list[TestOutcome]
    peak_memory: int | None
    """Bytes, of the runtime with pytest in it."""


class FunctionProof(StrictModel):
    """A function of layers.yaml with all its layers, and its sample event."""

    function: str
    layers: list[str]
    package: str | None = None
    """Its zip in dist/ that it was started from; null where it was started from its code."""
    init_ms: float
    duration_ms: float | None
    """Null where it has no event and was only started."""
    peak_memory: int | None
    """Bytes; null without an event."""
    error: FunctionError | None = None
    logs: str = ""
    """The last of what it wrote, where it failed."""


class SmokeReport(StrictModel):
    """What starting one target showed."""

    format: Literal[1] = 1
    identifier: str
    runtime: str
    architecture: str
    """What the layer was built for; ``runner.architecture`` is what ran."""
    sha256: str
    """Of the zip, in hex."""
    runner: RunnerFacts
    imports: ImportsProof
    forbidden: ForbiddenProof | None = None
    smoke: SmokeFileProof | None = None
    problems: list[str]
    """Every reason why the layer is not proven, one text each; empty where it is."""
    warnings: list[str] = Field(default_factory=list)
    seconds: float
    """Seconds that the proof took."""

    @property
    def ok(self) -> bool:
        """Whether everything held."""
        return not self.problems


class CheckedSide(StrictModel):
    """One of the two layers in which a recipe's snippet ran."""

    zipped: int
    """Bytes of the zip."""
    unzipped: int
    """Bytes under /opt."""
    start_ms: float | None = None
    """Milliseconds from the start of the runtime to the snippet's end, median; None where it was
    not measured."""
    answer: str = ""
    """What the snippet printed."""
    failure: str | None = None
    """How it failed."""


class RecipeCheck(StrictModel):
    """What the proof of one recipe came to."""

    name: str
    """Normalized name of the distribution."""
    runtime: str
    architecture: str
    version: str | None = None
    """The locked version; None where the recipe has no proof."""
    runner: str | None = None
    """What started the layers, described."""
    plain: CheckedSide | None = None
    """The layer without what costs something."""
    thin: CheckedSide | None = None
    """The layer with `recipes: all`."""
    problems: list[str] = Field(default_factory=list)
    """Empty where the recipe is proven."""

    @property
    def ok(self) -> bool:
        """Whether the recipe is proven."""
        return not self.problems

"""What requirements weigh, as data: what `weigh --json` prints, versioned. Sizes are bytes."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from layersmith.base.models import StrictModel

Word = Literal["fits", "fits with excludes", "does not fit"]

AdviceKind = Literal[
    "lighter",
    "provided",
    "managed layer",
    "optional",
    "extra",
    "platform",
    "lite-blas",
    "recipes",
    "elsewhere",
]


class FileWeight(StrictModel):
    """One file."""

    path: str
    """Below site-packages."""
    size: int
    zipped: int
    """As the wheel holds it compressed."""


class DistributionWeight(StrictModel):
    """One distribution of the resolution, as an installer leaves it."""

    name: str
    """Normalized name."""
    version: str
    filename: str | None
    origin: Literal["wheel", "sdist", "local", "stub", "files"]
    """``sdist`` and ``local`` are estimated from their sources."""
    download: int | None
    """Bytes of the wheel or sdist itself."""
    unzipped: int
    zipped: int
    """Of its files as its wheel compresses them, a zip's headers left out."""
    native: int
    """Unzipped bytes of its shared libraries."""
    python: int
    """Unzipped bytes of its .py files."""
    files: int
    retained: int
    """Unzipped bytes that would go if it went: its own and of all that it alone pulls."""
    retained_zipped: int
    requires: list[str]
    """What it needs on the target, extras followed and markers judged for the target."""
    chain: list[str]
    """The shortest way from what was asked for to it, both included."""
    left_out: str | None = None
    """Why a build leaves it out of the layer; None where it goes in."""
    license: str | None = None
    biggest: list[FileWeight]
    """Its five biggest files."""


class Totals(StrictModel):
    """Sums over files."""

    unzipped: int
    zipped: int
    """Of the zip, with headers and names of all members."""
    native: int
    python: int
    files: int
    distributions: int


class Limit(StrictModel):
    """One thing that the layer is judged against."""

    name: str
    value: int
    limit: int
    hard: bool
    """Whether AWS refuses what is over it."""
    note: str = ""

    @property
    def margin(self) -> int:
        """Bytes that are left; negative where it is over."""
        return self.limit - self.value


class Advice(StrictModel):
    """One way to make it smaller."""

    kind: AdviceKind
    subject: str
    """What it is about, normalized names of distributions mostly."""
    text: str
    unzipped: int
    """Bytes saved, unzipped."""
    zipped: int
    """Bytes saved in the zip."""
    estimate: bool = False
    """Whether the bytes were measured elsewhere, at ``date``, rather than read here."""
    source: str | None = None
    """Where that is said."""
    date: str | None = None
    """When that was looked up (ISO 8601)."""
    loses: str | None = None
    """What no longer works; None where nothing is lost."""
    done: bool = False
    """Whether a build does this already, so that the sums for the layer hold it."""
    removes: list[str] = Field(default_factory=list)
    """Distributions that would go."""


class Verdict(StrictModel):
    """Whether it can be a layer."""

    word: Word
    text: str
    limits: list[Limit]
    excludes: list[str] = Field(default_factory=list)
    """What to leave out so that it fits, where that is the verdict."""
    slimmed: int | None = None
    """Unzipped bytes after those excludes."""


class TrafficRecord(StrictModel):
    """What was transferred to find this out."""

    requests: int
    received: int
    whole: list[str]
    """Files that came as a whole, because the index knows no ranges or there is no wheel."""
    artifacts: int
    """Bytes that downloading all wheels would have taken."""


class Weighing(StrictModel):
    """What requirements weigh on a target."""

    format: Literal[1] = 1
    identifier: str
    requirements: list[str]
    runtime: str
    architecture: str
    installed: Totals
    """As an installer leaves them."""
    layer: Totals
    """As a build packs them before it strips and compiles: without what the runtime provides,
    excludes and pruned files."""
    with_recipes: Totals | None = None
    """The same with ``recipes: all``; None where that saves next to nothing, or is set."""
    bytecode: int
    """Bytes that a build's bytecode adds to ``layer``, estimated; with ``bytecode: only`` beyond
    those of the sources that it replaces."""
    verdict: Verdict
    advice: list[Advice]
    """By bytes saved."""
    distributions: list[DistributionWeight]
    """By unzipped bytes, the largest first."""
    dropped: dict[str, str] = Field(default_factory=dict)
    """What a build leaves out, and why."""
    traffic: TrafficRecord
    notes: list[str] = Field(default_factory=list)

"""What `slim` proposes and finds, as data. Sizes are bytes."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from layersmith.base.models import StrictModel
from layersmith.prove.models import RunnerFacts

Kind = Literal["exclude", "prune"]

Risk = Literal["unnamed", "named", "data"]
"""``unnamed``: no code that is loaded names it, so only a function's own code could ask for it.
``named``: code that is loaded names it, in a branch or function that no proof ran. ``data``: no
code, which may be read in ways that cannot be watched."""


class Candidate(StrictModel):
    """Something that no proof touched, and one line of layers.yaml that leaves it out."""

    kind: Kind
    pattern: str
    """Name of the distribution, or a gitignore pattern below python/."""
    distribution: str
    risk: Risk
    named_by: list[str] = Field(default_factory=list)
    """Modules that are loaded and name it."""
    units: list[str]
    """What it covers, as slim_trace.unit() writes it."""
    files: int
    zipped: int
    """Bytes of its files in the zip, with their bytecode, headers left out."""
    unzipped: int


class Rejected(StrictModel):
    """A candidate that the proofs do not do without."""

    pattern: str
    why: str


class Weight(StrictModel):
    """What a layer weighs."""

    zipped: int
    unzipped: int
    files: int


class TargetWeight(StrictModel):
    """What one target weighs without and with the fragment."""

    identifier: str
    runner: RunnerFacts
    before: Weight
    after: Weight
    """Of the copy that was built with the fragment and passed the proofs."""


class WatchRecord(StrictModel):
    """Which files the proofs of one target loaded: dist/<stem>.watched.json."""

    format: Literal[1] = 1
    identifier: str
    sha256: str
    """Of the zip, in hex."""
    runner: RunnerFacts
    proofs: list[str]
    """What was started under the watch."""
    loaded: list[str]
    """Paths in the zip that were opened, imported or mapped into memory, sorted."""


class SlimRecord(StrictModel):
    """What one target can do without: dist/<stem>.slim.json."""

    format: Literal[1] = 1
    identifier: str
    survived: list[Candidate]


class SlimReport(StrictModel):
    """What was found for one layer."""

    format: Literal[1] = 1
    layer: str
    targets: list[TargetWeight]
    touched: int
    """Modules and files that the proofs of the first target touched."""
    survived: list[Candidate]
    rejected: list[Rejected]
    offered: list[Candidate]
    """Riskier candidates that were not tried; --bold tries them."""
    needless_exceptions: list[str]
    """Patterns of ``import-exceptions`` that nothing needs once the fragment is in place."""
    proofs: int
    """How many copies were built and proven."""
    fragment: str
    """The lines for layers.yaml."""

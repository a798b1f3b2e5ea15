"""What the probe answers, as data."""

from __future__ import annotations

from layersmith.prove.models import Result


class Cause(Result):
    """One exception of a chain."""

    type: str
    message: str

    def __str__(self) -> str:
        return f"{self.type}: {self.message}"


class ImportFailure(Result):
    """Why a module did not import."""

    chain: list[Cause]
    """The exception, and those that it followed from."""
    trace: str = ""


class ImportOutcome(Result):
    """How the import of one module went."""

    module: str
    ms: float = 0.0
    """Milliseconds, with everything that it imported first."""
    error: ImportFailure | None = None


class TestOutcome(Result):
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

"""Says whether a layer may ship: one check a question, and the answer over all targets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

from layersmith.base import runtimes
from layersmith.console import as_called, counted, size

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from layersmith.report.records import FunctionParts, ReportedArtifact

State = Literal["good", "info", "warn", "bad"]
"""``info`` is worth knowing and stops nothing; ``warn`` is open; ``bad`` must not ship."""

NEAR = 0.9
"""Share of a budget from which it is shown as nearly spent."""


class Meter(NamedTuple):
    """A value against its limit.

    Attributes:
        name: What is limited; keys of layers.yaml as they are written there.
        value: The value, with its unit.
        limit: The limit, with its unit.
        left: What is left, or by how much it is over.
        share: Share of the limit, 1 at the limit.
    """

    name: str
    value: str
    limit: str
    left: str
    share: float

    @property
    def state(self) -> State:
        """``info`` where it is nearly spent."""
        return "bad" if self.share > 1 else "info" if self.share > NEAR else "good"


class Check(NamedTuple):
    """The answer to one question of a release review.

    Attributes:
        state: What it means for the release.
        word: The answer in a few words.
        text: What was found and, unless it is good, what to do next.
    """

    state: State
    word: str
    text: str


class Decision(NamedTuple):
    """Whether all targets may ship.

    Attributes:
        state: The worst of all checks; ``good`` where nothing stops a release.
        text: The answer in one sentence.
        reasons: What stops targets, with their identifiers.
    """

    state: State
    text: str
    reasons: list[tuple[Check, list[str]]]


def checks(one: ReportedArtifact, functions: Iterable[FunctionParts] = ()) -> list[Check]:
    """Return the answers for one target, proof first.

    Args:
        one: The target.
        functions: The functions of layers.yaml with their layers, of any target.
    """
    return [
        *(_proof(one), _budgets(one), *_functions(one, functions), _change(one), *_audit(one)),
        _advisories(one),
    ]


def answer(targets: Sequence[tuple[str, Sequence[Check]]]) -> Decision:
    """Return the answer over all targets.

    Args:
        targets: Identifiers with their checks, at least one.
    """
    reasons: dict[Check, list[str]] = {}
    for name, found in targets:
        for check in found:
            if check.state in {"warn", "bad"}:
                reasons.setdefault(check, []).append(name)
    ordered = sorted(reasons.items(), key=lambda item: (item[0].state != "bad", -len(item[1])))
    count = counted(len(targets), "target")
    stopped = {name for check, names in ordered if check.state == "bad" for name in names}
    open_ones = {name for _, names in ordered for name in names}
    if stopped:
        return Decision("bad", f"No: {len(stopped)} of {count} must not ship.", ordered)
    if open_ones:
        have = "has" if len(open_ones) == 1 else "have"
        text = f"Not yet: {len(open_ones)} of {count} {have} open checks."
        return Decision("warn", text, ordered)
    which = f"all {count} are" if len(targets) > 1 else "the target is"
    return Decision("good", f"Yes: {which} proven and within budget.", ordered)


def meters(one: ReportedArtifact) -> list[Meter]:
    """Return a layer's sizes and times against its budgets and Lambda's limits."""
    artifact, wanted = one.manifest.artifact, one.budgets
    found = [_bytes("Lambda's limit, unpacked", artifact.unzipped, runtimes.UNZIPPED_LIMIT)]
    if wanted and wanted.zipped is not None:
        found.append(_bytes("budgets.zipped", artifact.zipped, wanted.zipped))
    if wanted and wanted.unzipped is not None:
        found.append(_bytes("budgets.unzipped", artifact.unzipped, wanted.unzipped))
    if one.cold_start and one.cold_start.budget_ms:
        value, limit = one.cold_start.judged_ms, one.cold_start.budget_ms
        left = f"{abs(limit - value):,.0f} ms {_side(limit - value)}"
        ms = (f"{value:,.0f} ms", f"{limit:,.0f} ms")
        found.append(Meter("budgets.cold-start", *ms, left, value / limit))
    if one.cold_start and one.cold_start.budget_price:
        paid, most = one.cold_start.judged_price or 0.0, one.cold_start.budget_price
        unit = one.cold_start.currency
        left = f"{abs(most - paid):,.2f} {unit} {_side(most - paid)}"
        money = (f"{paid:,.2f} {unit}", f"{most:,.2f} {unit}")
        found.append(Meter("budgets.cold-start-price", *money, left, paid / most))
    return found


def _bytes(name: str, value: int, limit: int) -> Meter:
    left = f"{size(abs(limit - value))} {_side(limit - value)}"
    return Meter(name, size(value), size(limit), left, value / limit)


def _side(left: float) -> str:
    return "left" if left >= 0 else "over"


def _proof(one: ReportedArtifact) -> Check:
    report = one.smoke
    if report is None:
        why = "its proof is of an earlier zip" if "the proof" in one.stale else "it was not started"
        return Check("warn", "not proven", as_called(f"{why}: run `nox -s smoke`"))
    if not report.ok:
        return Check("bad", "proof failed", "it does not start, or its smoke tests fail")
    if report.runner.twin:
        text = "started only as a twin for this machine: run `nox -s smoke -- --runner docker`"
        return Check("warn", "proven as twin", as_called(text))
    return Check("good", "proven", "started in its runtime, and its smoke tests pass")


def _budgets(one: ReportedArtifact) -> Check:
    found = meters(one)
    over = [meter for meter in found if meter.share > 1]
    if over:
        text = ", ".join(f"{meter.name} by {meter.left.removesuffix(' over')}" for meter in over)
        return Check("bad", "over budget", f"over {text}")
    near = max(found, key=lambda meter: meter.share)
    if near.share > NEAR:
        return Check("info", f"{near.share:.0%} of budget", f"{near.name}: {near.left}")
    return Check("good", "within budget", f"at most {near.share:.0%} of a budget or limit")


def _functions(one: ReportedArtifact, functions: Iterable[FunctionParts]) -> list[Check]:
    built = (one.manifest.runtime, one.manifest.architecture)
    return [
        Check("bad", "function too large", f"{it.function} is {size(it.total)} with its layers")
        for it in functions
        if it.share > 1
        and one.manifest.layer in it.parts
        and (it.runtime, it.architecture) == built
    ]


def _change(one: ReportedArtifact) -> Check:
    change = one.change
    if change is None or change.before is None or change.after is None:
        return Check("info", "no earlier release", "`--history DIR` compares it with earlier ones")
    before, after = change.before, change.after
    if before.version == after.version:
        if one.same:
            return Check("good", "unchanged", f"the same zip as the released {before.version}")
        text = "was released with other content; raise the version in layers.yaml"
        return Check("bad", f"{before.version} is taken", f"{before.version} {text}")
    growth = (after.unzipped or 0) - (before.unzipped or 0)
    word = f"{'+' if growth >= 0 else '−'}{size(abs(growth))} since {before.version}"  # noqa: RUF001 -- a minus sign
    names = [one.name for one in change.distributions]
    listed = ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
    return Check("good", word, f"changed since {before.version}: {listed or 'files only'}")


def _audit(one: ReportedArtifact) -> list[Check]:
    warnings = one.manifest.audit.warnings
    return (
        [Check("info", counted(len(warnings), "warning"), "; ".join(warnings))] if warnings else []
    )


def _advisories(one: ReportedArtifact) -> Check:
    report = one.advisories
    if report is None:
        why = "looked up for an earlier zip" if "advisories" in one.stale else "not looked up"
        return Check("info", "advisories not looked up", f"{why}: run `layersmith advisories`")
    dated = f"{report.source}, {report.dated:%Y-%m-%d}" if report.dated else report.source
    if report.open:
        names = ", ".join(f"{it.id} in {it.subject} ({it.level})" for it in report.open)
        return Check("bad", found_text(len(report.open)), f"{names}; {dated}")
    if report.is_stale or report.problems:
        text = "; ".join(report.problems) or f"the data is older than `max-age`: {dated}"
        return Check("warn", "advisories not known", text)
    others = len(report.findings)
    text = f"{dated}; {found_text(others)} ignored, below the threshold or not in the zip"
    return Check("good", "no advisories", text if others else dated)


def found_text(count: int) -> str:
    """Return ``1 advisory`` or ``2 advisories``."""
    return f"{count:,} {'advisory' if count == 1 else 'advisories'}"

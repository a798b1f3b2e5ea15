"""Finds the largest set of candidates with which the proofs still pass.

All are tried at once. Where that fails, the failure most often names what is missing: that is
put back, or the module that needs it goes as well. Where it names nothing, halves are tried.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from layersmith.prove.slim.models import Rejected
from layersmith.prove.smoke import failures

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from layersmith.prove.slim.models import Candidate

_NO_FILE = re.compile(r"No such file or directory: '([^']+)'")
_NO_DISTRIBUTION = re.compile(r"No package metadata was found for ([\w.-]+)")


@dataclass(frozen=True)
class TrialVerdict:
    """What the proofs said of one trial.

    Attributes:
        texts: Why it failed, one text a problem; empty where it passed.
        broken: Modules that do not import -> text of the failure.
    """

    texts: tuple[str, ...] = ()
    broken: tuple[tuple[str, str], ...] = ()

    @property
    def ok(self) -> bool:
        """Whether everything held."""
        return not self.texts and not self.broken


class OutOfTrialsError(Exception):
    """The limit on trials was reached; what is accepted so far stands."""


@dataclass
class Search:
    """One search.

    Attributes:
        prove: Builds and proves a copy without these candidates.
        spare: Candidates that are too small to be worth a line of their own, and go only where
            they would break by what goes.
        limit: How many trials to make at most.
        trials: How many were made.
        rejected: What had to be put back.
    """

    prove: Callable[[Sequence[Candidate]], TrialVerdict]
    spare: list[Candidate] = field(default_factory=list)
    limit: int = 40
    trials: int = 0
    rejected: list[Rejected] = field(default_factory=list)
    _accepted: list[Candidate] = field(default_factory=list)

    def run(self, candidates: Sequence[Candidate]) -> list[Candidate]:
        """Return the candidates that survive, the largest first."""
        pending = list(candidates)
        try:
            while pending:
                verdict = self._try(pending)
                if verdict.ok:
                    break
                if not self._repair(pending, verdict):
                    pending = self._halve([], pending)
                    break
        except OutOfTrialsError:
            kept = {one.pattern for one in self._accepted}
            why = f"not tried separately: the limit of {self.limit} trials was reached"
            self.rejected += [
                Rejected(pattern=one.pattern, why=why) for one in pending if one.pattern not in kept
            ]
            pending = self._accepted
        return sorted(pending, key=lambda one: -one.unzipped)

    def _try(self, trial: Sequence[Candidate]) -> TrialVerdict:
        if self.trials >= self.limit:
            raise OutOfTrialsError
        self.trials += 1
        verdict = self.prove(trial)
        if verdict.ok:
            self._accepted = list(trial)
        return verdict

    def _repair(self, pending: list[Candidate], verdict: TrialVerdict) -> bool:
        """Change ``pending`` by what a failure names; return whether it named anything."""
        changed = False
        for module, _ in verdict.broken:
            extra = next((one for one in self.spare if covers(one, module)), None)
            if extra is not None:
                self.spare.remove(extra)
                # First, so that it is gone already where halves of the others are tried.
                pending.insert(0, extra)
                changed = True
        if changed:
            return True
        for text in [*verdict.texts, *(text for _, text in verdict.broken)]:
            for culprit in named_in(text, pending):
                pending.remove(culprit)
                self.rejected.append(Rejected(pattern=culprit.pattern, why=_short(text)))
                changed = True
        return changed

    def _halve(self, accepted: list[Candidate], pending: list[Candidate]) -> list[Candidate]:
        """Return ``accepted`` and what of ``pending`` passes with it (delta debugging)."""
        if not pending:
            return accepted
        verdict = self._try([*accepted, *pending])
        if verdict.ok:
            return [*accepted, *pending]
        if len(pending) == 1:
            text = [*verdict.texts, *(text for _, text in verdict.broken)][0]
            self.rejected.append(Rejected(pattern=pending[0].pattern, why=_short(text)))
            return accepted
        middle = len(pending) // 2
        accepted = self._halve(accepted, pending[:middle])
        return self._halve(accepted, pending[middle:])


def named_in(text: str, candidates: Sequence[Candidate]) -> list[Candidate]:
    """Return the candidates whose absence a failure complains of."""
    missing = set(failures.lacking(text))
    found = [one for one in candidates if any(covers(one, module) for module in missing)]
    files = _NO_FILE.findall(text)
    distributions = _NO_DISTRIBUTION.findall(text)
    for one in candidates:
        if one in found:
            continue
        lost = any(path.endswith(f"/{part}") for path in files for part in one.units)
        if lost or (one.kind == "exclude" and one.pattern in distributions):
            found.append(one)
    return found


def covers(candidate: Candidate, module: str) -> bool:
    """Whether leaving a candidate out takes a module away."""
    path = module.replace(".", "/")
    return any(f"{path}{end}" in candidate.units for end in (".py", "/__init__.py", ".so"))


def _short(text: str) -> str:
    """Return the one line of a failure that says most."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    telling = [line for line in lines if re.search(r"\b\w*(Error|Exception)\b", line)]
    return (telling or lines or ["failed without a word"])[-1][:200]

"""Judges licences: `licenses` of layers.yaml against what distributions say of their terms.

Of an OR one side is enough; of an AND every side counts; what is denied is not allowed by anything.
A name that stands for several licences is judged where all of them give the same answer.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from layersmith.assemble.bill import wheel_sboms
from layersmith.audit.findings import Finding, Severity

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from layersmith.audit.content import Content, InstalledDistribution
    from layersmith.config.trust import Licenses

SHOWN = 3
"""Components that a finding names; the others are counted."""

GNU = re.compile(r"((?:A|L)?GPL-\d\.\d|GFDL-\d\.\d)(\+?)")
"""Identifiers that SPDX has replaced: GPL-3.0 is GPL-3.0-only, GPL-3.0+ GPL-3.0-or-later."""


@dataclass(frozen=True)
class LicenseVerdict:
    """What a gate says of terms.

    Attributes:
        denied: The term that is denied.
        not_allowed: The term that is not among the allowed ones.
    """

    denied: str | None = None
    not_allowed: str | None = None

    @property
    def passed(self) -> bool:
        """Whether the terms may be used."""
        return self.denied is None and self.not_allowed is None


def judge(expression: str, gate: Licenses) -> LicenseVerdict:
    """Judge an SPDX expression in canonical form.

    Args:
        expression: Such as ``MIT AND (Apache-2.0 OR GPL-3.0-only WITH GCC-exception-3.1)``.
        gate: What is allowed and what is denied.
    """
    return _Terms(expression, gate).any_of()


def check(content: Content, gate: Licenses, mine: Collection[str] = ()) -> Iterator[Finding]:
    """Yield distributions whose licence the gate does not let through.

    Args:
        content: The layer.
        gate: What layers.yaml allows and denies.
        mine: Normalized names of local packages, whose terms are the user's own.
    """
    if not (gate.allow or gate.deny):
        return
    for one in content.distributions.values():
        if one.name not in mine and not one.version.endswith("+stub"):
            yield from _distribution(one, gate)
            yield from _components(content, one, gate)


def _distribution(one: InstalledDistribution, gate: Licenses) -> Iterator[Finding]:
    terms = one.license
    options = [terms.expression] if terms.expression else terms.options
    verdicts = [judge(option, gate) for option in options]
    if verdicts and all(verdict.passed for verdict in verdicts):
        return
    if verdicts and all(not verdict.passed for verdict in verdicts):
        yield _refused(one.name, terms.shown or "", verdicts[0])
        return
    said = f"says {terms.shown!r} of its licence" if terms.shown else "does not state a licence"
    yield Finding(
        code="LICENSE-UNKNOWN",
        severity=Severity.ERROR if gate.allow else Severity.WARNING,
        distribution=one.name,
        what=f"{one.name} {one.version} {said}, which `licenses` cannot be held against",
        cause="its METADATA has no SPDX expression (PEP 639), and what it has may be several"
        " licences",
        next=f"read its licence, then exclude it or accept it with a reason, under `accept`:"
        f" LICENSE-UNKNOWN {one.name}",
        key="licenses.allow" if gate.allow else "licenses.deny",
    )


def _refused(name: str, said: str, verdict: LicenseVerdict) -> Finding:
    why = f"denies {verdict.denied}" if verdict.denied else f"does not allow {verdict.not_allowed}"
    return Finding(
        code="LICENSE-DENIED",
        severity=Severity.ERROR,
        distribution=name,
        what=f"{name} is licensed under {said}, and `licenses` {why}",
        cause=f"`weigh` shows what needs {name}",
        next=f"exclude or replace it, or accept it with a reason, under `accept`:"
        f" LICENSE-DENIED {name}",
        key="licenses.deny" if verdict.denied else "licenses.allow",
    )


def _components(content: Content, one: InstalledDistribution, gate: Licenses) -> Iterator[Finding]:
    """Yield what the SBOMs inside a wheel name under terms that the gate does not let through."""
    denied: dict[str, None] = {}
    beyond: dict[str, None] = {}
    folder = f"{one.dist_info}/sboms/"
    for path in sorted(path for path in content.files if path.startswith(folder)):
        if not path.endswith(".json"):
            continue
        for name, terms in wheel_sboms.terms(content.files[path].source.read()):
            verdict = judge(terms, gate)
            if not verdict.passed:
                (denied if verdict.denied else beyond)[f"{name} ({terms})"] = None
    for names, word, severity in (
        (denied, "denies", Severity.ERROR),
        (beyond, "does not allow", Severity.WARNING),
    ):
        if names:
            more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
            yield Finding(
                code="LICENSE-PART",
                severity=severity,
                distribution=one.name,
                what=f"the SBOM inside {one.name} names what `licenses` {word}:"
                f" {', '.join([*names][:SHOWN])}{more}",
                cause="the wheel bundles other projects, each with its own licence",
                next=f"see `components` of {one.name} in the bill of materials; exclude it, or"
                f" accept it with a reason, under `accept`: LICENSE-PART {one.name}",
                key="licenses.deny" if names is denied else "licenses.allow",
            )


class _Terms:
    """Reads one expression from left to right; WITH binds closest, then AND, then OR."""

    def __init__(self, expression: str, gate: Licenses) -> None:
        self.words = expression.replace("(", " ( ").replace(")", " ) ").split()
        self.gate = gate

    def any_of(self) -> LicenseVerdict:
        """Return the verdict on sides of which one is enough."""
        sides = [self._all_of()]
        while self._take("OR"):
            sides.append(self._all_of())
        return next((side for side in sides if side.passed), sides[0])

    def _all_of(self) -> LicenseVerdict:
        sides = [self._one()]
        while self._take("AND"):
            sides.append(self._one())
        failed = [side for side in sides if not side.passed]
        return min(failed, key=lambda side: side.denied is None, default=LicenseVerdict())

    def _one(self) -> LicenseVerdict:
        if self._take("("):
            inner = self.any_of()
            self._take(")")
            return inner
        name = self.words.pop(0)
        exception = self.words.pop(0) if self._take("WITH") else None
        return self._judged(_today(name), exception)

    def _judged(self, name: str, exception: str | None) -> LicenseVerdict:
        # An exception only adds permissions: whoever allows the licence allows it with one.
        names = [f"{name} WITH {exception}", name] if exception else [name]
        if any(_matches(one, self.gate.deny) for one in names):
            return LicenseVerdict(denied=names[0])
        allowed = not self.gate.allow or any(_matches(one, self.gate.allow) for one in names)
        return LicenseVerdict(not_allowed=None if allowed else names[0])

    def _take(self, word: str) -> bool:
        if self.words[:1] != [word]:
            return False
        self.words.pop(0)
        return True


def _matches(name: str, patterns: Collection[str]) -> bool:
    return any(fnmatchcase(name.lower(), _today(pattern).lower()) for pattern in patterns)


def _today(name: str) -> str:
    """Return an identifier as SPDX writes it today."""
    found = GNU.fullmatch(name.split(" WITH ", maxsplit=1)[0])
    if not found:
        return name
    kind = "or-later" if found[2] else "only"
    return name.replace(found[0], f"{found[1]}-{kind}", 1)

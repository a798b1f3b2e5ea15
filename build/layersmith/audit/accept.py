"""Takes the findings that layers.yaml accepts, each with its reason."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from layersmith.assemble.tree import PREFIX
from layersmith.audit.findings import Finding, Severity
from layersmith.errors import closest

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


def apply(findings: Iterable[Finding], accepted: Mapping[str, str]) -> list[Finding]:
    """Return findings with the reason in those that are accepted.

    Args:
        findings: What the audit found.
        accepted: Code and path (a glob, with or without python/ in front), or distribution where a
            finding has no path -> reason. A key that fits no finding becomes a finding.
    """
    found = list(findings)
    taken: set[str] = set()
    result = []
    for one in found:
        key = next((key for key in accepted if _fits(one, key)), None)
        if key is not None:
            taken.add(key)
        result.append(one.model_copy(update={"accepted": accepted[key]}) if key else one)
    return result + [_unused(key, found) for key in accepted if key not in taken]


def _fits(one: Finding, key: str) -> bool:
    code, _, pattern = key.partition(" ")
    subjects = (one.subject, one.subject.removeprefix(PREFIX))
    # A name may hold [ and ], which a glob reads as a choice.
    return code == one.code and any(
        pattern == name or fnmatchcase(name, pattern) for name in subjects
    )


def _unused(key: str, found: list[Finding]) -> Finding:
    names = sorted({f"{one.code} {one.subject}" for one in found if one.subject})
    close = closest(key, names)
    return Finding(
        code="ACCEPT-UNUSED",
        severity=Severity.WARNING,
        what=f"`accept` names {key!r}, and the audit finds nothing like it"
        + (f"; the closest is {close!r}" if close else ""),
        cause="the key is misspelt" if close else "what was wrong has been fixed since",
        next=f"did you mean {close!r}?" if close else "remove it from layers.yaml",
    )

"""Judges whether each distribution of a layer finds the distributions that it requires."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from layersmith.audit.findings import Finding, Severity
from layersmith.base import legacy
from layersmith.base.runtimes import marker_environment

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from layersmith.audit.content import Content

SHOWN = 4
"""Requirements that one message lists."""


@dataclass
class _Needs:
    """What the layer requires: name -> the lines that ask for it, each with who wrote it."""

    lines: dict[str, list[tuple[str, Requirement]]] = field(default_factory=dict)
    unread: list[tuple[str, str]] = field(default_factory=list)


def check(
    content: Content,
    extras: Mapping[str, Collection[str]],
    left_out: Collection[str],
    managed: Mapping[str, Mapping[str, str]],
) -> Iterator[Finding]:
    """Yield what is required on the target and met by nothing.

    Args:
        content: The layer.
        extras: Extras that were asked for, by normalized name of their distribution.
        left_out: Normalized names that stay out of the layer for a reason that somebody gave.
        managed: Managed layers beside this one -> distribution -> version.
    """
    needs = _needs(content, extras)
    for name, text in needs.unread:
        yield _finding(
            name,
            f"{name} requires {text!r}, which cannot be read",
            "its METADATA is damaged, or older than the rules (PEP 508)",
            f"take another version of {name}",
            severity=Severity.WARNING,
        )
    elsewhere = {one.name: (content.runtime.name, one.version) for one in content.runtime.provides}
    for layer, versions in reversed(list(managed.items())):
        elsewhere |= {name: (layer, version) for name, version in versions.items()}
    for name, lines in sorted(needs.lines.items()):
        if name not in left_out:
            yield from _judge(content, name, lines, elsewhere.get(name))


def _needs(content: Content, extras: Mapping[str, Collection[str]]) -> _Needs:
    environment = marker_environment(content.runtime, content.architecture)
    needs = _Needs()
    waiting = deque((name, frozenset(extras.get(name, ()))) for name in content.distributions)
    done: dict[str, frozenset[str]] = {}
    while waiting:
        name, wanted = waiting.popleft()
        distribution = content.distributions.get(name)
        if distribution is None or (name in done and wanted <= done[name]):
            continue
        wanted |= done.get(name, frozenset())
        done[name] = wanted
        for text in distribution.requires:
            try:
                requirement = legacy.requirement(text)
            except InvalidRequirement:
                if (name, text) not in needs.unread:
                    needs.unread.append((name, text))
                continue
            marker = requirement.marker
            if marker is not None and not any(
                marker.evaluate({**environment, "extra": extra}) for extra in ("", *sorted(wanted))
            ):
                continue
            asked = canonicalize_name(requirement.name)
            lines = needs.lines.setdefault(asked, [])
            if (name, requirement) not in lines:
                lines.append((name, requirement))
            waiting.append((asked, frozenset(requirement.extras)))
    return needs


def _judge(
    content: Content,
    name: str,
    lines: list[tuple[str, Requirement]],
    provided: tuple[str, str] | None,
) -> Iterator[Finding]:
    """Judge one distribution; ``provided`` is who brings it beside the layer, and its version."""
    own = content.distributions.get(name)
    if own is None and provided is None:
        yield _finding(
            name,
            f"{_who(lines)}, and nothing brings it",
            "it was left out of the layer, or installed with --no-deps",
            f"lock and build again; if nothing uses it, name {name} under `excludes`, with the "
            "reason",
        )
        return
    who, elsewhere = provided or ("", "")
    version = own.version if own else elsewhere
    refusing = [one for one in lines if not _allows(one[1], version)]
    if not refusing:
        return
    if own:
        yield _finding(
            name,
            f"{_who(refusing)}, and the layer has {name} {version}",
            "the versions were not resolved together",
            "lock and build again; one that is meant goes under `accept`, with the reason",
        )
    else:
        yield _finding(
            name,
            f"{_who(refusing)}, and {who} provides {name} {version}",
            "the layer leaves out what the runtime, or a managed layer beside it, provides",
            f"put it into the layer: keep-provided: [{name}]",
        )


def _allows(requirement: Requirement, version: str) -> bool:
    try:
        return requirement.specifier.contains(Version(version), prereleases=True)
    except InvalidVersion:
        # From before PEP 440: nothing can be compared with it.
        return True


def _who(lines: list[tuple[str, Requirement]]) -> str:
    shown = [
        f"{who} requires {line.name}{f' {line.specifier}' if line.specifier else ''}"
        for who, line in lines[:SHOWN]
    ]
    return ", ".join(shown) + (f" (and {len(lines) - SHOWN} more)" if len(lines) > SHOWN else "")


def _finding(
    name: str, what: str, cause: str, step: str, *, severity: Severity = Severity.ERROR
) -> Finding:
    return Finding(
        code="REQUIRES-UNMET",
        severity=severity,
        distribution=name,
        what=what,
        cause=cause,
        next=step,
    )

"""Judges what a native file needs: libraries, symbol versions, search paths, its stack."""

from __future__ import annotations

from typing import TYPE_CHECKING

from layersmith.measure import missing, policy
from layersmith.measure.checks_machine import fits_machine
from layersmith.measure.findings import Finding, Severity
from layersmith.measure.links import Links, is_absolute

if TYPE_CHECKING:
    from collections.abc import Iterator

    from layersmith.measure.content import Content
    from layersmith.measure.elf import ElfFacts

RELOCATABLE = "ET_REL"
"""Object files: nothing loads them."""


def check(content: Content) -> Iterator[Finding]:
    """Yield what the native files of a layer need and will not get.

    A file for another machine is left out: what it needs says nothing more about the cause.
    """
    links = Links(content.elves, content.files)
    for path, facts in content.elves.items():
        if fits_machine(content, facts) and facts.kind != RELOCATABLE:
            yield from _libraries(content, path, facts, links)
            yield from _versions(content, path, facts, links)
            yield from _hardening(content, path, facts)


def highest(content: Content) -> dict[str, tuple[int, ...]]:
    """Return the highest version needed from the runtime by prefix, for the prefixes of policy."""
    links = Links(content.elves, content.files)
    known = policy.of(content.runtime, content.architecture).versions
    result: dict[str, tuple[int, ...]] = {}
    for path, facts in content.elves.items():
        for library, names in facts.versions.items():
            if links.find(path, library) is not None:
                continue
            for prefix, number in filter(None, map(policy.comparable, names)):
                if prefix in known:
                    result[prefix] = max(number, result.get(prefix, number))
    return dict(sorted(result.items()))


def _libraries(content: Content, path: str, facts: ElfFacts, links: Links) -> Iterator[Finding]:
    rules = policy.of(content.runtime, content.architecture)
    for library in facts.needed:
        if links.find(path, library) is not None or library in rules.libraries:
            continue
        yield missing.explain(content, path, library, links)


def _versions(content: Content, path: str, facts: ElfFacts, links: Links) -> Iterator[Finding]:
    for library, names in facts.versions.items():
        own = links.find(path, library)
        if own is None:
            yield from _too_new(content, path, library, names)
            continue
        provider = content.elves.get(own)
        lost = sorted(set(names) - provider.defines) if provider and provider.defines else []
        if lost:
            yield Finding(
                code="VERSION-OWN",
                severity=Severity.ERROR,
                path=path,
                distribution=content.owner(path),
                what=f"{path} needs {lost[-1]} of {own}, which does not define it",
                cause="the library comes from another build than the file that needs it",
                next="take both from one wheel",
            )


def _too_new(
    content: Content, path: str, library: str, names: tuple[str, ...]
) -> Iterator[Finding]:
    rules = policy.of(content.runtime, content.architecture)
    worst: dict[str, tuple[tuple[int, ...], str]] = {}
    for name in names:
        found = policy.comparable(name)
        if found and found[1] > rules.versions.get(found[0], found[1]):
            worst[found[0]] = max((found[1], name), worst.get(found[0], ((), "")))
    for prefix, (_, name) in worst.items():
        ceiling = ".".join(map(str, rules.versions[prefix]))
        yield Finding(
            code=f"VERSION-{prefix}",
            severity=Severity.ERROR,
            path=path,
            distribution=content.owner(path),
            what=f"{path} needs {name} of {library}; {content.runtime.name} ({rules.title}) "
            f"ends at {prefix}_{ceiling}; Python will say: version `{name}' not found",
            cause=f"it was compiled on a newer system than {rules.title}",
            next="take a wheel with an older manylinux tag, or compile it for the target's glibc "
            f"{'.'.join(map(str, content.runtime.glibc))}",
        )


def _hardening(content: Content, path: str, facts: ElfFacts) -> Iterator[Finding]:
    # Without PT_GNU_STACK, glibc takes the architecture's default: executable on x86_64, not on
    # arm64 (glibc, sysdeps/*/stackinfo.h).
    default = content.architecture == "x86_64"
    if facts.executable_stack or (facts.executable_stack is None and default):
        yield Finding(
            code="STACK-EXECUTABLE",
            severity=Severity.ERROR,
            path=path,
            distribution=content.owner(path),
            what=f"{path} asks for an executable stack",
            cause="an assembler file without .note.GNU-stack, or the linker option -z execstack",
            next="take another build of it; newer systems refuse to load it at all",
        )
    for folder in (*facts.rpath, *facts.runpath):
        if is_absolute(folder):
            yield Finding(
                code="RPATH-ABSOLUTE",
                severity=Severity.ERROR,
                path=path,
                distribution=content.owner(path),
                what=f"{path} searches {folder} for its libraries",
                cause="a path of the machine that built it was left in RPATH or RUNPATH",
                next="take a wheel that auditwheel has repaired, or link with $ORIGIN",
            )
